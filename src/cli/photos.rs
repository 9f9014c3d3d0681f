//! Photos on their way into a request: looked at, judged, turned into uploads.

use super::submit::{Faults, blocking, shown};
use super::{CliError, context::new_id, out};
use crate::domain::ids::Id;
use crate::domain::photo::{ChosenPhoto, MediaType, PhotoRules, Preflight, preflight};
use crate::domain::request::UploadPurpose;
use crate::files::blobs::Source;
use crate::files::folder::{inspect_files, inspect_folder};
use crate::store::submit::NewUpload;
use serde_json::{Value, json};
use std::path::Path;

/// Judges a folder for a training; `None` after faults were noted. Warnings are said at once.
pub(super) async fn from_folder(
    folder: &Path,
    skip_bad: bool,
    faults: &mut Faults,
) -> Result<Option<Vec<ChosenPhoto>>, CliError> {
    let path = folder.to_owned();
    let facts = match blocking(move || inspect_folder(&path)).await? {
        Ok(facts) => facts,
        Err(error) => {
            faults.add(error.to_string());
            return Ok(None);
        }
    };
    let rules = PhotoRules { skip_bad, ..PhotoRules::default() };
    let report = blocking(move || preflight(&facts, &rules)).await?;
    say_warnings(&report);
    if report.ok() {
        return Ok(Some(report.chosen));
    }
    for problem in report.problems {
        faults.add(problem);
    }
    Ok(None)
}

/// Judges one photo.
pub(super) async fn from_file(
    file: &Path,
    faults: &mut Faults,
) -> Result<Option<ChosenPhoto>, CliError> {
    let path = file.to_owned();
    if path.is_dir() {
        faults.add(format!("{} is a folder: name one photo", shown(&path.to_string_lossy())));
        return Ok(None);
    }
    if !path.exists() {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let name = out::clean(&name);
        faults.add(format!("\"{name}\" cannot be read: there is no such file."));
        return Ok(None);
    }
    let facts = blocking(move || inspect_files(&[path])).await?;
    if let Some(reason) = facts.first().and_then(|fact| fact.ignored()) {
        let name = facts.first().map_or("", |fact| fact.name.as_str());
        faults.add(format!("\"{name}\" cannot be uploaded: {reason}."));
        return Ok(None);
    }
    let rules = PhotoRules { min_photos: 0, max_photos: 1, ..PhotoRules::default() };
    let mut report = preflight(&facts, &rules);
    say_warnings(&report);
    for problem in report.problems.drain(..) {
        faults.add(problem);
    }
    Ok(report.chosen.pop())
}

fn say_warnings(report: &Preflight) {
    for warning in &report.warnings {
        out::talk(&format!("warning: {warning}"));
    }
}

/// The photos as uploads, in the order given, which is that of their names.
pub(super) fn uploads(photos: &[ChosenPhoto], model: Id, purpose: UploadPurpose) -> Vec<NewUpload> {
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
pub(super) fn sources(photos: &[ChosenPhoto]) -> Vec<Source> {
    let source = |photo: &ChosenPhoto| Source {
        path: photo.path.clone(),
        sha256: Some(photo.sha256.clone()),
    };
    photos.iter().map(source).collect()
}

/// What a key stands for: names and contents, not folders.
pub(super) fn canonical(photos: &[ChosenPhoto]) -> Value {
    photos.iter().map(|photo| json!({ "name": photo.name, "sha256": photo.sha256 })).collect()
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
}
