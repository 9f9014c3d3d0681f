//! The two HTTP clients behind [`Client`], and the one place where a request is sent.

use super::lazy::{Lazy, without_roots};
use super::redact::Redactor;
use super::reply::{Call, CallKind, HttpReply, Transport, settle};
use super::{reply, wire};
use crate::domain::failure::Failure;
use crate::domain::ids::Millis;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, RequestBuilder, Response, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use url::Url;

/// Replies larger than this are not read to the end. A page of jobs is some kilobytes; the cap
/// only keeps a misbehaving proxy from filling the memory.
const MAX_REPLY_BYTES: usize = 32 * 1024 * 1024;

/// Connections for reads that are kept when nothing is asked; more may be open while it is.
const IDLE_CONNECTIONS: usize = 8;

/// How to reach the vendor.
#[derive(Clone)]
pub struct ClientConfig {
    /// Every path is relative to this (vendor-api.md section 1). Plain http is accepted for
    /// loopback only, because the key travels in a header.
    pub base_url: Url,
    /// Sent as `Authorization: Bearer <key>` on every call (vendor-api.md section 1).
    pub api_key: SecretString,
    /// An explicit, ordinary `User-Agent`: the vendor's edge refuses some default ones
    /// (vendor-api.md section 1).
    pub user_agent: String,
    /// Total deadline of one call, body included; 120 s in the vendor's samples (vendor-api.md 4).
    pub request_timeout: Duration,
    /// Limit for DNS, TCP and TLS together. Shorter than `request_timeout`, so that an
    /// unreachable vendor is known to be "not sent" instead of "unknown".
    pub connect_timeout: Duration,
    /// Used for every call when set; proxies from the environment are never used.
    pub proxy: Option<Url>,
}

impl ClientConfig {
    /// The vendor's documented defaults for a base URL and a key: 120 s in total, 10 s to connect.
    pub fn new(base_url: Url, api_key: SecretString) -> Self {
        Self {
            base_url,
            api_key,
            user_agent: concat!("darkroom/", env!("CARGO_PKG_VERSION")).to_owned(),
            request_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(10),
            proxy: None,
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("base_url", &self.base_url.as_str())
            .field("user_agent", &self.user_agent)
            .field("request_timeout", &self.request_timeout)
            .field("connect_timeout", &self.connect_timeout)
            // A proxy's URL may hold a password.
            .field("proxy", &self.proxy.as_ref().and_then(Url::host_str))
            .finish_non_exhaustive()
    }
}

/// Why a client could not be built: all of them are configuration mistakes.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The base URL cannot carry paths, has no host, or holds a user name, query or fragment.
    #[error("the base URL must look like https://host/path, without user, query or fragment")]
    BaseUrl,
    /// Plain http to a host that is not loopback would show the key to the network.
    #[error("the base URL must be https (plain http is accepted for loopback only)")]
    InsecureBaseUrl,
    /// The key is empty or holds characters that no HTTP header can carry.
    #[error("the API key is empty or holds characters that an HTTP header cannot carry")]
    ApiKey,
    /// The proxy URL is not usable.
    #[error("the proxy URL is not usable")]
    Proxy,
    /// The HTTP library refused the settings (user agent, TLS roots).
    #[error("the HTTP client could not be set up: {0}")]
    Http(String),
}

/// A usable answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<T> {
    /// What was asked for.
    pub value: T,
    /// The vendor's clock when it answered (the `Date` header, whole seconds), Unix milliseconds.
    /// Several pages read as one carry the earliest: the list is complete as of then.
    pub vendor_time: Option<Millis>,
}

impl<T> Reply<T> {
    /// The same reply with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reply<U> {
        Reply { value: change(self.value), vendor_time: self.vendor_time }
    }
}

