//! Bodies: how long and how slow they may be.

use crate::domain::photo::REQUEST_CAP_BYTES;
use crate::http::refusal::Refusal;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use hyper::body::{Frame, SizeHint};
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// Most bytes of a JSON body.
pub const JSON_CAP: u64 = 1024 * 1024;
/// Most bytes of an upload, which is the vendor's own limit of a request.
pub const UPLOAD_CAP: u64 = REQUEST_CAP_BYTES;
/// Longest wait for the next bytes of a body.
pub(super) const CHUNK_PATIENCE: Duration = Duration::from_secs(30);
/// A refused body of at most this many bytes is read away.
const SMALL: u64 = 64 * 1024;
/// Longest wait for one that is.
const DISCARD_PATIENCE: Duration = Duration::from_secs(2);

/// Why a body ends early. It is found in the chain of an error's sources, so that whoever reads
/// the body can answer with [`Broken::refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Longer than this many bytes.
    #[error("the body is longer than {0} bytes")]
    TooLong(u64),
    /// Nothing came for [`CHUNK_PATIENCE`].
    #[error("the body stopped coming")]
    TooSlow,
}

impl Broken {
    /// The same, if it is anywhere among an error's causes.
    pub fn among(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(broken) = error.downcast_ref::<Self>() {
                return Some(*broken);
            }
            next = error.source();
        }
        None
    }

    /// What the sender is told.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::TooLong(cap) => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than the {cap} bytes that are taken here"),
            ),
            Self::TooSlow => Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("no more of the body came for {} s", CHUNK_PATIENCE.as_secs()),
            ),
        }
    }
}

/// A refusal for a body that could not be read to its end.
pub fn unreadable(error: &(dyn Error + 'static)) -> Refusal {
    Broken::among(error).map_or_else(
        || Refusal::invalid("the body could not be read to its end; send the request again"),
        Broken::refusal,
    )
}

/// The whole body, of at most `cap` bytes.
///
/// # Errors
/// A [`Refusal`] when it is longer, too slow or breaks off.
pub async fn collect(body: Body, cap: u64) -> Result<Bytes, Refusal> {
    let limit = usize::try_from(cap).unwrap_or(usize::MAX);
    let (guarded, _) = Guarded::wrap(body, cap);
    axum::body::to_bytes(Body::new(guarded), limit).await.map_err(|error| unreadable(&error))
}

/// The media type of a body, lower case and without parameters.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (values.next()?, values.next());
    if second.is_some() {
        return None;
    }
    let name = first.to_str().ok()?.split(';').next()?.trim();
    Some(name.to_ascii_lowercase())
}

/// Whether JSON is in its own encoding, which is also what a missing charset means.
pub fn is_utf8(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parameters = text.unwrap_or_default().split(';').skip(1);
    parameters.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

/// Reads a small body away, so that the connection can go on. Answers whether nothing is left.
/// A large one is left to the end of the connection, which throws a part of it away.
pub(super) async fn discard(body: Body, headers: &HeaderMap) -> bool {
    if !super::has_body(headers) {
        return true;
    }
    if super::content_length(headers).is_none_or(|length| length > SMALL) {
        return false;
    }
    let read = axum::body::to_bytes(body, SMALL as usize);
    matches!(tokio::time::timeout(DISCARD_PATIENCE, read).await, Ok(Ok(_)))
}

/// Whether a body has been read to its end.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<AtomicBool>);

impl Progress {
    pub(super) fn is_finished(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body that ends with [`Broken`] when it is longer than allowed or stops coming. It holds no
/// more than the piece that is on its way.
pub(super) struct Guarded {
    inner: Body,
    cap: u64,
    left: u64,
    /// Runs while the sender is waited for, not while the reader is busy.
    patience: Option<Pin<Box<Sleep>>>,
    progress: Progress,
}

impl Guarded {
    pub(super) fn wrap(inner: Body, cap: u64) -> (Self, Progress) {
        let progress = Progress(Arc::new(AtomicBool::new(inner.is_end_stream())));
        let guarded = Self { inner, cap, left: cap, patience: None, progress: progress.clone() };
        (guarded, progress)
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            let patience =
                this.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(CHUNK_PATIENCE)));
            ready!(patience.as_mut().poll(cx));
            return Poll::Ready(Some(Err(axum::Error::new(Broken::TooSlow))));
        };
        this.patience = None;
        if frame.is_none() || this.inner.is_end_stream() {
            this.progress.0.store(true, Ordering::Relaxed);
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let length = data.len() as u64;
            if length > this.left {
                return Poll::Ready(Some(Err(axum::Error::new(Broken::TooLong(this.cap)))));
            }
            this.left -= length;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::{FromRequest, Multipart, Request};
    use tokio_stream::StreamExt;

    fn endless() -> Body {
        let piece = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024]));
        Body::from_stream(tokio_stream::iter(std::iter::repeat_with(piece)))
    }

    #[tokio::test]
    async fn a_body_ends_at_its_cap() {
        let refusal = collect(endless(), 10_000).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(refusal.message.contains("10000 bytes"), "{}", refusal.message);
        assert_eq!(collect(Body::from("12345"), 5).await.unwrap().len(), 5);
        assert_eq!(collect(Body::from("123456"), 5).await.unwrap_err().status.as_u16(), 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_ends() {
        let begun = tokio::time::Instant::now();
        let first = tokio_stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        let stuck = Body::from_stream(first.chain(tokio_stream::pending()));
        let refusal = collect(stuck, 100).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::REQUEST_TIMEOUT);
        let waited = begun.elapsed();
        assert!((CHUNK_PATIENCE..CHUNK_PATIENCE * 2).contains(&waited), "{waited:?}");
    }

    /// Readers of uploads find out why a body broke off, too.
    #[tokio::test]
    async fn the_reason_is_found_below_a_multipart_reader() {
        let start = "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
        let start = tokio_stream::iter([Ok::<_, std::io::Error>(Bytes::from(start))]);
        let body =
            Body::from_stream(start.chain(
                endless().into_data_stream().map(|piece| piece.map_err(std::io::Error::other)),
            ));
        let (body, progress) = Guarded::wrap(body, 100_000);
        let request = Request::post("/v1/uploads")
            .header("content-type", "multipart/form-data; boundary=b")
            .body(Body::new(body))
            .unwrap();
        let mut form = Multipart::from_request(request, &()).await.unwrap();
        let mut field = form.next_field().await.unwrap().unwrap();
        let error = loop {
            match field.chunk().await {
                Ok(piece) => assert!(piece.is_some(), "it ended well"),
                Err(error) => break error,
            }
        };
        assert_eq!(unreadable(&error).status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(!progress.is_finished());
    }
}
