//! `POST /images/upload` (vendor-api.md 2.8): one photo, streamed from disk.

use super::reply::Call;
use super::transport::{Client, Reply, describe};
use super::wire_media::RemoteImage;
use crate::domain::failure::Failure;
use crate::domain::ids::RemoteModelId;
use crate::domain::request::UploadPurpose;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde_json::json;
use std::path::Path;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

/// Bytes read from disk at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Longest file name sent, in characters; the vendor names no limit, file systems stop at 255.
const MAX_NAME: usize = 120;

/// One photo on its way (vendor-api.md 2.8).
#[derive(Clone, Copy, Debug)]
pub struct UploadImage<'a> {
    /// The model it belongs to.
    pub model: &'a RemoteModelId,
    /// Training photo or reference picture.
    pub purpose: UploadPurpose,
    /// Its name; sent in plain ASCII (other characters become `_`).
    pub file_name: &'a str,
    /// For example `image/jpeg`.
    pub media_type: &'a str,
    /// Where its bytes are.
    pub path: &'a Path,
}

impl Client {
    /// `POST /images/upload`: creates an image; nothing on the vendor's side removes duplicates
    /// (vendor-api.md 2.8). A file that cannot be opened is `NotSent`.
    pub async fn upload_image(
        &self,
        upload: UploadImage<'_>,
    ) -> Result<Reply<RemoteImage>, Failure> {
        let call = Call::effect("Uploading the photo");
        let form = form(&upload).await.map_err(|problem| call.not_sent(&problem))?;
        let request = self.request(call, Method::POST, &["images", "upload"])?.multipart(form);
        self.send(call, request).await
    }
}

async fn form(upload: &UploadImage<'_>) -> Result<Form, String> {
    let unreadable = |error: std::io::Error| format!("the file cannot be read: {error}");
    let file = tokio::fs::File::open(upload.path).await.map_err(unreadable)?;
    let metadata = file.metadata().await.map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("the path is not a file".to_owned());
    }
    // The length is promised in the header, so a file that grows meanwhile is cut there. One that
    // shrinks breaks the request, and the vendor never sees a complete one.
    let length = metadata.len();
    let stream = ReaderStream::with_capacity(file.take(length), CHUNK_BYTES);
    let file = Part::stream_with_length(Body::wrap_stream(stream), length)
        .file_name(safe_file_name(upload.file_name))
        .mime_str(upload.media_type)
        .map_err(describe)?;
    let kind = match upload.purpose {
        UploadPurpose::Training => "modelInput",
        UploadPurpose::Reference => "auxiliaryType",
    };
    // A plain field and a part of type application/json are both documented as working; this is
    // the Python sample's form.
    let data = json!({ "modelID": upload.model.as_str(), "type": kind }).to_string();
    let data = Part::text(data).mime_str("application/json").map_err(describe)?;
    Ok(Form::new().part("data", data).part("file", file))
}

/// The name in letters, digits, `.`, `-` and `_`. Quotes and line breaks would end the header
/// field, and servers disagree about everything beyond ASCII.
fn safe_file_name(name: &str) -> String {
    let plain: Vec<char> = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .collect();
    // The end is kept: the extension is what the vendor may look at.
    let kept: String = plain[plain.len().saturating_sub(MAX_NAME)..].iter().collect();
    let kept = kept.trim_start_matches('.');
    if kept.chars().any(|c| c.is_ascii_alphanumeric()) {
        kept.to_owned()
    } else {
        "photo".to_owned()
    }
}
