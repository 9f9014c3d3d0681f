//! Links to files, each with a signature that is valid for that file only: programs fetch media
//! without headers, and a link that leaks opens nothing else.
//!
//! The signing key comes from the admin token; a new token makes all old links void.

use super::guard::hosts::AllowList;
use super::refusal::Refusal;
use super::{App, Shared};
use crate::domain::ids::Id;
use crate::domain::request::MediaRef;
use crate::domain::work::Kind;
use crate::files::blobs::BlobStore;
use crate::store::served::ServedMedia;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use std::path::PathBuf;
use tower::ServiceExt;
use tower_http::services::ServeFile;

/// What is signed beside the path, so that a signature means nothing elsewhere.
const PURPOSE: &str = "darkroom media link, version 1: ";

/// A file that links lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// A photo that was handed in.
    Upload(Id),
    /// A produced picture or video.
    Output(Id),
}

impl File {
    /// The row behind it, for a request.
    pub fn reference(self) -> MediaRef {
        self.reference_to(self.id())
    }

    /// The same with another row of its kind.
    pub fn reference_to(self, id: Id) -> MediaRef {
        match self {
            Self::Upload(_) => MediaRef::Upload(id),
            Self::Output(_) => MediaRef::Output(id),
        }
    }

    /// Its kind and row.
    pub fn row(self) -> (Kind, Id) {
        (self.kind(), self.id())
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Upload(_) => "uploads",
            Self::Output(_) => "outputs",
        }
    }

    fn id(self) -> Id {
        match self {
            Self::Upload(id) | Self::Output(id) => id,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Upload(_) => Kind::Upload,
            Self::Output(_) => Kind::Output,
        }
    }

    fn of(folder: &str, id: &str) -> Option<Self> {
        // One spelling per file, so that one signature fits one path.
        let id = Id::parse(id).filter(|parsed| parsed.to_string() == id)?;
        match folder {
            "uploads" => Some(Self::Upload(id)),
            "outputs" => Some(Self::Output(id)),
            _ => None,
        }
    }
}

/// What a web address is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// One of ours, with a valid signature.
    Ours(File),
    /// It leads here, but not to a file that its sender may name.
    Forged,
    /// Somebody else's.
    Foreign,
}

/// The routes below `/media`.
pub fn router() -> Router<Shared> {
    Router::new().route("/media/{folder}/{name}", get(serve))
}

fn mac(app: &App, file: File) -> Option<Hmac<Sha256>> {
    let key = app.tokens.signing_key();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).ok()?;
    mac.update(format!("{PURPOSE}{}/{}", file.folder(), file.id()).as_bytes());
    Some(mac)
}

