//! What the words after `--model`, `--image`, `--reference` and the like stand for.
//!
//! Ids may be shortened to a unique beginning. A word that fits nothing or several things is bad
//! input, with a sentence that says what to write instead.

use super::readiness::{Readiness, readiness};
use super::{Result, ServiceError, shown};
use crate::domain::catalogue::{Catalogue, Makes, did_you_mean, nearest};
use crate::domain::ids::{Id, RemoteImageId};
use crate::domain::request::{JobRequest, MediaRef, ModelRef};
use crate::store::Store;
use crate::store::lookup::FoundModel;

/// The most ids that a sentence about an ambiguous word spells out.
const SHOWN_IDS: usize = 5;

/// Looks words up; without a database nothing of ours exists yet.
#[derive(Clone, Copy)]
pub struct Finder<'a> {
    store: Option<&'a Store>,
    catalogue: &'a Catalogue,
}

fn ambiguous(flag: &str, text: &str, what: &str, ids: &[Id]) -> ServiceError {
    let spelt: Vec<String> = ids.iter().take(SHOWN_IDS).map(Id::to_string).collect();
    let more = if ids.len() > SHOWN_IDS { ", …" } else { "" };
    ServiceError::invalid(
        flag,
        format!("{} fits several {what}: write one of {}{more}", shown(text), spelt.join(", ")),
    )
}

fn invalid<T>(flag: &str, sentence: String) -> Result<T> {
    Err(ServiceError::invalid(flag, sentence))
}

fn unknown<T>(flag: &str, sentence: String) -> Result<T> {
    Err(ServiceError::unknown(flag, sentence))
}

/// `JOB[n]` as its two parts; `JOB` means its first output.
fn job_and_index(text: &str) -> (&str, Option<u32>) {
    let parts = text
        .strip_suffix(']')
        .and_then(|rest| rest.split_once('['))
        .and_then(|(job, index)| Some((job, index.parse().ok()?)));
    parts.map_or((text, None), |(job, index)| (job, Some(index)))
}

impl<'a> Finder<'a> {
    /// Looks things up in this database.
    pub fn new(store: Option<&'a Store>, catalogue: &'a Catalogue) -> Self {
        Self { store, catalogue }
    }

