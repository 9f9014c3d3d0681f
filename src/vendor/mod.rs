//! The only outgoing vendor HTTP: calls, their classification, and media downloads.
//!
//! Reading order: `reply` (what an answer means, pure), `wire`, `job_page` and `body` (the vendor's
//! spelling, which ends here), `transport` (the two HTTP clients), `calls`, `upload` and `listing` (one
//! method per endpoint), `fetch` (media, without the key).
//!
//! Two rules hold everywhere. Nothing here repeats a call: whether to try again is decided by
//! whoever stored the intent. And the key leaves only as a request header: every text that comes
//! back passes a redactor before anybody sees it.

mod account;
mod address;
mod body;
mod calls;
mod fetch;
mod job_page;
mod lazy;
mod lenient;
mod listing;
mod redact;
mod reply;
mod sniff;
mod transport;
mod upload;
mod wire;
mod wire_media;

#[cfg(test)]
mod tests;

pub use body::{
    IdentityPatch, Resolved, create_model_body, image_body, update_model_body, upscale_body,
    video_body,
};
pub use calls::ImageFilter;
pub use fetch::{
    AsyncChunkSink, FetchError, Fetched, MediaClient, MediaConfig, RefusedMedia, SinkFuture,
};
pub use job_page::{JobPage, PageForm};
pub use listing::{FoundJobs, JobPages, ListEnd};
pub use reply::is_the_vendors_no;
pub use sniff::sniff_media_type;
pub use transport::{BuildError, Client, ClientConfig, Reply};
pub use upload::UploadImage;
pub use wire::{
    Acknowledged, JobStatus, ListedJob, ModelStatus, RemoteJob, RemoteModel, Triggered,
};
pub use wire_media::{DownloadState, DownloadStatus, ImagePage, Preset, RemoteImage, RemoteVideo};
