//! What the vendor answers, in the vendor's exact spelling on the wire and ours in Rust.
//!
//! Everything that the docs leave open is optional, unknown fields are ignored, and a status word
//! that nobody has documented is kept in `Other` (in lower case).

use super::lenient::{self, Salvaged};
use crate::domain::ids::{Millis, RemoteImageId, RemoteJobId, RemoteModelId, RemoteVideoId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Something that can be read from the vendor's envelope (vendor-api.md 1.1).
pub(super) trait Wire: Sized {
    /// Reads the payload; the error says which field was wrong.
    fn from_envelope(envelope: Map<String, Value>) -> Result<Self, String>;
}

/// Decodes a payload; `place` is where it sits in the reply.
fn decode<T: DeserializeOwned>(value: Value, place: &str) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let dot = if path.starts_with('[') { "" } else { "." };
        match path.as_str() {
            "." => format!("{place}: {}", error.into_inner()),
            path => format!("{place}{dot}{path}: {}", error.into_inner()),
        }
    })
}

/// A record is an object: serde would also read one from a list, field by field.
fn record<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    match value {
        Value::Object(_) => decode(value, "result"),
        Value::Null => Err("result: missing".to_owned()),
        _ => Err("result: expected an object".to_owned()),
    }
}

fn result_of(envelope: &mut Map<String, Value>) -> Value {
    envelope.remove("result").unwrap_or(Value::Null)
}

macro_rules! record_in_result {
    ($($type:ty),+) => {$(
        impl Wire for $type {
            fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, String> {
                record(result_of(&mut envelope))
            }
        }
    )+};
}
record_in_result!(
    RemoteModel,
    RemoteImage,
    RemoteVideo,
    Triggered,
    RemoteJob,
    JobPage
);

macro_rules! status_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $($word:literal)|+),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// Anything else, in lower case; empty when the reply had no status.
            Other(String),
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text.to_lowercase().as_str() {
                    $($($word)|+ => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::Other(String::new())
            }
        }
    };
}

status_words! {
    /// How far a model is (vendor-api.md 3.1).
    ModelStatus {
        /// Created, not trained.
        New = "new",
        /// Training runs.
        Training = "training",
        /// Trained.
        Ready = "ready",
        /// Deleted.
        Deleted = "deleted",
        /// Not documented; seen in a third party's notes.
        Failed = "failed",
    }
}

status_words! {
    /// How far a job is (vendor-api.md 3.2).
    JobStatus {
        /// Accepted.
        Created = "created",
        /// Waiting.
        Queued = "queued",
        /// At work.
        Running = "running",
        /// Finished; `completed` is a third party's word for it (vendor-api.md 3.2).
        Success = "success" | "completed",
        /// Finished without success.
        Failed = "failed",
    }
}

status_words! {
    /// How far the preparation of a video file is (vendor-api.md 3.3: only `ready` is documented).
    DownloadState {
        /// The file can be fetched.
        Ready = "ready",
    }
}

/// A model (vendor-api.md 2.2 to 2.4).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteModel {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: RemoteModelId,
    /// How far it is.
    #[serde(default, deserialize_with = "lenient::word")]
    pub status: ModelStatus,
    /// Its name; undocumented, the create reply does not echo it (U3).
    #[serde(default, deserialize_with = "lenient::opt_text")]
    pub name: Option<String>,
    /// Values undocumented.
    #[serde(default, deserialize_with = "lenient::opt_text")]
    pub model_type: Option<String>,
    /// Unix milliseconds.
    #[serde(default, deserialize_with = "lenient::opt_time")]
    pub created_at: Option<Millis>,
    /// Unix milliseconds.
    #[serde(default, deserialize_with = "lenient::opt_time")]
    pub updated_at: Option<Millis>,
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
    #[serde(
        default,
        rename = "publicMediaID",
        deserialize_with = "lenient::opt_text"
    )]
    pub public_media_id: Option<String>,
    /// The enlarged picture, presumably once one exists (vendor-api.md 2.9).
    #[serde(
        default,
        rename = "upscaledImageID",
        deserialize_with = "lenient::opt_id"
    )]
    pub upscaled_image_id: Option<RemoteImageId>,
    /// Where the enlarged picture's bytes are.
    #[serde(
        default,
        rename = "upscaledImageURL",
        deserialize_with = "lenient::opt_text"
    )]
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
    #[serde(
        default,
        rename = "publicMediaID",
        deserialize_with = "lenient::opt_text"
    )]
    pub public_media_id: Option<String>,
}

/// An accepted job (vendor-api.md 2.11 to 2.13).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Triggered {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub job_id: RemoteJobId,
    /// `queued` in the vendor's example.
    #[serde(default, deserialize_with = "lenient::word")]
    pub status: JobStatus,
}

