//! Downloads: from where, how much, and what each failure means.

use super::server::{Server, raw, reply};
use crate::vendor::address::is_public;
use crate::vendor::*;
use axum::response::Response;
use std::net::SocketAddr;
use std::time::Duration;

fn media(address: SocketAddr) -> MediaClient {
    MediaClient::new(&MediaConfig::new(super::server::base_url(address))).unwrap()
}

type Outcome = Result<(Fetched, Vec<u8>), FetchError>;

async fn fetch(client: &MediaClient, url: &str, cap: u64) -> Outcome {
    let mut sink = Vec::new();
    client.fetch(url, cap, &mut sink).await.map(|fetched| (fetched, sink))
}

fn redirect(to: String) -> Response {
    Response::builder().status(302).header("location", to).body("".into()).unwrap()
}

#[tokio::test]
async fn a_file_comes_home_without_the_key_being_sent() {
    let server = Server::start(|seen| match seen.target.as_str() {
        "/first" => redirect("second?sig=1".into()),
        _ => Response::builder().header("content-type", "image/png").body("12345".into()).unwrap(),
    })
    .await;
    let client = media(server.address);
    let url = format!("http://{}/first", server.address);
    let (fetched, bytes) = fetch(&client, &url, 5).await.unwrap();
    assert_eq!(fetched, Fetched { bytes: 5, content_type: Some("image/png".into()) });
    assert_eq!(bytes, b"12345");
    assert_eq!(server.seen()[1].target, "/second?sig=1");
    for seen in server.seen() {
        assert_eq!((seen.header("authorization"), seen.header("referer")), ("", ""));
    }
}

#[tokio::test]
async fn links_into_the_own_network_are_refused_at_every_hop() {
    let server = Server::start(|seen| redirect(seen.target[1..].to_owned())).await;
    let client = media(server.address);
    let other = Server::start(|_| reply(200, "secret")).await;
    let port = server.address.port();
    let private = [
        "https://127.0.0.1/".to_owned(),
        // The one name that resolves everywhere: this goes through the resolver.
        "https://localhost/".to_owned(),
        format!("https://127.0.0.1:{port}/"),
        format!("http://{}/", other.address),
        "https://10.0.0.1/".into(),
        "https://169.254.169.254/latest/meta-data".into(),
        "https://0x7f000001/".into(),
        "https://[::1]/".into(),
        "https://[::ffff:10.0.0.1]/".into(),
        "https://[fd00::1]/".into(),
    ];
    for url in &private {
        let hop = format!("http://{}/{url}", server.address);
        for url in [url, &hop] {
            match fetch(&client, url, 100).await {
                Err(FetchError::Refused(RefusedMedia::PrivateAddress)) => {}
                other => panic!("{url}: {other:?}"),
            }
        }
    }
    assert_eq!(other.seen().len(), 0);
    for url in ["http://example.com/", "ftp://example.com/", "file:///etc/passwd"] {
        let result = fetch(&client, url, 100).await;
        assert!(matches!(result, Err(FetchError::Refused(_))), "{url}: {result:?}");
    }
    for url in ["", "nonsense", "https://user:pass@example.com/"] {
        let result = fetch(&client, url, 100).await;
        assert!(matches!(result, Err(FetchError::Refused(RefusedMedia::BadUrl))), "{url}");
    }
}

#[tokio::test]
async fn nothing_local_is_allowed_when_the_vendor_is_not_local() {
    let server = Server::start(|_| reply(200, "secret")).await;
    let vendor = "https://developer.photogptai.com/api".parse().unwrap();
    let client = MediaClient::new(&MediaConfig::new(vendor)).unwrap();
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://localhost:{}/", server.address.port());
        let result = client.fetch(&url, 100, &mut Vec::new()).await;
        assert!(matches!(result, Err(FetchError::Refused(_))), "{result:?}");
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start(|seen| match seen.target.len() {
        6 => reply(200, "end"),
        _ => redirect(format!("{}x", seen.target)),
    })
    .await;
    let client = media(server.address);
    let at = |path: &str| format!("http://{}{path}", server.address);
    assert_eq!(fetch(&client, &at("/"), 9).await.unwrap().1, b"end");
    let endless = fetch(&client, &at("/xxxxxxx"), 9).await;
    assert!(matches!(endless, Err(FetchError::Refused(RefusedMedia::TooManyRedirects))));
}

