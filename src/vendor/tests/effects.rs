//! What happens on the wire when a paid call goes wrong: one request, one connection, one verdict.

use super::server::{Server, base_url, config, raw, reply};
use crate::domain::failure::FailureClass::{self, *};
use crate::domain::ids::RemoteModelId;
use crate::vendor::{Client, ClientConfig};
use axum::response::Response;
use secrecy::SecretString;
use serde_json::json;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

fn model() -> RemoteModelId {
    RemoteModelId::from("m1")
}

/// The verdicts on a read, on a paid GET and on a paid POST.
async fn verdicts(client: &Client) -> [FailureClass; 3] {
    [
        client.ping().await.unwrap_err().class,
        client.train(&model()).await.unwrap_err().class,
        client.generate_image(&json!({})).await.unwrap_err().class,
    ]
}

fn client(address: SocketAddr) -> Client {
    Client::new(&config(address)).unwrap()
}

#[tokio::test]
async fn every_effect_has_a_connection_of_its_own_and_reads_share_one() {
    let server = Server::start(|_| reply(200, r#"{"result":{"jobId":"j"},"status":"OK"}"#)).await;
    let client = server.client();
    for _ in 0..3 {
        client.ping().await.unwrap();
    }
    for _ in 0..2 {
        client.train(&model()).await.unwrap();
        client.generate_image(&json!({})).await.unwrap();
    }
    let peers = |target: &str| {
        let of = |target: &str| -> Vec<SocketAddr> {
            let seen = server.seen();
            seen.iter().filter(|seen| seen.target.ends_with(target)).map(|s| s.peer).collect()
        };
        let all = of(target);
        (all.len(), all.into_iter().collect::<HashSet<_>>().len())
    };
    assert_eq!(peers("ping"), (3, 1));
    assert_eq!(peers("train"), (2, 2));
    assert_eq!(peers("generation"), (2, 2));
}

#[tokio::test]
async fn a_connection_that_breaks_is_not_tried_again() {
    let halves: [&'static [u8]; 4] = [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"result\":{\"jobId\":\"j\"},\"status\":\"OK\"}",
        b"not http at all\r\n\r\n",
    ];
    for half in halves {
        let (address, connections) = raw(half).await;
        assert_eq!(verdicts(&client(address)).await, [ReadFailed, Unknown, Unknown]);
        assert_eq!(*connections.lock().unwrap(), 3, "{}", String::from_utf8_lossy(half));
    }
}

#[tokio::test]
async fn a_server_error_is_not_tried_again() {
    let server = Server::start(|_| reply(503, r#"{"message":"busy","status":"NOK"}"#)).await;
    assert_eq!(verdicts(&server.client()).await, [ReadFailed, Unknown, Unknown]);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let server = Server::start(move |_| {
            Response::builder()
                .status(status)
                .header("location", "/api/ok")
                .body("".into())
                .unwrap()
        })
        .await;
        assert_eq!(verdicts(&server.client()).await, [ReadFailed, Unknown, Unknown]);
        assert!(server.seen().iter().all(|seen| seen.target != "/api/ok"));
    }
}

#[tokio::test]
async fn silence_is_unknown() {
    // Connections wait in the backlog and nobody ever answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(listener.local_addr().unwrap());
    config.request_timeout = Duration::from_millis(200);
    let client = Client::new(&config).unwrap();
    assert_eq!(verdicts(&client).await, [ReadFailed, Unknown, Unknown]);
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client(address);
    assert_eq!(verdicts(&client).await, [ReadFailed, NotSent, NotSent]);
    let failure = client.train(&model()).await.unwrap_err();
    assert!(failure.message.contains("could not be sent"), "{}", failure.message);
    assert!(!failure.message.contains("127.0.0.1/"), "no URL: {}", failure.message);
    assert_eq!(client.vendor_now(), None);
}

#[tokio::test]
async fn a_failed_tls_handshake_is_not_sent() {
    let (address, _) = raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let mut url = base_url(address);
    url.set_scheme("https").unwrap();
    let mut config = ClientConfig::new(url, SecretString::from("k"));
    // The listener above waits for an HTTP head that never comes; hang up on it soon.
    config.connect_timeout = Duration::from_millis(300);
    let client = Client::new(&config).unwrap();
    assert_eq!(verdicts(&client).await, [ReadFailed, NotSent, NotSent]);
}

#[tokio::test]
async fn an_unknown_host_is_not_sent() {
    // The reserved top-level name can never exist (RFC 6761).
    let url = "https://darkroom.invalid/api".parse().unwrap();
    let client = Client::new(&ClientConfig::new(url, SecretString::from("k"))).unwrap();
    assert_eq!(verdicts(&client).await, [ReadFailed, NotSent, NotSent]);
}

#[tokio::test]
async fn a_failed_reply_still_tells_the_time() {
    let server = Server::start(|_| reply(502, "<html>")).await;
    let client = server.client();
    client.train(&model()).await.unwrap_err();
    assert!(client.vendor_now().unwrap() >= super::server::NEW_YEAR + 7_000);
}

#[tokio::test]
async fn only_the_configured_proxy_is_used() {
    let proxy = Server::start(|_| reply(200, r#"{"result":"","status":"OK"}"#)).await;
    let mut config = config("127.0.0.1:1".parse().unwrap());
    config.proxy = Some(format!("http://user:secret@{}", proxy.address).parse().unwrap());
    let client = Client::new(&config).unwrap();
    client.ping().await.unwrap();
    client.train(&model()).await.unwrap();
    let targets: Vec<String> = proxy.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["http://127.0.0.1:1/api/ping", "http://127.0.0.1:1/api/models/m1/train"]);
    assert!(!format!("{config:?}").contains("secret"));
}
