//! What a user may ask for, in our words, and what the vendor documents about it.

use super::ids::{Id, RemoteImageId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The person a model is trained on (vendor-api.md 2.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Human-readable name.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// Age in years.
    #[schema(minimum = 1, maximum = 120)]
    pub age: u32,
    /// `Female` or `Male`, capitalised as the vendor does.
    pub gender: Gender,
    /// Free text, for example `south asian`.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ethnicity: Option<String>,
    /// Free text, for example `brown`.
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eye_color: Option<String>,
}

/// The two values the vendor documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Gender {
    /// `Female`
    Female,
    /// `Male`
    Male,
}

/// What an upload is for (vendor-api.md 2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadPurpose {
    /// A training photo: the vendor's `modelInput`.
    Training,
    /// A reference picture for prompts: the vendor's `auxiliaryType`.
    Reference,
}

/// The model a job runs on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelRef {
    /// A trained model: a row of ours.
    Trained(Id),
    /// A public model of the vendor's catalogue, by the vendor's id.
    Public(String),
}

/// A picture or video that a request refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaRef {
    /// Reachable by the vendor as it is.
    Url(String),
    /// An output of ours: replaced by a fresh vendor URL (or id) just before sending.
    Output(Id),
    /// A photo of ours at the vendor, or on its way there.
    Upload(Id),
    /// The n-th output (from 0) of a job of ours that may not have run yet.
    JobOutput {
        /// The job that produces it.
        job: Id,
        /// Its position among the job's outputs.
        index: u32,
    },
    /// A picture at the vendor that no row of ours describes.
    Remote(RemoteImageId),
}

/// An image job (vendor-api.md 2.11, both variants).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageRequest {
    /// Which model draws.
    pub model: ModelRef,
    /// What to draw; required for a public model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// How many pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_images: Option<u32>,
    /// Pixels; trained models only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels; trained models only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// For repeatable outputs; trained models only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// A preset's tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// For example `1:1`; public models only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect_ratio: Option<String>,
    /// An uploaded reference picture; trained models only. The vendor wants its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_image: Option<MediaRef>,
    /// Reference pictures; public models only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<MediaRef>,
    /// Further body fields in the vendor's spelling, passed through (`options` included).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// An upscale job (vendor-api.md 2.12).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpscaleRequest {
    /// The picture to enlarge; never a bare URL, the vendor wants an id.
    pub image: MediaRef,
}

/// A video job (vendor-api.md 2.13).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoRequest {
    /// A public video model, by the vendor's id.
    pub model: String,
    /// What to film.
    pub prompt: String,
    /// How many videos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_videos: Option<u32>,
    /// The first frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_frame: Option<MediaRef>,
    /// The last frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_frame: Option<MediaRef>,
    /// Reference pictures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<MediaRef>,
    /// Reference videos, for the families that take some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_videos: Vec<MediaRef>,
    /// Further body fields in the vendor's spelling, passed through (`options` included).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// The three kinds of job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum JobRequest {
    /// Make pictures.
    Image(ImageRequest),
    /// Enlarge one picture.
    Upscale(UpscaleRequest),
    /// Make videos.
    Video(VideoRequest),
}

impl JobRequest {
    /// The word stored in `jobs.type`.
    pub fn type_word(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Upscale(_) => "upscale",
            Self::Video(_) => "video",
        }
    }

    /// How many pictures or videos it orders, if it says so (the vendor's default is
    /// undocumented).
    pub fn count(&self) -> Option<u32> {
        match self {
            Self::Image(image) => image.num_images,
            Self::Upscale(_) => Some(1),
            Self::Video(video) => video.num_videos,
        }
    }

    /// Every picture or video that it refers to.
    pub fn media(&self) -> Vec<&MediaRef> {
        match self {
            Self::Image(image) => image.input_image.iter().chain(&image.references).collect(),
            Self::Upscale(upscale) => vec![&upscale.image],
            Self::Video(video) => video
                .first_frame
                .iter()
                .chain(&video.last_frame)
                .chain(&video.references)
                .chain(&video.reference_videos)
                .collect(),
        }
    }

    /// The same, to change them.
    pub fn media_mut(&mut self) -> Vec<&mut MediaRef> {
        match self {
            Self::Image(image) => {
                image.input_image.iter_mut().chain(&mut image.references).collect()
            }
            Self::Upscale(upscale) => vec![&mut upscale.image],
            Self::Video(video) => video
                .first_frame
                .iter_mut()
                .chain(&mut video.last_frame)
                .chain(&mut video.references)
                .chain(&mut video.reference_videos)
                .collect(),
        }
    }

    /// The photos of ours that it needs, each once.
    pub fn uploads_referred_to(&self) -> Vec<Id> {
        let mut uploads: Vec<Id> = self
            .media()
            .into_iter()
            .filter_map(|media| match media {
                MediaRef::Upload(upload) => Some(*upload),
                _ => None,
            })
            .collect();
        uploads.sort_unstable();
        uploads.dedup();
        uploads
    }

    /// The jobs whose outputs it needs, each once.
    pub fn jobs_referred_to(&self) -> Vec<Id> {
        let mut jobs: Vec<Id> = self
            .media()
            .into_iter()
            .filter_map(|media| match media {
                MediaRef::JobOutput { job, .. } => Some(*job),
                _ => None,
            })
            .collect();
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }
}
