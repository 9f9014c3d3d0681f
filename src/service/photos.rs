//! Photos on their way into a request: judged, kept, turned into uploads.

use super::{Result, ServiceError, blocking};
use crate::clock::new_id;
use crate::domain::ids::Id;
use crate::domain::photo::{
    ChosenPhoto, MediaType, PhotoFacts, PhotoRules, Preflight, display_name, preflight,
};
use crate::domain::request::UploadPurpose;
use crate::domain::validate::{Problem, Problems};
use crate::files::atomic::is_full;
use crate::files::blobs::{BlobError, BlobStore, Source};
use crate::store::StoreError;
use crate::store::submit::NewUpload;
use serde_json::{Value, json};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use tokio::sync::Semaphore;

/// Judges one photo by itself: one that no vendor would take is a problem of the report.
pub fn judge_one(facts: &PhotoFacts) -> Preflight {
    if let Some(reason) = facts.ignored() {
        let problem = format!("\"{}\" cannot be uploaded: {reason}.", facts.name);
        return Preflight { problems: vec![problem], ..Preflight::default() };
    }
    let rules = PhotoRules { min_photos: 0, max_photos: 1, ..PhotoRules::default() };
    preflight(std::slice::from_ref(facts), &rules)
}

/// Photos that are looked into at the same time: each is decoded in memory.
static LOOKING: Semaphore = Semaphore::const_new(2);

/// Looks at a file that came in under this name, and judges it.
///
/// # Errors
/// [`ServiceError::Invalid`] for a photo that the vendor would not take.
pub async fn received(field: &str, path: PathBuf, name: &str) -> Result<ChosenPhoto> {
    let name = file_base(name).to_owned();
    let turn = LOOKING.acquire().await;
    let _turn = turn.map_err(|error| ServiceError::Broken(error.to_string()))?;
    let report = blocking(move || {
        let mut facts = crate::files::folder::inspect_files(&[path]).into_iter().next()?;
        facts.name = display_name(name.trim_start_matches('.').as_ref());
        // Programs name files as they like; the content decides.
        facts.extension = facts.media.map(|media| media.extension().to_owned());
        Some(judge_received(&facts))
    })
    .await?;
    let report = report.ok_or_else(|| ServiceError::Broken("the file went away".to_owned()))?;
    if let Some(photo) = report.chosen.into_iter().next() {
        return Ok(photo);
    }
    let problems = report.problems.into_iter().map(|sentence| Problem::new(field, sentence));
    Err(ServiceError::Several(Problems(problems.collect())))
}

/// What is no picture has no ending that fits either; what it is says more.
fn judge_received(facts: &PhotoFacts) -> Preflight {
    let extension = facts.extension.clone().or_else(|| Some("jpg".to_owned()));
    judge_one(&PhotoFacts { extension, ..facts.clone() })
}

/// The last part of a name, whatever system it was given on.
fn file_base(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// The photos as uploads, in the order given, which is that of their names.
pub fn uploads(photos: &[ChosenPhoto], model: Id, purpose: UploadPurpose) -> Vec<NewUpload> {
    let upload = |photo: &ChosenPhoto| NewUpload {
        id: new_id(),
        model,
        purpose,
        file_name: file_name(photo),
        sha256: photo.sha256.clone(),
        bytes: photo.bytes,
        media_type: photo.media.mime().to_owned(),
    };
    photos.iter().map(upload).collect()
}

/// Where to copy the photos from; a file that changes before it is copied is refused.
pub fn sources(photos: &[ChosenPhoto]) -> Vec<Source> {
    let source = |photo: &ChosenPhoto| Source {
        path: photo.path.clone(),
        sha256: Some(photo.sha256.clone()),
    };
    photos.iter().map(source).collect()
}

/// What a key stands for: names and contents, not folders.
pub fn canonical(photos: &[ChosenPhoto]) -> Value {
    photos.iter().map(|photo| json!({ "name": photo.name, "sha256": photo.sha256 })).collect()
}

/// Copies photos into the data directory.
///
/// # Errors
/// A full disk, a file that cannot be read or has changed meanwhile.
pub async fn keep(data_dir: &Path, blobs: PathBuf, photos: Vec<Source>) -> Result<()> {
    if photos.is_empty() {
        return Ok(());
    }
    crate::store::open::create_data_dir(data_dir)?;
    let blobs = BlobStore::new(blobs);
    blocking(move || blobs.put_many(&photos)).await?.map(drop).map_err(|error| match error {
        BlobError::Write { ref folder, ref source } if is_full(source) => {
            let source = Error::new(ErrorKind::StorageFull, source.to_string());
            ServiceError::Store(StoreError::Io { path: folder.clone(), source })
        }
        BlobError::Write { .. } => ServiceError::Broken(format!("{error}; nothing was submitted")),
        BlobError::Read { .. } | BlobError::Changed { .. } => {
            ServiceError::invalid("", error.to_string())
        }
    })
}

/// The file's name with an ending that fits the content: the vendor may go by it.
fn file_name(photo: &ChosenPhoto) -> String {
    let (stem, ending) = photo.name.rsplit_once('.').unwrap_or((&photo.name, ""));
    if MediaType::from_extension(&ending.to_lowercase()) == Some(photo.media) {
        photo.name.clone()
    } else {
        format!("{stem}.{}", photo.media.extension())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_own_ending_where_that_fits() {
        let photo = |name: &str| ChosenPhoto {
            name: name.to_owned(),
            upload_name: String::new(),
            path: name.into(),
            media: MediaType::Jpeg,
            bytes: 1,
            sha256: String::new(),
            pixels: None,
        };
        assert_eq!(file_name(&photo("été \\\"1\\\".JPEG")), "été \\\"1\\\".JPEG");
        assert_eq!(file_name(&photo("really.PNG")), "really.jpg");
    }

    #[test]
    fn a_name_from_another_system_loses_its_folders() {
        assert_eq!(file_base("C:\\photos\\a.jpg"), "a.jpg");
        assert_eq!(file_base("../../a.jpg"), "a.jpg");
    }
}