/// A job in full (vendor-api.md 2.14).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "RawJob")]
pub struct RemoteJob {
    /// Its id.
    pub job_id: RemoteJobId,
    /// How far it is.
    pub status: JobStatus,
    /// The pictures it made; may be empty even after a success.
    pub images: Vec<RemoteImage>,
    /// The videos it made; may be empty even after a success.
    pub videos: Vec<RemoteVideo>,
    /// Entries of both lists that had no usable id: paid for, but not addressable.
    pub unreadable_media: usize,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// The model it ran on, when there is one.
    pub model_id: Option<RemoteModelId>,
    /// Unix milliseconds.
    pub created_at: Option<Millis>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawJob {
    #[serde(deserialize_with = "lenient::id")]
    job_id: RemoteJobId,
    #[serde(default, deserialize_with = "lenient::word")]
    status: JobStatus,
    #[serde(default)]
    images: Salvaged<RemoteImage>,
    #[serde(default)]
    videos: Salvaged<RemoteVideo>,
    #[serde(default, deserialize_with = "lenient::opt_reason")]
    error: Option<String>,
    #[serde(default, deserialize_with = "lenient::opt_id")]
    model_id: Option<RemoteModelId>,
    #[serde(default, deserialize_with = "lenient::opt_time")]
    created_at: Option<Millis>,
}

impl From<RawJob> for RemoteJob {
    fn from(raw: RawJob) -> Self {
        Self {
            job_id: raw.job_id,
            status: raw.status,
            unreadable_media: raw.images.unreadable + raw.videos.unreadable,
            images: raw.images.items,
            videos: raw.videos.items,
            error: raw.error,
            model_id: raw.model_id,
            created_at: raw.created_at,
        }
    }
}

/// A job as listed (vendor-api.md 2.15): no type, model, prompt or media.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedJob {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub job_id: RemoteJobId,
    /// How far it is.
    #[serde(default, deserialize_with = "lenient::word")]
    pub status: JobStatus,
    /// What it cost, in the vendor's credits (U16).
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub credits: Option<f64>,
    /// Why it did not succeed.
    #[serde(default, deserialize_with = "lenient::opt_reason")]
    pub error_message: Option<String>,
    /// Unix milliseconds; possibly in whole seconds.
    #[serde(default, deserialize_with = "lenient::opt_time")]
    pub created_at: Option<Millis>,
    /// Unix milliseconds.
    #[serde(default, deserialize_with = "lenient::opt_time")]
    pub updated_at: Option<Millis>,
}

/// One page of the job list (vendor-api.md 2.15). One unreadable entry fails the page: "no such
/// job" may only be said of a list that was read completely.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPage {
    /// The entries; order undocumented.
    #[serde(default, deserialize_with = "lenient::strict_list")]
    pub jobs: Vec<ListedJob>,
    /// Absent on the last page.
    #[serde(default, deserialize_with = "lenient::opt_text")]
    pub next_page_token: Option<String>,
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

/// A list in `result`, or one level deeper under `name` where the shape is undocumented. A `null`
/// is an empty list only beside an explicit `OK`.
fn listed<T: DeserializeOwned>(
    envelope: &mut Map<String, Value>,
    name: &str,
) -> Result<Vec<T>, String> {
    let says_ok = envelope.contains_key("status");
    match result_of(envelope) {
        Value::Null if says_ok => Ok(Vec::new()),
        Value::Object(mut fields) if fields.contains_key(name) => decode(
            fields.remove(name).unwrap_or_default(),
            &format!("result.{name}"),
        ),
        other => decode(other, "result"),
    }
}

impl Wire for Vec<RemoteModel> {
    fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, String> {
        listed(&mut envelope, "models")
    }
}

impl Wire for Vec<RemoteVideo> {
    fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, String> {
        listed(&mut envelope, "videos")
    }
}

impl Wire for Vec<Preset> {
    fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, String> {
        Ok(listed::<Value>(&mut envelope, "presets")?
            .into_iter()
            .map(Preset::from)
            .collect())
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
        let tag = raw
            .get("tag")
            .or(Some(&raw))
            .and_then(Value::as_str)
            .map(str::to_owned);
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

/// An `OK` that brings no record: ping, training, create-download and the deletes
/// (vendor-api.md 1.1, 2.7, 2.19).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The text that came with it: `Training triggered`, `pong!`.
    pub note: Option<String>,
}

impl Wire for Acknowledged {
    fn from_envelope(envelope: Map<String, Value>) -> Result<Self, String> {
        if !envelope.contains_key("status") {
            return Err("status: missing".to_owned());
        }
        let note = ["result", "message"]
            .iter()
            .find_map(|key| envelope.get(*key)?.as_str());
        Ok(Self {
            note: note.map(str::to_owned),
        })
    }
}
