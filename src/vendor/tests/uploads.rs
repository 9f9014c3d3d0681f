//! The multipart form, as a server parses it.

use super::server::{Seen, Server, reply};
use crate::domain::failure::FailureClass;
use crate::domain::ids::RemoteModelId;
use crate::domain::request::UploadPurpose;
use crate::vendor::UploadImage;
use axum::extract::{FromRequest, Multipart, Request};

/// Name, file name, content type and bytes of every part.
async fn parts(seen: &Seen) -> Vec<(String, Option<String>, Option<String>, Vec<u8>)> {
    let mut request = Request::builder().body(axum::body::Body::from(seen.body.clone())).unwrap();
    *request.headers_mut() = seen.headers.clone();
    let mut form = Multipart::from_request(request, &()).await.unwrap();
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await.unwrap() {
        parts.push((
            field.name().unwrap().to_owned(),
            field.file_name().map(str::to_owned),
            field.content_type().map(str::to_owned),
            field.bytes().await.unwrap().to_vec(),
        ));
    }
    parts
}

#[tokio::test]
async fn a_photo_arrives_whole_under_a_harmless_name() {
    let server = Server::start(|_| reply(200, r#"{"result":{"id":"i1"},"status":"OK"}"#)).await;
    let client = server.client();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo");
    let bytes: Vec<u8> = (0..300_000u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let model = RemoteModelId::from("m\"1");

    let long = format!("{}.jpg", "a".repeat(300));
    let names = [
        ("ann.jpg", "ann.jpg"),
        ("Zoë \"x\"\r\nContent-Type: evil\r\n\r\n.jpg", "Zo___x___Content-Type__evil____.jpg"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("写真.png", "__.png"),
        ("写真", "photo"),
        ("", "photo"),
        (".hidden", "hidden"),
        (&long, &long[long.len() - 120..]),
    ];
    for (index, (name, sent)) in names.into_iter().enumerate() {
        let upload = UploadImage {
            model: &model,
            purpose: if index == 0 { UploadPurpose::Training } else { UploadPurpose::Reference },
            file_name: name,
            media_type: "image/jpeg",
            path: &path,
        };
        assert_eq!(client.upload_image(upload).await.unwrap().value.id.as_str(), "i1");
        let seen = server.seen().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/api/images/upload"));
        assert_eq!(seen.header("content-length"), seen.body.len().to_string());
        assert_eq!(seen.header("transfer-encoding"), "");
        assert_eq!(seen.header("api-version"), "1");
        let kind = if index == 0 { "modelInput" } else { "auxiliaryType" };
        let data = format!(r#"{{"modelID":"m\"1","type":"{kind}"}}"#);
        let expected = [
            ("data".into(), None, Some("application/json".into()), data.into_bytes()),
            ("file".into(), Some(sent.into()), Some("image/jpeg".into()), bytes.clone()),
        ];
        assert!(parts(&seen).await == expected, "{name:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_not_sent() {
    let server = Server::start(|_| reply(200, "")).await;
    let folder = tempfile::tempdir().unwrap();
    let model = RemoteModelId::from("m");
    let upload = UploadImage {
        model: &model,
        purpose: UploadPurpose::Training,
        file_name: "a.jpg",
        media_type: "image/jpeg",
        path: &folder.path().join("missing"),
    };
    let missing = server.client().upload_image(upload).await.unwrap_err();
    let directory = UploadImage { path: folder.path(), ..upload };
    let directory = server.client().upload_image(directory).await.unwrap_err();
    let path = folder.path().join("a.jpg");
    std::fs::write(&path, b"x").unwrap();
    let untyped = UploadImage { path: &path, media_type: "no type", ..upload };
    let untyped = server.client().upload_image(untyped).await.unwrap_err();
    for failure in [missing, directory, untyped] {
        assert_eq!(failure.class, FailureClass::NotSent, "{}", failure.message);
    }
    assert_eq!(server.seen().len(), 0);
}
