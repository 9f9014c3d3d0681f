//! What the vendor answers, in the vendor's exact spelling on the wire and ours in Rust.
//!
//! Everything that the docs leave open is optional, unknown fields are ignored, and a status word
//! that nobody has documented is kept in `Other` (in lower case).

use super::lenient::{self, Salvaged};
use super::wire_media::{RemoteImage, RemoteVideo};
use crate::domain::ids::{Millis, RemoteJobId, RemoteModelId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Something that can be read from the vendor's envelope (vendor-api.md 1.1).
pub(super) trait Wire: Sized {
    /// Reads the payload; the error says which field was wrong.
    fn from_envelope(envelope: Map<String, Value>) -> Result<Self, String>;
}

/// Decodes a payload; `place` is where it sits in the reply.
pub(super) fn decode<T: DeserializeOwned>(value: Value, place: &str) -> Result<T, String> {
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
pub(super) fn record<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    match value {
        Value::Object(_) => decode(value, "result"),
        Value::Null => Err("result: missing".to_owned()),
        _ => Err("result: expected an object".to_owned()),
    }
}

pub(super) fn result_of(envelope: &mut Map<String, Value>) -> Value {
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
record_in_result!(RemoteModel, RemoteImage, RemoteVideo, Triggered, RemoteJob);

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
pub(super) use status_words;

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

/// A list in `result`, or one level deeper under `name` where the shape is undocumented. A `null`
/// is an empty list only beside an explicit `OK`.
pub(super) fn listed<T: DeserializeOwned>(
    envelope: &mut Map<String, Value>,
    name: &str,
) -> Result<Vec<T>, String> {
    let says_ok = envelope.contains_key("status");
    match result_of(envelope) {
        Value::Null if says_ok => Ok(Vec::new()),
        Value::Object(mut fields) if fields.contains_key(name) => {
            decode(fields.remove(name).unwrap_or_default(), &format!("result.{name}"))
        }
        other => decode(other, "result"),
    }
}

impl Wire for Vec<RemoteModel> {
    fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, String> {
        listed(&mut envelope, "models")
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
        let note = ["result", "message"].iter().find_map(|key| envelope.get(*key)?.as_str());
        Ok(Self { note: note.map(str::to_owned) })
    }
}
