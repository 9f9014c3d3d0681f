//! One method per endpoint (vendor-api.md section 2). Each sends exactly one request.

use super::body::{IdentityPatch, create_model_body, update_model_body};
use super::job_page::JobPage;
use super::reply::Call;
use super::transport::{Client, Reply, with_json};
use super::wire::{Acknowledged, RemoteJob, RemoteModel, Triggered, Wire};
use super::wire_media::{DownloadStatus, ImagePage, Preset, RemoteImage, RemoteVideo};
use crate::domain::failure::Failure;
use crate::domain::ids::{Millis, RemoteImageId, RemoteJobId, RemoteModelId, RemoteVideoId};
use crate::domain::request::Identity;
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::Method;
use serde_json::Value;

/// Which images of a model to list: the vendor's filter words differ from those of the upload
/// (vendor-api.md 2.6, conflict C5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFilter {
    /// Every image.
    All,
    /// Training photos.
    Input,
    /// Produced images.
    Output,
    /// Reference pictures.
    Reference,
}

impl ImageFilter {
    fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Input => "input",
            Self::Output => "output",
            Self::Reference => "auxiliaryType",
        }
    }
}

impl Client {
    /// `GET /ping`: checks key, version and network path; free (vendor-api.md 2.1). Only an
    /// explicit `OK` counts, so that a wrong base URL that answers politely is noticed.
    pub async fn ping(&self) -> Result<Reply<Acknowledged>, Failure> {
        self.get(Call::read("Pinging the vendor"), &["ping"]).await
    }

    /// `POST /models` without an id: creates a model; never repeat blindly (vendor-api.md 2.2).
    pub async fn create_model(&self, identity: &Identity) -> Result<Reply<RemoteModel>, Failure> {
        let call = Call::effect("Creating the model");
        self.post(call, &["models"], &create_model_body(identity)).await
    }

    /// `POST /models` with an id: updates a model (vendor-api.md 2.2).
    pub async fn update_model(
        &self,
        model: &RemoteModelId,
        patch: &IdentityPatch,
    ) -> Result<Reply<RemoteModel>, Failure> {
        let call = Call::effect("Updating the model");
        if model.as_str().trim().is_empty() {
            // Without its id this would create a second model.
            return Err(call.not_sent("the model's id is empty"));
        }
        self.post(call, &["models"], &update_model_body(model, patch)).await
    }

    /// `GET /models`: every model of the account; paging is undocumented (vendor-api.md 2.3).
    pub async fn list_models(&self) -> Result<Reply<Vec<RemoteModel>>, Failure> {
        self.get(Call::read("Listing the models"), &["models"]).await
    }

    /// `GET /models/{id}`: the truth about a training (vendor-api.md 2.4).
    pub async fn get_model(&self, model: &RemoteModelId) -> Result<Reply<RemoteModel>, Failure> {
        let call = Call::read("Reading the model");
        let reply: Reply<RemoteModel> = self.get(call, &["models", model.as_str()]).await?;
        same_id(call, model.as_str(), reply.value.id.as_str())?;
        Ok(reply)
    }

    /// `DELETE /models/{id}` (vendor-api.md 2.5; path by convention). A 404 means it is gone.
    pub async fn delete_model(&self, id: &RemoteModelId) -> Result<Reply<Acknowledged>, Failure> {
        self.delete(Call::effect("Deleting the model"), &["models", id.as_str()]).await
    }

    /// `GET /models/{id}/images`: one page, from 1; the vendor's example has 20 to a page
    /// (vendor-api.md 2.6).
    pub async fn list_model_images(
        &self,
        model: &RemoteModelId,
        filter: ImageFilter,
        page: u32,
        page_size: u32,
    ) -> Result<Reply<ImagePage>, Failure> {
        let call = Call::read("Listing the model's images");
        let request =
            self.request(call, Method::GET, &["models", model.as_str(), "images"])?.query(&[
                ("imageType", filter.as_str()),
                ("pageNum", &page.to_string()),
                ("pageSize", &page_size.to_string()),
            ]);
        self.send(call, request).await
    }

    /// `GET /models/{id}/train`: **starts a training, is billed**, although it is a GET. The reply
    /// holds no job id; poll the model (vendor-api.md 2.7).
    pub async fn train(&self, model: &RemoteModelId) -> Result<Reply<Acknowledged>, Failure> {
        let call = Call::effect("Starting the training");
        self.get(call, &["models", model.as_str(), "train"]).await
    }

    /// `GET /images/{id}` (vendor-api.md 2.9).
    pub async fn get_image(&self, image: &RemoteImageId) -> Result<Reply<RemoteImage>, Failure> {
        let call = Call::read("Reading the image");
        let reply: Reply<RemoteImage> = self.get(call, &["images", image.as_str()]).await?;
        same_id(call, image.as_str(), reply.value.id.as_str())?;
        Ok(reply)
    }

    /// `DELETE /images/{id}` (vendor-api.md 2.10; path by convention). A 404 means it is gone.
    pub async fn delete_image(&self, id: &RemoteImageId) -> Result<Reply<Acknowledged>, Failure> {
        self.delete(Call::effect("Deleting the image"), &["images", id.as_str()]).await
    }

    /// `POST /images/generation`: **starts a billed job** (vendor-api.md 2.11).
    pub async fn generate_image(&self, body: &Value) -> Result<Reply<Triggered>, Failure> {
        self.post(Call::effect("Starting the image job"), &["images", "generation"], body).await
    }