/// The address that the caller reaches us under: `daemon.public_url`, or the Host it names, which
/// the guard has checked.
pub fn base(app: &App, headers: &HeaderMap) -> String {
    if let Some(url) = app.config.daemon.public_url.url() {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match host {
        Some(host) => format!("http://{host}"),
        None => format!("http://{}", app.listen),
    }
}

/// A link to a file, below the address that its reader reached us under.
pub fn link(app: &App, base: &str, file: File, media_type: Option<&str>) -> Option<String> {
    let signature = hex::encode(mac(app, file)?.finalize().into_bytes());
    let ending = media_type.and_then(ending).map_or(String::new(), |ending| format!(".{ending}"));
    Some(format!("{base}/media/{}/{}{ending}?sig={signature}", file.folder(), file.id()))
}

fn ending(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/webp" => "webp",
        "image/heic" => "heic",
        "image/gif" => "gif",
        "image/avif" => "avif",
        "video/mp4" => "mp4",
        "video/webm" => "webm",
        "video/quicktime" => "mov",
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Signed {
    #[serde(default)]
    sig: String,
}

/// Whether the signature is this file's; takes the same time for every wrong one.
fn is_signed(app: &App, file: File, signature: &str) -> bool {
    let Ok(signature) = hex::decode(signature) else { return false };
    mac(app, file).is_some_and(|mac| mac.verify_slice(&signature).is_ok())
}

/// Whether an address names this daemon: the machine itself at our port, or a name that we answer
/// to. The vendor could not follow it.
fn leads_here(app: &App, uri: &url::Url) -> bool {
    let daemon = &app.config.daemon;
    let hosts = AllowList::new(app.listen, &daemon.allowed_hosts, &daemon.public_url);
    match (uri.host_str(), uri.port_or_known_default()) {
        (Some(host), Some(port)) => hosts.leads_here(host, port),
        _ => false,
    }
}

/// What an address in a request is to us, however it is spelt. `bases`: further addresses that lead
/// here.
pub fn recognise(app: &App, bases: &[String], address: &str) -> Link {
    let Ok(uri) = url::Url::parse(address) else { return Link::Foreign };
    let same_place = |base: &String| {
        url::Url::parse(base).is_ok_and(|base| {
            base.host() == uri.host() && base.port_or_known_default() == uri.port_or_known_default()
        })
    };
    let leads_here = leads_here(app, &uri) || bases.iter().any(same_place);
    let otherwise = if leads_here { Link::Forged } else { Link::Foreign };
    let Some((folder, name)) =
        uri.path().strip_prefix("/media/").and_then(|rest| rest.split_once('/'))
    else {
        return otherwise;
    };
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let Some(file) = File::of(folder, stem) else { return otherwise };
    let signed = uri.query_pairs().find(|(name, _)| name == "sig");
    let signed = signed.map(|(_, value)| value.into_owned()).unwrap_or_default();
    // The signature is the proof, under whatever name the daemon was reached.
    if is_signed(app, file, &signed) { Link::Ours(file) } else { otherwise }
}

/// The same request with links of ours under one name: who asked under which address, and with
/// which token the link was signed, does not make it another request.
pub fn canonical(request: &Value) -> Value {
    match request {
        Value::String(text) => Value::String(file_named(text).unwrap_or_else(|| text.clone())),
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(map) => {
            map.iter().map(|(name, value)| (name.clone(), canonical(value))).collect()
        }
        plain => plain.clone(),
    }
}

/// `media:outputs/ID` for what looks like one of our links.
fn file_named(address: &str) -> Option<String> {
    let uri: Uri = address.parse().ok()?;
    uri.host()?;
    let (folder, name) = uri.path().strip_prefix("/media/")?.split_once('/')?;
    let file = File::of(folder, name.split_once('.').map_or(name, |(stem, _)| stem))?;
    Some(format!("media:{}/{}", file.folder(), file.id()))
}

async fn serve(
    State(app): State<Shared>,
    Path((folder, name)): Path<(String, String)>,
    Query(signed): Query<Signed>,
    request: Request,
) -> Result<Response, Response> {
    let area = super::refusal::Area::Native;
    // The same answer for a file that is not there and for one that is: a link is a secret.
    let refused = || {
        Refusal::not_found("there is no such file, or the link is not valid for it").answer(area)
    };
    let stem = name.split_once('.').map_or(name.as_str(), |(stem, _)| stem);
    let file = File::of(&folder, stem).ok_or_else(refused)?;
    if !is_signed(&app, file, &signed.sig) {
        return Err(refused());
    }
    let found = app.store.served_media(file.kind(), file.id()).await;
    let found = found.map_err(|error| Refusal::from(error).answer(area))?.ok_or_else(refused)?;
    if found.deleted {
        return Err(refused());
    }
    let path = path_of(&app, &found).ok_or_else(refused)?;
    Ok(send(path, found.media_type.as_deref(), request).await)
}

/// Where a file is; none while it is not here.
pub fn path_of(app: &App, media: &ServedMedia) -> Option<PathBuf> {
    match (&media.path, media.origin.as_str()) {
        (Some(path), _) => Some(app.store.data_dir().join(path)),
        (None, "upload") => {
            BlobStore::new(app.store.data_dir().join("blobs")).path_of(media.sha256.as_deref()?)
        }
        _ => None,
    }
}

/// A file, whole or the ranges asked for.
pub async fn send(path: PathBuf, media_type: Option<&str>, request: Request) -> Response {
    let answer = match ServeFile::new(path).oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let mut response = answer.map(Body::new).into_response();
    never_run(response.headers_mut(), media_type);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    response
}

/// The headers of a served file: what others made is looked at, never run.
pub fn never_run(headers: &mut HeaderMap, media_type: Option<&str>) {
    if let Some(value) = media_type.and_then(|text| HeaderValue::from_str(text).ok())
        && headers.contains_key(header::CONTENT_TYPE)
    {
        headers.insert(header::CONTENT_TYPE, value);
    }
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::CACHE_CONTROL, "private, max-age=3600"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
