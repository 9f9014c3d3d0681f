//! A scripted vendor on loopback that remembers what it was asked.

use crate::vendor::{Client, ClientConfig};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use url::Url;

/// The key in every test; no artefact may show it.
pub(super) const CANARY: &str = "pk_live_CANARY/7c1d";

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) peer: SocketAddr,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: axum::http::HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Log = Arc<Mutex<Vec<Seen>>>;

type Script = dyn Fn(&Seen) -> Response + Send + Sync;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    log: Log,
}

impl Server {
    /// Answers every request with what the script says.
    pub(super) async fn start(script: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        let log = Log::default();
        let script: Arc<Script> = Arc::new(script);
        let app = Router::new().fallback(answer).with_state((log.clone(), script));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address, log }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(&config(self.address)).unwrap()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }
}

async fn answer(
    State((log, script)): State<(Log, Arc<Script>)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let seen = Seen {
        peer,
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default(),
    };
    log.lock().unwrap().push(seen.clone());
    script(&seen)
}

pub(super) fn base_url(address: SocketAddr) -> Url {
    Url::parse(&format!("http://{address}/api")).unwrap()
}

pub(super) fn config(address: SocketAddr) -> ClientConfig {
    let mut config = ClientConfig::new(base_url(address), SecretString::from(CANARY));
    config.request_timeout = Duration::from_secs(10);
    config
}

/// A reply with a status and a body, dated.
pub(super) fn reply(status: u16, body: impl Into<Body>) -> Response {
    Response::builder()
        .status(status)
        .header("date", "Thu, 01 Jan 2026 00:00:07 GMT")
        .body(body.into())
        .unwrap()
}

/// Midnight of 1 January 2026, Unix milliseconds.
pub(super) const NEW_YEAR: i64 = 1_767_225_600_000;

/// A listener below HTTP: for every connection it reads the request's head and then sends `answer`
/// and hangs up. Returns its address and a counter of connections.
pub(super) async fn raw(answer: &'static [u8]) -> (SocketAddr, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(Mutex::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            *counter.lock().unwrap() += 1;
            let mut head = Vec::new();
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                let mut byte = [0; 512];
                match socket.read(&mut byte).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => head.extend_from_slice(&byte[..count]),
                }
            }
            let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, answer).await;
        }
    });
    (address, connections)
}
