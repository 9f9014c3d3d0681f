//! Media downloads: a client of their own, which has never heard of the key.

use super::address::{self, PrivateAddress, PublicOnly};
use super::lazy::{Lazy, without_roots};
use super::transport::{BuildError, describe};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{ClientBuilder, Response, redirect, retry};
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Redirects followed, each checked like the first URL.
const MAX_REDIRECTS: usize = 5;

/// How to download media.
#[derive(Clone)]
pub struct MediaConfig {
    /// The vendor's base URL. Only when its host is loopback (the simulator) may media come from
    /// there, over http too; every other private address is refused.
    pub base_url: Url,
    /// Sent with every request.
    pub user_agent: String,
    /// Limit for DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest silence in the middle of a download; there is no total limit, files differ in size.
    pub idle_timeout: Duration,
    /// Used for every download when set. Names are then resolved by the proxy, and with them the
    /// protection against private addresses is the proxy's; literal addresses are still checked.
    pub proxy: Option<Url>,
}

impl MediaConfig {
    /// Sensible limits: 10 s to connect, 60 s of silence.
    pub fn new(base_url: Url) -> Self {
        Self {
            base_url,
            user_agent: concat!("darkroom/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            proxy: None,
        }
    }
}

/// What [`AsyncChunkSink::write`] returns.
pub type SinkFuture<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;

/// Where the bytes go. The caller decides what makes them durable and visible.
pub trait AsyncChunkSink: Send {
    /// Takes the next bytes, all of them.
    fn write<'a>(&'a mut self, chunk: &'a [u8]) -> SinkFuture<'a>;
}

/// Keeps the bytes in memory; for small things and tests.
impl AsyncChunkSink for Vec<u8> {
    fn write<'a>(&'a mut self, chunk: &'a [u8]) -> SinkFuture<'a> {
        self.extend_from_slice(chunk);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A complete download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// How many bytes the sink received.
    pub bytes: u64,
    /// The `Content-Type` header; a claim, see [`super::sniff_media_type`].
    pub content_type: Option<String>,
}

/// Why a download did not happen, by what to do about it. No variant holds the URL: it may be
/// signed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The link does not work any more (401, 403, 404, 410 or another 4xx that waiting does not
    /// change): read the record again for a fresh one.
    #[error("the link does not work any more (HTTP {status})")]
    Expired {
        /// The HTTP status.
        status: u16,
    },
    /// Network trouble, 5xx, 429: try again later.
    #[error("the download failed: {problem}")]
    Retryable {
        /// What happened.
        problem: String,
        /// The HTTP status, when an answer came.
        status: Option<u16>,
    },
    /// Our own rules forbid it; trying again changes nothing.
    #[error("the download was refused: {0}")]
    Refused(RefusedMedia),
    /// The connection ended early: what the sink received is incomplete.
    #[error("the download ended after {received} of {expected} bytes")]
    Truncated {
        /// What `Content-Length` promised.
        expected: u64,
        /// What came.
        received: u64,
    },
    /// The sink could not take the bytes (disk full).
    #[error("the downloaded bytes could not be written: {0}")]
    Sink(#[source] io::Error),
}

/// Which rule forbids a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedMedia {
    /// Not a URL, or one with a user name in it.
    #[error("the link is not a usable URL")]
    BadUrl,
    /// Neither https nor the configured loopback vendor.
    #[error("only https links are followed")]
    Scheme,
    /// It leads into this machine's own network.
    #[error("the link leads to a private address")]
    PrivateAddress,
    /// More bytes than the caller allows.
    #[error("the file is larger than {cap} bytes")]
    TooBig {
        /// The caller's limit.
        cap: u64,
    },
    /// More hops than we follow.
    #[error("the link redirects more than {MAX_REDIRECTS} times")]
    TooManyRedirects,
}

impl From<RefusedMedia> for FetchError {
    fn from(reason: RefusedMedia) -> Self {
        Self::Refused(reason)
    }
}

/// Downloads media. Cheap to share behind an `Arc`.
pub struct MediaClient {
    http: Lazy,
    /// The same for `local` over plain http, which needs no certificates.
    plain: Option<Lazy>,
    /// The one place on this machine that media may come from.
    local: Option<Url>,
}

impl std::fmt::Debug for MediaClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaClient").finish_non_exhaustive()
    }
}

impl MediaClient {
    /// Builds the client; sends nothing.
    pub fn new(config: &MediaConfig) -> Result<Self, BuildError> {
        let local = Some(&config.base_url).filter(|url| address::is_loopback_host(url)).cloned();
        let exempt: Vec<String> = [local.as_ref(), config.proxy.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|url| url.host_str().map(str::to_owned))
            .collect();
        let tls_to_proxy = config.proxy.as_ref().is_some_and(|url| url.scheme() != "http");
        let common = Arc::new((config.clone(), exempt));
        let shared = common.clone();
        let plain = match tls_to_proxy {
            true => None,
            false => Some(Lazy::new(move || Ok(without_roots(settings(&shared.0, &shared.1)?)))?),
        };
        let http = Lazy::new(move || settings(&common.0, &common.1))?;
        Ok(Self { http, plain, local })
    }