/// The vendor, as methods: one per endpoint, each sends at most one request (the `all_*` readers
/// send one per page). Cheap to share behind an `Arc`.
pub struct Client {
    pub(super) base_url: Url,
    /// For its digest; it leaves as a header only.
    pub(super) key: SecretString,
    /// Keep-alive connections; safe reads only.
    reads: reqwest::Client,
    /// A fresh connection per call, so that a stale one can never be the reason for doubt.
    effects: Lazy,
    redactor: Redactor,
    /// The last `Date` seen, and when we saw it.
    clock: Mutex<Option<(Millis, Instant)>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base_url", &self.base_url.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Checks the settings and builds the client for reads; sends nothing.
    pub fn new(config: &ClientConfig) -> Result<Self, BuildError> {
        check_base_url(&config.base_url)?;
        let headers = fixed_headers(&config.api_key)?;
        let reads = common(config, headers.clone())?
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build()
            .map_err(http_error)?;
        let settings = config.clone();
        let effects = Lazy::new(move || {
            Ok(common(&settings, headers.clone())?
                .pool_max_idle_per_host(0)
                // HTTP/2 brings its own notion of "refused stream, send again"; one request on one
                // HTTP/1.1 connection has a single meaning.
                .http1_only())
        })?;
        Ok(Self {
            base_url: config.base_url.clone(),
            reads,
            effects,
            key: config.api_key.clone(),
            redactor: Redactor::new(config.api_key.clone()),
            clock: Mutex::new(None),
        })
    }

    /// The vendor's clock now: the last `Date` header, from a failed call too, plus the time that
    /// passed here since. Unix milliseconds; `None` before the first dated reply.
    pub fn vendor_now(&self) -> Option<Millis> {
        let clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.map(|(time, seen)| {
            let elapsed = Millis::try_from(seen.elapsed().as_millis()).unwrap_or(Millis::MAX);
            time.saturating_add(elapsed)
        })
    }

    /// A request to `base_url` + `segments`; [`Client::send`] picks the HTTP client that belongs to
    /// the kind of call, whose headers it gets there.
    pub(super) fn request(
        &self,
        call: Call,
        method: Method,
        segments: &[&str],
    ) -> Result<RequestBuilder, Failure> {
        let url = self.endpoint(call, segments)?;
        Ok(self.reads.request(method, url))
    }

    /// Ids are opaque, so each becomes exactly one percent-encoded path segment. An id that a URL
    /// would swallow (empty, `.`, `..`) must not turn `DELETE /models/{id}` into something else.
    fn endpoint(&self, call: Call, segments: &[&str]) -> Result<Url, Failure> {
        let swallowed = |segment: &&str| {
            matches!(segment.trim(), "" | "." | "..") || segment.contains(['\t', '\n', '\r'])
        };
        let mut url = self.base_url.clone();
        let usable = !segments.iter().any(swallowed);
        match url.path_segments_mut() {
            Ok(mut path) if usable => {
                path.pop_if_empty().extend(segments);
            }
            _ => return Err(call.not_sent("the id cannot be part of a URL")),
        }
        Ok(url)
    }

    /// Method and path of a request with its ids left out, as a label of the metrics.
    fn endpoint_name(&self, request: &Request) -> String {
        const WORDS: [&str; 13] = [
            "ping",
            "models",
            "images",
            "train",
            "upload",
            "generation",
            "upscaling",
            "jobs",
            "videos",
            "create-download",
            "download",
            "presets",
            "",
        ];
        let base = self.base_url.path().trim_end_matches('/');
        let path = request.url().path();
        let below = path.strip_prefix(base).unwrap_or(path);
        let named: Vec<&str> = below
            .split('/')
            .map(|word| if WORDS.contains(&word) { word } else { "{id}" })
            .collect();
        format!("{} {}", request.method(), named.join("/"))
    }

    /// Sends one request, once, and reads its answer as a `T`.
    pub(super) async fn send<T: wire::Wire>(
        &self,
        call: Call,
        request: RequestBuilder,
    ) -> Result<Reply<T>, Failure> {
        let begun = Instant::now();
        let (endpoint, transport) = match request.build() {
            Ok(request) => (self.endpoint_name(&request), self.exchange(call.kind, request).await),
            Err(error) => ("none".to_owned(), Transport::NotSent(describe(error))),
        };
        let vendor_time = transport.vendor_time();
        if let Some(time) = vendor_time {
            let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
            *clock = Some((time, Instant::now()));
        }
        let settled = settle(call, &transport);
        let class = settled.as_ref().err().map_or("ok", |failure| failure.class.as_str());
        metrics::histogram!("darkroom_vendor_call_duration_seconds", "endpoint" => endpoint.clone())
            .record(begun.elapsed().as_secs_f64());
        metrics::counter!("darkroom_vendor_calls_total", "endpoint" => endpoint, "class" => class)
            .increment(1);
        match settled {
            Ok(value) => Ok(Reply { value, vendor_time }),
            Err(failure) => Err(self.without_key::<T>(call, &transport, failure)),
        }
    }