    /// One of our models by id, beginning of an id, name, or the vendor's id.
    ///
    /// # Errors
    /// Several models fit, or a database error.
    pub async fn own_model(&self, flag: &str, text: &str) -> Result<Option<FoundModel>> {
        let Some(store) = self.store else {
            return Ok(None);
        };
        let found = store.models_like(text).await?;
        let exact = Id::parse(text);
        let alone = |model: &&FoundModel| {
            Some(model.id) == exact || model.remote_id.as_deref() == Some(text)
        };
        if let Some(model) = found.iter().find(alone) {
            return Ok(Some(model.clone()));
        }
        let named: Vec<&FoundModel> = found.iter().filter(|model| model.name == text).collect();
        let alive = |model: &&&FoundModel| !matches!(readiness(model), Readiness::Gone(_));
        let mut fitting: Vec<&FoundModel> = named.iter().filter(alive).copied().collect();
        if fitting.is_empty() {
            // Of those that are gone, the newest says best what became of it.
            fitting.extend(named.last());
        }
        let what = if fitting.is_empty() {
            fitting.extend(&found);
            "models"
        } else {
            "models of that name"
        };
        match fitting.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some((*one).clone())),
            several => {
                let ids: Vec<Id> = several.iter().map(|model| model.id).collect();
                Err(ambiguous(flag, text, what, &ids))
            }
        }
    }

    /// The same where only a model of ours will do.
    ///
    /// # Errors
    /// No or several models fit, or a database error.
    pub async fn need_own_model(&self, flag: &str, text: &str) -> Result<FoundModel> {
        if let Some(model) = self.own_model(flag, text).await? {
            return Ok(model);
        }
        let names = self.names().await?;
        let meant = did_you_mean(nearest(text, names.iter().map(String::as_str)));
        unknown(
            flag,
            format!(
                "{} is no model of yours (`darkroom model ls` lists them){}{meant}",
                shown(text),
                import_hint(text)
            ),
        )
    }

    async fn names(&self) -> Result<Vec<String>> {
        match self.store {
            Some(store) => Ok(store.model_names().await?),
            None => Ok(Vec::new()),
        }
    }

    /// What an image job runs on, with the row if it is a model of ours.
    ///
    /// # Errors
    /// Nothing or several things fit, or a database error.
    pub async fn image_model(
        &self,
        flag: &str,
        text: &str,
    ) -> Result<(ModelRef, Option<FoundModel>)> {
        let public = [Makes::Images, Makes::Videos]
            .into_iter()
            .any(|makes| self.catalogue.find(text, makes).is_some());
        if public {
            return Ok((ModelRef::Public(text.to_owned()), None));
        }
        if let Some(model) = self.own_model(flag, text).await? {
            return Ok((ModelRef::Trained(model.id), Some(model)));
        }
        let names = self.names().await?;
        let public = self.catalogue.models();
        let candidates = public
            .filter(|model| model.makes == Makes::Images)
            .map(|model| model.id)
            .chain(names.iter().map(String::as_str));
        let meant = did_you_mean(nearest(text, candidates));
        unknown(
            flag,
            format!(
                "{} is no model of yours (`darkroom model ls` lists them) and no public \
             image model known here (new ones go into [catalogue] image_models){}{meant}",
                shown(text),
                import_hint(text)
            ),
        )
    }

    /// A picture that a request refers to. `at_vendor`: an id that nothing of ours has may be the
    /// vendor's.
    ///
    /// # Errors
    /// Nothing or several things fit, it is no picture, or a database error.
    pub async fn picture(&self, flag: &str, text: &str, at_vendor: bool) -> Result<MediaRef> {
        if text.contains("://") {
            return Ok(MediaRef::Url(text.to_owned()));
        }
        if let Some(found) = self.our_picture(flag, text).await? {
            return Ok(found);
        }
        if let Some(store) = self.store
            && let Some(id) = Id::parse(text)
            && store.models_like(text).await?.iter().any(|m| m.id == id)
        {
            return invalid(
                flag,
                format!(
                    "{} is a model and a picture is needed: give an output or a job",
                    shown(text)
                ),
            );
        }
        if at_vendor && !text.contains(['[', '/']) {
            return Ok(MediaRef::Remote(RemoteImageId::from(text)));
        }
        let kinds = if at_vendor {
            "output, job or image id of the vendor's"
        } else {
            "output, job or web address"
        };
        unknown(
            flag,
            format!(
                "{} is no {kinds} known here (`darkroom ls outputs` lists the outputs)",
                shown(text)
            ),
        )
    }

    async fn our_picture(&self, flag: &str, text: &str) -> Result<Option<MediaRef>> {
        let Some(store) = self.store else {
            return Ok(None);
        };
        let (job_text, index) = job_and_index(text);
        let outputs = store.outputs_like(text).await?;
        let jobs = store.jobs_like(job_text).await?;
        match (outputs.as_slice(), jobs.as_slice()) {
            ([output], []) => {
                need_image(flag, text, &output.media)?;
                return Ok(Some(MediaRef::Output(output.id)));
            }
            ([], [job]) => {
                let index = index.unwrap_or(0);
                let outputs = match job.outputs {
                    Some(outputs) => outputs,
                    None => expected_outputs(&store.job_request(job.id).await?),
                };
                need_image(flag, text, &job.kind)?;
                if index >= outputs {
                    return unknown(
                        flag,
                        format!(
                            "job {} makes {outputs} of them, counted from 0: there is no \
                         {index}",
                            job.id
                        ),
                    );
                }
                return Ok(Some(MediaRef::JobOutput { job: job.id, index }));
            }
            ([], []) => {}
            _ => {
                let ids: Vec<Id> = outputs.iter().map(|output| output.id).collect();
                let ids = [ids, jobs.iter().map(|job| job.id).collect()].concat();
                return Err(ambiguous(flag, text, "outputs and jobs", &ids));
            }
        }
        if let Some(output) = store.output_with_remote_id(text).await? {
            need_image(flag, text, &output.media)?;
            return Ok(Some(MediaRef::Remote(RemoteImageId::from(text))));
        }
        self.uploaded_picture(flag, text).await
    }

    async fn uploaded_picture(&self, flag: &str, text: &str) -> Result<Option<MediaRef>> {
        let Some(store) = self.store else {
            return Ok(None);
        };
        let uploads = store.uploads_like(text).await?;
        match uploads.as_slice() {
            [] => Ok(None),
            // It may still be on its way: the job waits for it.
            [upload] => Ok(Some(MediaRef::Upload(upload.id))),
            several => {
                let ids: Vec<Id> = several.iter().map(|upload| upload.id).collect();
                Err(ambiguous(flag, text, "uploads", &ids))
            }
        }
    }

    /// One of our uploads by id, beginning of an id, or the vendor's id.
    ///
    /// # Errors
    /// No or several uploads fit, or a database error.
    pub async fn upload(&self, flag: &str, text: &str) -> Result<Id> {
        let uploads = match self.store {
            Some(store) => store.uploads_like(text).await?,
            None => Vec::new(),
        };
        match uploads.as_slice() {
            [upload] => Ok(upload.id),
            [] => unknown(
                flag,
                format!(
                    "{} is no upload known here: `darkroom upload FILE --model ID --type \
                 auxiliaryType` makes one",
                    shown(text)
                ),
            ),
            several => {
                let ids: Vec<Id> = several.iter().map(|upload| upload.id).collect();
                Err(ambiguous(flag, text, "uploads", &ids))
            }
        }
    }

    /// Replaces the vendor's ids by outputs of ours where there are such.
    ///
    /// Not done before the request is hashed: the same words must give the same hash before and
    /// after an output is known.
    ///
    /// # Errors
    /// A database error.
    pub async fn bind(&self, request: &mut JobRequest) -> Result<()> {
        let Some(store) = self.store else {
            return Ok(());
        };
        for media in request.media_mut() {
            if let MediaRef::Remote(id) = media
                && let Some(output) = store.output_with_remote_id(id.as_str()).await?
            {
                *media = MediaRef::Output(output.id);
            }
        }
        Ok(())
    }
}

/// How many outputs a job has that has not ended: what it asks for, else one.
fn expected_outputs(request: &JobRequest) -> u32 {
    match request {
        JobRequest::Image(image) => image.num_images.unwrap_or(1),
        JobRequest::Video(video) => video.num_videos.unwrap_or(1),
        JobRequest::Upscale(_) => 1,
    }
}

fn need_image(flag: &str, text: &str, kind: &str) -> Result<()> {
    if kind == "video" {
        return invalid(
            flag,
            format!(
                "{} is a video and a picture is needed: give the output of an image job",
                shown(text)
            ),
        );
    }
    Ok(())
}

fn import_hint(text: &str) -> String {
    match Id::parse(text) {
        Some(_) => format!(
            "; if it is a trained model at the vendor, take it over with \
             `darkroom model import {text}`"
        ),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_of_a_job_is_named_by_number() {
        assert_eq!(job_and_index("018f"), ("018f", None));
        assert_eq!(job_and_index("018f[2]"), ("018f", Some(2)));
        assert_eq!(job_and_index("018f[-1]"), ("018f[-1]", None));
    }
}