    /// Streams what is at `url` into the sink, at most `cap` bytes. After an error the sink may
    /// hold a part of the file; the caller discards it.
    pub async fn fetch(
        &self,
        url: &str,
        cap: u64,
        sink: &mut dyn AsyncChunkSink,
    ) -> Result<Fetched, FetchError> {
        let response = self.open(url).await?;
        let expected = response.content_length();
        if expected.is_some_and(|length| length > cap) {
            return Err(RefusedMedia::TooBig { cap }.into());
        }
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let bytes = stream(response, expected, cap, sink).await?;
        Ok(Fetched { bytes, content_type })
    }

    /// The final answer, after the redirects.
    async fn open(&self, url: &str) -> Result<Response, FetchError> {
        let mut url = Url::parse(url).map_err(|_| RefusedMedia::BadUrl)?;
        for _ in 0..=MAX_REDIRECTS {
            self.check_hop(&url)?;
            let http = self.http_for(&url).get().await.map_err(|error| FetchError::Retryable {
                problem: error.to_string(),
                status: None,
            })?;
            let response = http.get(url.clone()).send().await.map_err(request_error)?;
            let status = response.status();
            if status.is_redirection() {
                let next = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                let next = next.ok_or_else(|| unexpected(status.as_u16()))?;
                url = url.join(next).map_err(|_| RefusedMedia::BadUrl)?;
                continue;
            }
            return match status.as_u16() {
                200 => Ok(response),
                // Somebody was too slow or too busy; the link may be fine.
                408 | 425 | 429 => Err(unexpected(status.as_u16())),
                // 400 too: object stores answer it for an expired signature.
                status @ 400..=499 => Err(FetchError::Expired { status }),
                status => Err(unexpected(status)),
            };
        }
        Err(RefusedMedia::TooManyRedirects.into())
    }

    /// Only the local place passes [`Self::check_hop`] with plain http.
    fn http_for(&self, url: &Url) -> &Lazy {
        match &self.plain {
            Some(plain) if url.scheme() == "http" => plain,
            _ => &self.http,
        }
    }

    fn check_hop(&self, url: &Url) -> Result<(), RefusedMedia> {
        if !url.username().is_empty() || url.password().is_some() || url.host().is_none() {
            return Err(RefusedMedia::BadUrl);
        }
        if let Some(local) = &self.local
            && url.host() == local.host()
        {
            let same_place = url.scheme() == local.scheme()
                && url.port_or_known_default() == local.port_or_known_default();
            // Other ports of this machine are other programs.
            return if same_place { Ok(()) } else { Err(RefusedMedia::PrivateAddress) };
        }
        if url.scheme() != "https" {
            return Err(RefusedMedia::Scheme);
        }
        if address::host_may_be_public(url) { Ok(()) } else { Err(RefusedMedia::PrivateAddress) }
    }
}

fn settings(config: &MediaConfig, exempt: &[String]) -> Result<ClientBuilder, BuildError> {
    let builder = reqwest::Client::builder()
        .user_agent(&config.user_agent)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .connect_timeout(config.connect_timeout)
        .read_timeout(config.idle_timeout)
        .dns_resolver(PublicOnly { exempt: exempt.to_vec() })
        .no_proxy();
    match &config.proxy {
        None => Ok(builder),
        Some(url) => {
            Ok(builder.proxy(reqwest::Proxy::all(url.clone()).map_err(|_| BuildError::Proxy)?))
        }
    }
}

async fn stream(
    mut response: Response,
    expected: Option<u64>,
    cap: u64,
    sink: &mut dyn AsyncChunkSink,
) -> Result<u64, FetchError> {
    let mut received: u64 = 0;
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let total = received.saturating_add(chunk.len() as u64);
                if total > cap {
                    return Err(RefusedMedia::TooBig { cap }.into());
                }
                sink.write(&chunk).await.map_err(FetchError::Sink)?;
                received = total;
            }
            Ok(None) => break,
            Err(error) => {
                return Err(match expected {
                    Some(expected) if received < expected && !error.is_timeout() => {
                        FetchError::Truncated { expected, received }
                    }
                    _ => request_error(error),
                });
            }
        }
    }
    match expected {
        Some(expected) if expected != received => Err(FetchError::Truncated { expected, received }),
        _ => Ok(received),
    }
}

fn unexpected(status: u16) -> FetchError {
    FetchError::Retryable { problem: format!("HTTP {status}"), status: Some(status) }
}

fn request_error(error: reqwest::Error) -> FetchError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<PrivateAddress>() {
            return RefusedMedia::PrivateAddress.into();
        }
        cause = inner.source();
    }
    FetchError::Retryable { problem: describe(error), status: None }
}
