//! What is known about one file.

use super::{EXTENSIONS, display_name};
use serde::{Deserialize, Serialize, Serializer};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The kinds of picture the vendor takes (vendor-api.md section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaType {
    /// JPEG
    Jpeg,
    /// PNG
    Png,
    /// WebP
    Webp,
    /// HEIC, the iPhone's format. We check its structure but cannot decode it.
    Heic,
}

impl MediaType {
    /// The media type for a `Content-Type` header.
    pub fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Heic => "image/heic",
        }
    }

    /// The usual file name ending, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Heic => "heic",
        }
    }

    /// The name people use, for example `JPEG`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Webp => "WebP",
            Self::Heic => "HEIC",
        }
    }

    /// The type a lower-case file name ending promises.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "png" => Some(Self::Png),
            "webp" => Some(Self::Webp),
            "heic" => Some(Self::Heic),
            _ => None,
        }
    }
}

/// What looking at a file's bytes showed. Reasons are phrases that fit into brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "state", content = "detail", rename_all = "snake_case")]
pub enum Integrity {
    /// A whole picture of a type the vendor takes.
    Ok,
    /// Not looked into, because its name or its size already rules it out.
    NotRead,
    /// Zero bytes.
    Empty,
    /// The end is missing.
    Truncated(String),
    /// It does not decode.
    Corrupt(String),
    /// Something else, named with its article: `text`, `a PDF document`.
    NotAnImage(String),
    /// A picture of a type the vendor does not take, named with its article: `a GIF image`.
    Unsupported(String),
    /// The operating system, or our own limits, did not let us read it.
    Unreadable(String),
}

/// Everything known about one file. Ordered by name first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PhotoFacts {
    /// File name without folders, safe to print (see [`display_name`]).
    pub name: String,
    /// Where the file is.
    #[serde(serialize_with = "lossy_path")]
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// What the content is, when it is a type the vendor takes. The content decides, not the name.
    pub media: Option<MediaType>,
    /// File name ending in lower case, without the dot.
    pub extension: Option<String>,
    /// Width and height in pixels as stored, before any EXIF rotation.
    pub pixels: Option<(u32, u32)>,
    /// SHA-256 of the content in lower-case hex; `None` when the file was not read.
    pub sha256: Option<String>,
    /// Whether it is a whole picture.
    pub integrity: Integrity,
    /// Difference hash of 64 bits; `None` when the picture was not decoded (HEIC never is).
    pub dhash: Option<u64>,
}

impl PhotoFacts {
    /// What a path alone tells: nothing has been read yet.
    pub fn unread(path: &Path, bytes: u64) -> Self {
        Self {
            name: display_name(path.file_name().unwrap_or(path.as_os_str())),
            path: path.to_owned(),
            bytes,
            media: None,
            extension: path.extension().map(|e| e.to_string_lossy().to_lowercase()),
            pixels: None,
            sha256: None,
            integrity: Integrity::NotRead,
            dhash: None,
        }
    }

    /// Why a file that merely lies in the same folder is passed over, if it is.
    pub fn ignored(&self) -> Option<String> {
        if self.name.starts_with('.') {
            return Some("hidden file".to_owned());
        }
        match self.extension.as_deref() {
            Some(extension) if EXTENSIONS.contains(&extension) => None,
            Some(extension) => Some(format!(
                "the ending .{} is none of {}",
                display_name(OsStr::new(extension)),
                EXTENSIONS.join(", ")
            )),
            None => {
                Some(format!("no file name ending; needed is one of {}", EXTENSIONS.join(", ")))
            }
        }
    }
}

/// JSON has no room for bytes that are not UTF-8, and failing to report would be worse.
pub(super) fn lossy_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