    /// The same verdict, worded from an exchange without the key. The verdict itself comes from
    /// the untouched bytes, so that a key that happens to be a common word changes nothing.
    fn without_key<T: wire::Wire>(
        &self,
        call: Call,
        transport: &Transport,
        failure: Failure,
    ) -> Failure {
        let worded = match settle::<T>(call, &self.redactor.transport(transport)) {
            Err(worded) => Failure { class: failure.class, ..worded },
            Ok(_) => failure,
        };
        self.redactor.failure(worded)
    }

    async fn exchange(&self, kind: CallKind, request: Request) -> Transport {
        let http = match kind {
            CallKind::Read => &self.reads,
            CallKind::Effect => match self.effects.get().await {
                Ok(effects) => effects,
                Err(error) => return Transport::NotSent(error.to_string()),
            },
        };
        let response = match http.execute(request).await {
            Ok(response) => response,
            Err(error) => return transport_error(error),
        };
        let header = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let mut reply = HttpReply {
            status: response.status().as_u16(),
            date: header(DATE).as_deref().and_then(reply::parse_http_date),
            retry_after: header(RETRY_AFTER),
            body: Vec::new(),
        };
        match read_body(response).await {
            Ok(body) => {
                reply.body = body;
                Transport::Answered(reply)
            }
            Err(problem) => Transport::Broken { problem, partial: Some(reply) },
        }
    }
}

/// The whole body, up to the cap.
async fn read_body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_REPLY_BYTES => {
                return Err(format!("the reply is larger than {MAX_REPLY_BYTES} bytes"));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(describe(error)),
        }
    }
}

/// Connecting comes before the first byte of the request, so a connect error (DNS, TCP, TLS, its
/// own time limit) proves that nothing was sent. Everything later proves nothing.
fn transport_error(error: reqwest::Error) -> Transport {
    let provably_unsent = error.is_connect() || error.is_builder();
    let timed_out = error.is_timeout();
    let problem = describe(error);
    if provably_unsent {
        Transport::NotSent(problem)
    } else if timed_out {
        Transport::TimedOut(problem)
    } else {
        Transport::Broken { problem, partial: None }
    }
}

/// The error and its causes in one line, without the URL.
pub(super) fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = inner.source();
    }
    text
}

/// Settings that both clients share.
fn common(config: &ClientConfig, headers: HeaderMap) -> Result<reqwest::ClientBuilder, BuildError> {
    let builder = reqwest::Client::builder()
        .default_headers(headers)
        .user_agent(&config.user_agent)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .connect_timeout(config.connect_timeout)
        .timeout(config.request_timeout)
        .no_proxy();
    let builder = match &config.proxy {
        None => builder,
        Some(url) => {
            let proxy = reqwest::Proxy::all(url.clone()).map_err(|_| BuildError::Proxy)?;
            builder.proxy(proxy)
        }
    };
    // Redirects are not followed, so a vendor over plain http is all that this ever speaks to.
    let plain = [Some(&config.base_url), config.proxy.as_ref()]
        .into_iter()
        .flatten()
        .all(|url| url.scheme() == "http");
    Ok(if plain { without_roots(builder) } else { builder })
}

/// The two headers that the guides require on every call, ping included (vendor-api.md section 1,
/// conflict C1).
fn fixed_headers(key: &SecretString) -> Result<HeaderMap, BuildError> {
    let key = key.expose_secret();
    if key.trim().is_empty() {
        return Err(BuildError::ApiKey);
    }
    let mut bearer =
        HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| BuildError::ApiKey)?;
    bearer.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, bearer);
    headers.insert("API-Version", HeaderValue::from_static("1"));
    Ok(headers)
}

fn check_base_url(url: &Url) -> Result<(), BuildError> {
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !bare || url.cannot_be_a_base() || url.host().is_none() {
        return Err(BuildError::BaseUrl);
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if super::address::is_loopback_host(url) => Ok(()),
        _ => Err(BuildError::InsecureBaseUrl),
    }
}

pub(super) fn http_error(error: reqwest::Error) -> BuildError {
    BuildError::Http(describe(error))
}

/// A JSON body with its content type (vendor-api.md section 1).
pub(super) fn with_json(request: RequestBuilder, body: &serde_json::Value) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body.to_string())
}