    /// `POST /images/upscaling`: **starts a billed job** (vendor-api.md 2.12).
    pub async fn upscale_image(&self, body: &Value) -> Result<Reply<Triggered>, Failure> {
        self.post(Call::effect("Starting the upscale job"), &["images", "upscaling"], body).await
    }

    /// `POST /videos/generation`: **starts a billed job** (vendor-api.md 2.13).
    pub async fn generate_video(&self, body: &Value) -> Result<Reply<Triggered>, Failure> {
        self.post(Call::effect("Starting the video job"), &["videos", "generation"], body).await
    }

    /// `GET /jobs/{id}` (vendor-api.md 2.14).
    pub async fn get_job(&self, job: &RemoteJobId) -> Result<Reply<RemoteJob>, Failure> {
        let call = Call::read("Reading the job");
        let reply: Reply<RemoteJob> = self.get(call, &["jobs", job.as_str()]).await?;
        same_id(call, job.as_str(), reply.value.job_id.as_str())?;
        Ok(reply)
    }

    /// `GET /jobs`: one page of the jobs created from `start` to `end` (Unix milliseconds, at most
    /// 7 days apart; sent in whole seconds, widened outwards), or from `start` on if there is no
    /// `end`. Inclusivity and order are undocumented (vendor-api.md 2.15).
    pub async fn list_jobs(
        &self,
        start: Millis,
        end: Option<Millis>,
        page_token: Option<&str>,
    ) -> Result<Reply<JobPage>, Failure> {
        let call = Call::read("Listing the jobs");
        let out_of_range = || call.not_sent("the time window is out of range");
        let start = rfc3339(floor(start)).ok_or_else(out_of_range)?;
        let mut query = vec![("start", start)];
        if let Some(end) = end {
            query.push(("end", rfc3339(ceil(end)).ok_or_else(out_of_range)?));
        }
        query.extend(page_token.map(|token| ("pageToken", token.to_owned())));
        let request = self.request(call, Method::GET, &["jobs"])?.query(&query);
        self.send(call, request).await
    }

    /// `GET /videos` (vendor-api.md 2.16: path, parameters and paging by convention only).
    pub async fn list_videos(&self) -> Result<Reply<Vec<RemoteVideo>>, Failure> {
        self.get(Call::read("Listing the videos"), &["videos"]).await
    }

    /// `GET /videos/{id}` (vendor-api.md 2.17).
    pub async fn get_video(&self, video: &RemoteVideoId) -> Result<Reply<RemoteVideo>, Failure> {
        self.get(Call::read("Reading the video"), &["videos", video.as_str()]).await
    }

    /// `DELETE /videos/{id}` (vendor-api.md 2.18; path by convention). A 404 means it is gone.
    pub async fn delete_video(&self, id: &RemoteVideoId) -> Result<Reply<Acknowledged>, Failure> {
        self.delete(Call::effect("Deleting the video"), &["videos", id.as_str()]).await
    }

    /// `GET /videos/{id}/create-download`: asks for a file to be prepared, although it is a GET;
    /// the content of the reply's text is undocumented (vendor-api.md 2.19).
    pub async fn create_download(
        &self,
        video: &RemoteVideoId,
    ) -> Result<Reply<Acknowledged>, Failure> {
        let call = Call::effect("Requesting the video file");
        self.get(call, &["videos", video.as_str(), "create-download"]).await
    }

    /// `GET /videos/{id}/download`: how far the file is (vendor-api.md 2.20).
    pub async fn get_download(
        &self,
        video: &RemoteVideoId,
    ) -> Result<Reply<DownloadStatus>, Failure> {
        let call = Call::read("Reading the state of the video file");
        self.get(call, &["videos", video.as_str(), "download"]).await
    }

    /// `GET /presets` (vendor-api.md 2.21: the schema is undocumented).
    pub async fn presets(&self) -> Result<Reply<Vec<Preset>>, Failure> {
        self.get(Call::read("Listing the presets"), &["presets"]).await
    }

    async fn get<T: Wire>(&self, call: Call, segments: &[&str]) -> Result<Reply<T>, Failure> {
        self.send(call, self.request(call, Method::GET, segments)?).await
    }

    async fn delete<T: Wire>(&self, call: Call, segments: &[&str]) -> Result<Reply<T>, Failure> {
        self.send(call, self.request(call, Method::DELETE, segments)?).await
    }

    async fn post<T: Wire>(
        &self,
        call: Call,
        segments: &[&str],
        body: &Value,
    ) -> Result<Reply<T>, Failure> {
        self.send(call, with_json(self.request(call, Method::POST, segments)?, body)).await
    }
}

/// An answer about something else (a confused cache or proxy) must not be taken for ours.
fn same_id(call: Call, asked: &str, got: &str) -> Result<(), Failure> {
    if asked == got {
        return Ok(());
    }
    Err(call.senseless("got an answer about another id"))
}

/// RFC 3339 in whole seconds, the only form that the docs show (vendor-api.md 2.14).
fn rfc3339(time: Millis) -> Option<String> {
    let time = DateTime::<Utc>::from_timestamp_millis(time)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn floor(time: Millis) -> Millis {
    time.saturating_sub(time.rem_euclid(1000))
}

fn ceil(time: Millis) -> Millis {
    floor(time.saturating_add(999))
}
