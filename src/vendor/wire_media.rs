//! Images, videos, video files and presets, by the rules of `wire`.

use super::lenient;
use super::wire::{Wire, listed, record, result_of, status_words};
use crate::domain::ids::{Millis, RemoteImageId, RemoteJobId, RemoteModelId, RemoteVideoId};
use serde::Deserialize;
use serde_json::{Map, Value};

status_words! {
    /// How far the preparation of a video file is (vendor-api.md 3.3: only `ready` is documented).
    DownloadState {
        /// The file can be fetched.
        Ready = "ready",
    }
}

/// An image, uploaded or produced (vendor-api.md 2.6). It never says which job made it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RemoteImage {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: RemoteImageId,
    /// Where its bytes are, for an unknown time (U13).
    #[serde(default, deserialize_with = "lenient::opt_text")]
    pub url: Option<String>,
    /// `modelInput`, `auxiliaryType` or an undocumented word.
    #[serde(default, rename = "type", deserialize_with = "lenient::opt_text")]
    pub image_type: Option<String>,
    /// The model it belongs to.
    #[serde(default, rename = "modelID", deserialize_with = "lenient::opt_id")]
    pub model_id: Option<RemoteModelId>,
    /// Unix milliseconds.
    #[serde(default, rename = "createdAt", deserialize_with = "lenient::opt_time")]
    pub created_at: Option<Millis>,
    /// Unix milliseconds.
    #[serde(default, rename = "updatedAt", deserialize_with = "lenient::opt_time")]
    pub updated_at: Option<Millis>,
    /// Undocumented extras (U25).
    #[serde(default)]
    pub data: Value,
    /// Undocumented.
    #[serde(default, rename = "folderID", deserialize_with = "lenient::opt_text")]
    pub folder_id: Option<String>,
    /// Whether its owner likes it.
    #[serde(default, deserialize_with = "lenient::opt_bool")]
    pub liked: Option<bool>,
    /// Its id as public media.
    #[serde(default, rename = "publicMediaID", deserialize_with = "lenient::opt_text")]
    pub public_media_id: Option<String>,
    /// The enlarged picture, presumably once one exists (vendor-api.md 2.9).
    #[serde(default, rename = "upscaledImageID", deserialize_with = "lenient::opt_id")]
    pub upscaled_image_id: Option<RemoteImageId>,
    /// Where the enlarged picture's bytes are.
    #[serde(default, rename = "upscaledImageURL", deserialize_with = "lenient::opt_text")]
    pub upscaled_image_url: Option<String>,
}

/// A video (vendor-api.md 2.17).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RemoteVideo {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: RemoteVideoId,
    /// The job that made it.
    #[serde(default, rename = "jobId", deserialize_with = "lenient::opt_id")]
    pub job_id: Option<RemoteJobId>,
    /// In the vendor's example a playlist, not a file (vendor-api.md 2.14).
    #[serde(default, deserialize_with = "lenient::opt_text")]
    pub url: Option<String>,
    /// Values undocumented.
    #[serde(default, rename = "type", deserialize_with = "lenient::opt_text")]
    pub video_type: Option<String>,
    /// The model that made it.
    #[serde(default, rename = "modelID", deserialize_with = "lenient::opt_id")]
    pub model_id: Option<RemoteModelId>,
    /// Unix milliseconds.
    #[serde(default, rename = "createdAt", deserialize_with = "lenient::opt_time")]
    pub created_at: Option<Millis>,
    /// Unix milliseconds.
    #[serde(default, rename = "updatedAt", deserialize_with = "lenient::opt_time")]
    pub updated_at: Option<Millis>,
    /// Undocumented extras (U25).
    #[serde(default)]
    pub data: Value,
    /// Undocumented.
    #[serde(default, rename = "folderID", deserialize_with = "lenient::opt_text")]
    pub folder_id: Option<String>,
    /// Whether its owner likes it.
    #[serde(default, deserialize_with = "lenient::opt_bool")]
    pub liked: Option<bool>,
    /// Its id as public media; the download calls accept it too (vendor-api.md 2.19).
    #[serde(default, rename = "publicMediaID", deserialize_with = "lenient::opt_text")]
    pub public_media_id: Option<String>,
}

/// One page of a model's images (vendor-api.md 2.6).
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePage {
    /// The entries; order undocumented.
    pub images: Vec<RemoteImage>,
    /// The page that the vendor says this is.
    pub page: Option<u64>,
    /// The page size that the vendor says it used.
    pub page_size: Option<u64>,
}

impl Wire for ImagePage {
    fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, String> {
        Ok(Self {
            images: listed(&mut envelope, "images")?,
            page: envelope.get("page").and_then(Value::as_u64),
            page_size: envelope.get("pageSize").and_then(Value::as_u64),
        })
    }
}

impl Wire for Vec<RemoteVideo> {
    fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, String> {
        listed(&mut envelope, "videos")
    }
}

impl Wire for Vec<Preset> {
    fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, String> {
        Ok(listed::<Value>(&mut envelope, "presets")?.into_iter().map(Preset::from).collect())
    }
}

/// A preset (vendor-api.md 2.21): nothing but the word *tag* is documented.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// What the field `preset` of a generation request takes.
    pub tag: Option<String>,
    /// The entry as it came.
    pub raw: Value,
}

impl From<Value> for Preset {
    fn from(raw: Value) -> Self {
        let tag = raw.get("tag").or(Some(&raw)).and_then(Value::as_str).map(str::to_owned);
        Self { tag, raw }
    }
}

/// How far the preparation of a video file is (vendor-api.md 2.20).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownloadStatus {
    /// 0 to 100.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub percent_complete: Option<f64>,
    /// The word behind it.
    #[serde(default, deserialize_with = "lenient::word")]
    pub status: DownloadState,
    /// Where the file is; usable once `status` is ready.
    #[serde(default, deserialize_with = "lenient::opt_text")]
    pub url: Option<String>,
}

impl Wire for DownloadStatus {
    fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, String> {
        // What this call says before a preparation was requested is undocumented (U26).
        match result_of(&mut envelope) {
            Value::Null => Ok(Self::default()),
            other => record(other),
        }
    }
}
