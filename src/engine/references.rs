//! Turning what a request refers to into what the vendor understands, just before sending.

use super::{Engine, EngineError, Result};
use crate::domain::ids::{Id, RemoteImageId, RemoteVideoId};
use crate::domain::request::{JobRequest, MediaRef, ModelRef};
use crate::store::queries::OutputRow;
use crate::vendor::{self, Resolved};
use serde_json::Value;

/// Why a request cannot be sent.
pub(super) enum Unusable {
    /// It refers to something that will never exist, as a sentence.
    Never(String),
    /// The vendor does not have what it refers to, or not yet.
    Missing(String),
    /// A question stayed unanswered; later.
    Now(EngineError),
}

impl<E: Into<EngineError>> From<E> for Unusable {
    fn from(error: E) -> Self {
        Self::Now(error.into())
    }
}

impl Engine {
    /// The body of a job's call, its references replaced by the vendor's ids and fresh links.
    pub(super) async fn job_body(&self, request: &JobRequest) -> Result<Value, Unusable> {
        match request {
            JobRequest::Image(image) => {
                let model_id = match &image.model {
                    ModelRef::Public(name) => name.clone(),
                    ModelRef::Trained(id) => self.remote_model(&id.to_string()).await?.0,
                };
                let input_image_id = match &image.input_image {
                    Some(media) => Some(self.image_id(media).await?),
                    None => None,
                };
                let mut reference_urls = Vec::new();
                for media in &image.references {
                    reference_urls.push(self.fresh_url(media).await?);
                }
                let resolved =
                    Resolved { model_id, input_image_id, reference_urls, ..Resolved::default() };
                Ok(vendor::image_body(image, &resolved))
            }
            JobRequest::Upscale(upscale) => {
                Ok(vendor::upscale_body(&self.image_id(&upscale.image).await?))
            }
            JobRequest::Video(video) => {
                let mut resolved =
                    Resolved { model_id: video.model.clone(), ..Resolved::default() };
                for media in &video.references {
                    resolved.reference_urls.push(self.fresh_url(media).await?);
                }
                for media in &video.reference_videos {
                    resolved.video_urls.push(self.fresh_video_url(media).await?);
                }
                if let Some(media) = &video.first_frame {
                    resolved.first_frame = Some(self.fresh_url(media).await?);
                }
                if let Some(media) = &video.last_frame {
                    resolved.last_frame = Some(self.fresh_url(media).await?);
                }
                Ok(vendor::video_body(video, &resolved))
            }
        }
    }

    async fn upload_id(&self, upload: Id) -> Result<RemoteImageId, Unusable> {
        let row = self.store.upload(upload).await?;
        row.remote_id
            .map(RemoteImageId)
            .ok_or_else(|| Unusable::Never(format!("the upload {upload} never reached the vendor")))
    }

    /// The vendor's id of a picture.
    async fn image_id(&self, media: &MediaRef) -> Result<RemoteImageId, Unusable> {
        match media {
            MediaRef::Remote(id) => Ok(id.clone()),
            MediaRef::Url(url) => {
                Err(Unusable::Never(format!("the vendor wants an image's id here, not {url}")))
            }
            MediaRef::Upload(id) => self.upload_id(*id).await,
            MediaRef::Output(id) => image_of(self.store.output(*id).await?),
            MediaRef::JobOutput { job, index } => {
                let row = self.store.job_output(*job, *index).await?;
                image_of(row.ok_or_else(|| {
                    Unusable::Never(format!(
                        "the job {job} produced no output number {} (counted from 0)",
                        index
                    ))
                })?)
            }
        }
    }

    /// A link to a picture that the vendor can follow now: links expire, records do not.
    async fn fresh_url(&self, media: &MediaRef) -> Result<String, Unusable> {
        if let MediaRef::Url(url) = media {
            return Ok(url.clone());
        }
        let id = self.image_id(media).await?;
        let image = match self.call(self.client.get_image(&id)).await {
            Ok(reply) => reply.value,
            Err(failure) if failure.is_not_found() => {
                return Err(Unusable::Missing(format!("the vendor does not know the image {id}")));
            }
            Err(failure) => return Err(failure.into()),
        };
        image
            .url
            .ok_or_else(|| Unusable::Missing(format!("the vendor has no link for the image {id}")))
    }

    /// The same for a video; the vendor's record of it has a link that others can follow.
    async fn fresh_video_url(&self, media: &MediaRef) -> Result<String, Unusable> {
        let row = match media {
            MediaRef::Url(url) => return Ok(url.clone()),
            MediaRef::Output(id) => self.store.output(*id).await?,
            MediaRef::JobOutput { job, index } => {
                self.store.job_output(*job, *index).await?.ok_or_else(|| {
                    Unusable::Never(format!(
                        "the job {job} produced no output number {index} (counted from 0)"
                    ))
                })?
            }
            MediaRef::Upload(_) | MediaRef::Remote(_) => {
                return Err(Unusable::Never(
                    "it refers to a picture where a video is wanted".to_owned(),
                ));
            }
        };
        if row.media != "video" {
            let message = "it refers to a picture where a video is wanted";
            return Err(Unusable::Never(message.to_owned()));
        }
        let id = RemoteVideoId(row.remote_id);
        let video = match self.call(self.client.get_video(&id)).await {
            Ok(reply) => reply.value,
            Err(failure) if failure.is_not_found() => {
                return Err(Unusable::Missing(format!("the vendor does not know the video {id}")));
            }
            Err(failure) => return Err(failure.into()),
        };
        video
            .url
            .ok_or_else(|| Unusable::Missing(format!("the vendor has no link for the video {id}")))
    }
}

fn image_of(row: OutputRow) -> Result<RemoteImageId, Unusable> {
    if row.media == "image" {
        return Ok(RemoteImageId(row.remote_id));
    }
    Err(Unusable::Never("it refers to a video where a picture is wanted".to_owned()))
}
