//! Uploads, models, photo checks, presets.

use super::place::{Place, done};
use std::io::{Read, Write};
use std::net::TcpListener;

#[test]
fn an_upload_needs_a_model_and_a_photo() {
    let place = Place::with_photos(14);
    let upload = |file: &str, model: &str| {
        place.run(&["upload", file, "--model", model, "--type", "auxiliaryType"])
    };
    upload("photos/portrait-01.jpg", "Anna").refused(2, &["`Anna` is no model of yours"]);
    place.nothing_stored();
    place.run(&["model", "import", "remote-1", "--name", "Anna"]).id();
    place.add("text.jpg", "words");
    upload("photos/text.jpg", "Anna").refused(2, &["is text, not a picture"]);
    upload("photos/nothing.jpg", "Anna").refused(2, &["\"nothing.jpg\" cannot be read"]);
    upload("photos", "Anna").refused(2, &["is a folder"]);
    let id = upload("photos/portrait-01.jpg", "Anna").id();
    assert_eq!(place.query("SELECT purpose FROM uploads"), "reference");
    upload("photos/portrait-01.jpg", "Anna").refused(3, &["exactly this photo already"]);
    let input = place.run(&["image", "--model", "Anna", "--prompt", "x", "--input-image", &id]);
    input.id();
    place
        .run(&["image", "--model", "Anna", "--prompt", "x", "--input-image", "none"])
        .refused(2, &["--input-image: `none` is no upload"]);
}

#[test]
fn a_model_is_updated_and_deleted_durably() {
    let place = Place::with_photos(14);
    place.train(&[]).id();
    place.run(&["model", "update", "Anna", "--age", "28"]).id();
    assert_eq!(
        place.query("SELECT fields FROM changes"),
        r#"{"name":"Anna","age":28,"gender":"Female"}"#
    );
    place.run(&["model", "update", "Anna"]).refused(2, &["nothing to change"]);
    place.run(&["model", "update", "Anna", "--gender", "male"]).refused(2, &["`Male`"]);
    place.run(&["model", "delete", "Anna", "--yes"]).refused(3, &["has work under way"]);

    place.run(&["model", "import", "remote-1", "--name", "Carl"]).id();
    place
        .run(&["model", "update", "Carl", "--age", "30"])
        .refused(2, &["--name, --age and --gender together"]);
    place.run(&["model", "delete", "Carl"]).refused(2, &["add --yes"]);
    place.run(&["model", "delete", "Carl", "--yes"]).id();
    assert_eq!(place.count("changes"), 2);
}

#[test]
fn check_reports_and_stores_nothing() {
    let place = Place::with_photos(14);
    let good = place.run(&["check", "photos"]);
    assert_eq!(good.code, 0, "{}", good.err);
    assert_eq!(good.out.lines().count(), 14);
    good.says(&["14 photos can be used"]);
    place.add("zz.png", "GIF89a");
    let bad = place.run(&["check", "photos", "--json"]);
    assert_eq!(bad.code, 2);
    let json = bad.json();
    assert_eq!(json["usable"], false);
    assert_eq!(json["photos"][0]["media_type"], "image/jpeg");
    assert_eq!(json["photos"][14]["verdict"], "bad");
    assert_eq!(json["problems"].as_array().unwrap().len(), 1);
    place.run(&["check", "nowhere"]).refused(2, &["there is no folder"]);
    assert!(!place.data().exists());
}

#[test]
fn every_kept_example_of_a_bad_photo_is_refused() {
    let place = Place::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bad");
    let done = place.run(&["check", folder, "--json"]);
    assert_eq!(done.code, 2);
    let photos = done.json()["photos"].as_array().unwrap().clone();
    assert!(photos.len() >= 8);
    for photo in photos {
        assert_eq!(photo["verdict"], "bad", "{photo}");
        assert!(photo["reason"].is_string(), "{photo}");
    }
}

#[test]
fn presets_need_a_key_and_a_vendor() {
    let place = Place::new();
    place.run(&["presets"]).refused(2, &["PHOTOGPT_API_KEY"]);
    let mut command = place.command();
    command
        .env("PHOTOGPT_API_KEY", "canary-key-123")
        .env("PHOTOGPT_BASE_URL", "http://127.0.0.1:9/api");
    let done = done(command.arg("presets").output().unwrap());
    assert_eq!(done.code, 1);
    assert!(!done.err.contains("canary"), "{}", done.err);
}

/// Answers one request on a loopback port, and gives the address.
fn vendor_says(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut chunk = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let n = stream.read(&mut chunk).unwrap();
            request.extend_from_slice(&chunk[..n]);
        }
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json");
        let reply = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(reply.as_bytes()).unwrap();
    });
    format!("http://{address}/api")
}

#[test]
fn presets_are_listed_by_tag_and_a_wrong_key_needs_a_person() {
    let place = Place::new();
    let presets = |base: String, args: &[&str]| {
        let mut command = place.command();
        command.env("PHOTOGPT_API_KEY", "canary-key-123");
        command.env("PHOTOGPT_BASE_URL", base);
        done(command.args(args).output().unwrap())
    };
    let list = r#"{"result":[{"tag":"editorial","id":1},{"tag":"noir"}],"status":"OK"}"#;
    let text = presets(vendor_says("200 OK", list), &["presets"]);
    assert_eq!((text.code, text.out.as_str()), (0, "editorial\nnoir\n"));
    let json = presets(vendor_says("200 OK", list), &["presets", "--json"]).json();
    assert_eq!(json[0]["id"], 1);
    let refusal = r#"{"err":"bad key canary-key-123","result":null,"status":"NOK"}"#;
    let wrong = presets(vendor_says("401 Unauthorized", refusal), &["presets"]);
    assert_eq!(wrong.code, 4, "{}", wrong.err);
    wrong.says(&["PHOTOGPT_API_KEY"]);
    assert!(!wrong.err.contains("canary"), "{}", wrong.err);
    assert!(!place.data().exists());
}
