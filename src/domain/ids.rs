//! Identifiers. Ours are UUIDv7; the vendor's are opaque strings (vendor-api.md section 2).

use serde::{Deserialize, Serialize};
use std::fmt;

/// Unix time in milliseconds, UTC. Every stored time has this unit.
pub type Millis = i64;

/// One of our rows. UUIDv7, so ids sort by creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub uuid::Uuid);

impl Id {
    /// Parses a full id; `None` when it is not a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(Self)
    }

    /// Sixty-four bits of the id's random part: a stable source of jitter.
    pub fn entropy(self) -> u64 {
        self.0.as_u64_pair().1
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! remote_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The vendor's text, unchanged.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    )+};
}

remote_id! {
    /// The vendor's id of a model.
    RemoteModelId,
    /// The vendor's id of an image, uploaded or produced.
    RemoteImageId,
    /// The vendor's id of a job.
    RemoteJobId,
    /// The vendor's id of a video.
    RemoteVideoId,
}