#[tokio::test]
async fn each_failure_says_what_to_do() {
    let server = Server::start(|seen| reply(seen.target[1..].parse().unwrap(), "x")).await;
    let client = media(server.address);
    for status in [400, 401, 403, 404, 410] {
        let url = format!("http://{}/{status}", server.address);
        let result = fetch(&client, &url, 9).await;
        assert!(matches!(result, Err(FetchError::Expired { status: s }) if s == status));
    }
    for code in [204, 206, 304, 429, 500, 502, 503] {
        let url = format!("http://{}/{code}", server.address);
        match fetch(&client, &url, 9).await {
            Err(FetchError::Retryable { status, .. }) => assert_eq!(status, Some(code)),
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn broken_and_oversized_downloads() {
    let (address, _) = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n1234").await;
    let url = format!("http://{address}/");
    let short = fetch(&media(address), &url, 100).await;
    assert!(matches!(short, Err(FetchError::Truncated { expected: 10, received: 4 })), "{short:?}");
    let big = fetch(&media(address), &url, 9).await;
    assert!(matches!(big, Err(FetchError::Refused(RefusedMedia::TooBig { cap: 9 }))));

    // Without a length the cap holds while streaming.
    let (address, _) = raw(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n1234567890").await;
    let url = format!("http://{address}/");
    let big = fetch(&media(address), &url, 9).await;
    assert!(matches!(big, Err(FetchError::Refused(RefusedMedia::TooBig { cap: 9 }))));
    assert_eq!(fetch(&media(address), &url, 10).await.unwrap().0.bytes, 10);

    let (address, _) =
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n1234\r\n").await;
    let cut = fetch(&media(address), &format!("http://{address}/"), 9).await;
    assert!(matches!(cut, Err(FetchError::Retryable { .. })), "{cut:?}");
}

#[tokio::test]
async fn a_stalled_download_is_retryable_and_a_full_disk_is_not_the_vendors_fault() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = MediaConfig::new(super::server::base_url(address));
    config.idle_timeout = Duration::from_millis(100);
    let client = MediaClient::new(&config).unwrap();
    let result = client.fetch(&format!("http://{address}/"), 9, &mut Vec::new()).await;
    assert!(matches!(result, Err(FetchError::Retryable { status: None, .. })), "{result:?}");

    struct Full;
    impl AsyncChunkSink for Full {
        fn write<'a>(&'a mut self, _: &'a [u8]) -> SinkFuture<'a> {
            Box::pin(async { Err(std::io::ErrorKind::StorageFull.into()) })
        }
    }
    let server = Server::start(|_| reply(200, "12345")).await;
    let client = media(server.address);
    let result = client.fetch(&format!("http://{}/", server.address), 9, &mut Full).await;
    assert!(matches!(result, Err(FetchError::Sink(_))), "{result:?}");
}

#[test]
fn only_internet_addresses_are_public() {
    let public = ["8.8.8.8", "172.15.0.1", "100.63.0.1", "2606:4700::1111", "64:ff9b::808:808"];
    let private = [
        "0.0.0.0",
        "10.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.9.9",
        "192.168.1.1",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:a00:1::",
    ];
    for ip in public {
        assert!(is_public(ip.parse().unwrap()), "{ip}");
    }
    for ip in private {
        assert!(!is_public(ip.parse().unwrap()), "{ip}");
    }
}

#[test]
fn bytes_tell_what_a_file_is() {
    let cases: [(&[u8], Option<&str>); 14] = [
        (b"\xFF\xD8\xFF\xE0", Some("jpg")),
        (b"\x89PNG\r\n\x1A\n", Some("png")),
        (b"RIFF\0\0\0\0WEBPVP8 ", Some("webp")),
        (b"\0\0\0\x18ftypheic", Some("heic")),
        (b"\0\0\0\x18ftypmif1", Some("heic")),
        (b"\0\0\0\x18ftypavif", Some("avif")),
        (b"\0\0\0\x18ftypisom", Some("mp4")),
        (b"GIF89a", Some("gif")),
        (b"\x1A\x45\xDF\xA3", Some("webm")),
        (b"#EXTM3U\n#EXT-X-VERSION:3", Some("m3u8")),
        (b"\xEF\xBB\xBF#EXTM3U", Some("m3u8")),
        (b"<html>", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"", None),
    ];
    for (bytes, extension) in cases {
        assert_eq!(sniff_media_type(bytes).map(|(_, extension)| extension), extension);
    }
}

#[tokio::test]
async fn calls_and_downloads_can_be_spawned() {
    fn can_be_spawned(_: impl Future<Output: Send> + Send) {}
    let address = "127.0.0.1:1".parse().unwrap();
    let client = Client::new(&super::server::config(address)).unwrap();
    can_be_spawned(client.all_jobs(0, 1));
    can_be_spawned(client.generate_image(&serde_json::Value::Null));
    can_be_spawned(media(address).fetch("", 1, &mut Vec::new()));
}
