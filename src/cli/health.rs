//! `darkroom health`: is the daemon well?

use super::context::Context;
use super::{CliError, exit, out};
use crate::http::token::{self, Scope};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A healthy daemon answers at once; a hung one should be found out soon.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than any health answer has.
const MAX_ANSWER: u64 = 64 * 1024;

/// What `serve` writes to `<data dir>/daemon.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct DaemonFile {
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its boot's number.
    pub boot: i64,
}

impl DaemonFile {
    /// Reads what the last daemon of this data directory wrote.
    pub fn read(data_dir: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data_dir.join("daemon.json")).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// Asks the running daemon how it is. Needs no configuration, no key and no other program, so that
/// it fits a container's health check.
///
/// # Errors
/// As [`out::line`].
pub async fn run(context: &Context) -> Result<u8, CliError> {
    let answer = ask(context).await;
    let code = if answer.is_ok() { exit::DONE } else { exit::ERROR };
    if context.global.json {
        let value = match &answer {
            Ok(listen) => json!({ "ok": true, "listen": listen, "error": null }),
            Err(problem) => json!({ "ok": false, "listen": null, "error": problem }),
        };
        out::json(&value)?;
    } else {
        match &answer {
            Ok(_) if context.global.quiet => {}
            Ok(listen) => out::line(&format!("healthy, listening on {listen}"))?,
            Err(problem) => out::talk(&format!("unhealthy: {problem}")),
        }
    }
    Ok(code)
}

async fn ask(context: &Context) -> Result<SocketAddr, String> {
    let data_dir = context.paths.data_dir();
    // The file outlives a killed daemon, and its port may be anybody's by now.
    if !context.daemon_is_running() {
        return Err(format!("no daemon is running on {}", data_dir.display()));
    }
    let file = DaemonFile::read(data_dir)
        .ok_or_else(|| "the daemon is starting: it has not said where it listens yet".to_owned())?;
    let token = read_token(data_dir)?;
    let asked = get_status(file.listen, "/healthz", &token);
    let status = tokio::time::timeout(PATIENCE, asked)
        .await
        .map_err(|_| format!("{} did not answer within {PATIENCE:?}", file.listen))?
        .map_err(|error| format!("{} cannot be asked: {error}", file.listen))?;
    match status {
        200 => Ok(file.listen),
        401 => Err(format!(
            "{} does not take the token of {}: is it another daemon?",
            file.listen,
            data_dir.display()
        )),
        other => Err(format!("{} answered {other}", file.listen)),
    }
}

/// The token that may do the least of those this user can read.
fn read_token(data_dir: &Path) -> Result<SecretString, String> {
    let path = Scope::Read.token_file(data_dir);
    token::load(&path)
        .map_err(|error| format!("{error}; `darkroom health` must run as the daemon's user"))
}

/// The address to connect to for one that listens everywhere.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The status of a plain GET: no proxy, no name lookup, no TLS.
async fn get_status(listen: SocketAddr, path: &str, token: &SecretString) -> std::io::Result<u16> {
    let to = reachable(listen);
    let mut stream = TcpStream::connect(to).await?;
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {to}\r\nAuthorization: Bearer {}\r\n\
         Connection: close\r\n\r\n",
        token.expose_secret()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    status_of(&answer).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "it does not speak HTTP")
    })
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        assert_eq!(status_of(b"HTTP/1.0 200 OK\r\n\r\nok"), Some(200));
        assert_eq!(status_of(b"HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        assert_eq!(status_of(b"SSH-2.0\r\n"), None);
        assert_eq!(status_of(b""), None);
    }

    #[test]
    fn everywhere_is_reached_on_loopback() {
        let everywhere: SocketAddr = "0.0.0.0:7878".parse().unwrap();
        assert_eq!(reachable(everywhere).to_string(), "127.0.0.1:7878");
        let six: SocketAddr = "[::]:1".parse().unwrap();
        assert_eq!(reachable(six).to_string(), "[::1]:1");
    }

    #[tokio::test]
    async fn a_listener_is_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let n = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        let token = SecretString::from("a-token");
        assert_eq!(get_status(address, "/healthz", &token).await.unwrap(), 204);
        let request = server.await.unwrap();
        assert!(request.starts_with("GET /healthz HTTP/1.0\r\n"), "{request}");
        assert!(request.contains("\r\nAuthorization: Bearer a-token\r\n"), "{request}");
    }
}
