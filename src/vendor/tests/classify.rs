//! The verdicts, as a table: one row per kind of answer, once as a read and once as an effect.

use crate::domain::failure::FailureClass::{self, *};
use crate::vendor::reply::{Call, HttpReply, Transport, parse_http_date, settle};
use crate::vendor::{Acknowledged, RemoteImage, RemoteModel, Triggered};
use proptest::prelude::*;

const READ: Call = Call::read("Reading");
const EFFECT: Call = Call::effect("Starting");

fn answered(status: u16, body: &[u8]) -> Transport {
    Transport::Answered(HttpReply { status, date: None, retry_after: None, body: body.to_vec() })
}

fn verdict(call: Call, transport: &Transport) -> Option<FailureClass> {
    settle::<Triggered>(call, transport).err().map(|failure| failure.class)
}

/// Status, body, verdict on a read, verdict on an effect (`None`: accepted).
type Row = (u16, &'static [u8], Option<FailureClass>, Option<FailureClass>);

#[test]
fn every_kind_of_answer_has_its_verdict() {
    let nok = br#"{"err":"e","message":"m","result":null,"status":"NOK"}"#.as_slice();
    let html = b"<html>502 Bad Gateway</html>".as_slice();
    let credits = br#"{"message":"Insufficient Credits left","status":"NOK"}"#.as_slice();
    #[rustfmt::skip]
    let rows: &[Row] = &[
        (200, br#"{"result":{"jobId":"j","status":"queued"},"status":"OK"}"#, None, None),
        (201, br#"{"result":{"jobId":"j"},"status":"ok"}"#, None, None),
        (200, br#"{"result":{"jobId":7},"status":"Ok"}"#, None, None),
        (200, br#"{"result":{"jobId":"j"}}"#, None, Some(Unknown)),
        (200, br#"{"result":{"jobId":"j"},"status":null}"#, Some(ReadFailed), Some(Unknown)),
        (200, br#"{"result":{"jobId":"j"},"status":"NOK"}"#, Some(ReadFailed), Some(Unknown)),
        (200, br#"{"result":{"jobId":"j"},"status":"PENDING"}"#, Some(ReadFailed), Some(Unknown)),
        (200, br#"{"result":{"jobId":""},"status":"OK"}"#, Some(ReadFailed), Some(Unknown)),
        (200, br#"{"result":{"jobId":null},"status":"OK"}"#, Some(ReadFailed), Some(Unknown)),
        (200, br#"{"result":["j"],"status":"OK"}"#, Some(ReadFailed), Some(Unknown)),
        (200, br#"{"result":null,"status":"OK"}"#, Some(ReadFailed), Some(Unknown)),
        (200, br#"{"status":"OK"}"#, Some(ReadFailed), Some(Unknown)),
        (200, br#"["OK"]"#, Some(ReadFailed), Some(Unknown)),
        (200, nok, Some(ReadFailed), Some(Unknown)),
        (200, html, Some(ReadFailed), Some(Unknown)),
        (200, b"", Some(ReadFailed), Some(Unknown)),
        (204, b"", Some(ReadFailed), Some(Unknown)),
        (302, b"", Some(ReadFailed), Some(Unknown)),
        (304, nok, Some(ReadFailed), Some(Unknown)),
        (400, nok, Some(ReadFailed), Some(RefusedForGood)),
        (400, br#"{"err":"only err"}"#, Some(ReadFailed), Some(RefusedForGood)),
        (400, br#"{"reason":"only reason"}"#, Some(ReadFailed), Some(RefusedForGood)),
        (400, br#"{"status":"nok"}"#, Some(ReadFailed), Some(RefusedForGood)),
        (400, br#"{"message":"m","status":"OK"}"#, Some(ReadFailed), Some(Unknown)),
        (400, br#"{"message":"m","status":"NOK","result":{"jobId":"j"}}"#, Some(ReadFailed), Some(Unknown)),
        (400, br#"{"message":"m","status":"NOK","result":{}}"#, Some(ReadFailed), Some(RefusedForGood)),
        (400, b"{}", Some(ReadFailed), Some(Unknown)),
        (400, html, Some(ReadFailed), Some(Unknown)),
        (401, nok, Some(Unauthorized), Some(Unauthorized)),
        (401, html, Some(Unauthorized), Some(Unknown)),
        (402, nok, Some(ReadFailed), Some(InsufficientCredits)),
        (402, html, Some(ReadFailed), Some(Unknown)),
        (403, nok, Some(ReadFailed), Some(RefusedForGood)),
        (403, b"error code: 1010", Some(ReadFailed), Some(Unknown)),
        (403, credits, Some(ReadFailed), Some(InsufficientCredits)),
        (400, credits, Some(ReadFailed), Some(InsufficientCredits)),
        (429, credits, Some(RefusedForNow), Some(InsufficientCredits)),
        (400, br#"{"message":"m","err":"insufficient credit"}"#, Some(ReadFailed), Some(InsufficientCredits)),
        (404, nok, Some(ReadFailed), Some(RefusedForGood)),
        (404, html, Some(ReadFailed), Some(Unknown)),
        (408, nok, Some(ReadFailed), Some(Unknown)),
        (409, nok, Some(ReadFailed), Some(RefusedForNow)),
        (409, html, Some(ReadFailed), Some(Unknown)),
        (422, nok, Some(ReadFailed), Some(RefusedForGood)),
        (429, nok, Some(RefusedForNow), Some(RefusedForNow)),
        (429, html, Some(RefusedForNow), Some(Unknown)),
        (499, nok, Some(ReadFailed), Some(Unknown)),
        (500, nok, Some(ReadFailed), Some(Unknown)),
        (500, credits, Some(ReadFailed), Some(Unknown)),
        (502, html, Some(ReadFailed), Some(Unknown)),
        (503, b"", Some(ReadFailed), Some(Unknown)),
        (504, html, Some(ReadFailed), Some(Unknown)),
        (599, b"\xff\xfe", Some(ReadFailed), Some(Unknown)),
    ];
    for (status, body, read, effect) in rows {
        let transport = answered(*status, body);
        let shown = String::from_utf8_lossy(body);
        assert_eq!(verdict(READ, &transport), *read, "read, {status} {shown}");
        assert_eq!(verdict(EFFECT, &transport), *effect, "effect, {status} {shown}");
    }
}

#[test]
fn only_a_connection_that_never_was_proves_that_nothing_was_sent() {
    let broken = |partial| Transport::Broken { problem: "reset".into(), partial };
    let Transport::Answered(half) = answered(200, b"") else { unreachable!() };
    let rows = [
        (Transport::NotSent("refused".into()), ReadFailed, NotSent),
        (Transport::TimedOut("deadline".into()), ReadFailed, Unknown),
        (broken(None), ReadFailed, Unknown),
        (broken(Some(half)), ReadFailed, Unknown),
    ];
    for (transport, read, effect) in rows {
        assert_eq!(verdict(READ, &transport), Some(read), "{transport:?}");
        assert_eq!(verdict(EFFECT, &transport), Some(effect), "{transport:?}");
    }
}

#[test]
fn a_failure_quotes_the_vendor_and_keeps_the_start_of_the_reply() {
    let body = br#"{"err":"E_COUNT","message":"needs 12\nto 20 images","status":"NOK"}"#;
    let failure = settle::<Acknowledged>(EFFECT, &answered(400, body)).unwrap_err();
    assert_eq!(failure.message, "Starting was refused (HTTP 400): needs 12 to 20 images");
    assert_eq!(failure.http_status, Some(400));
    assert_eq!(failure.reply.unwrap().as_bytes(), body);

    let long = settle::<Acknowledged>(EFFECT, &answered(502, &[0xff; 10_000])).unwrap_err();
    assert!(long.reply.unwrap().len() <= 4096);
    assert!(settle::<Acknowledged>(READ, &answered(404, b"nope")).unwrap_err().is_not_found());

    let wrong = br#"{"result":{"id":[1],"status":"new"},"status":"OK"}"#;
    let failure = settle::<RemoteModel>(EFFECT, &answered(200, wrong)).unwrap_err();
    assert!(failure.message.contains("result.id: expected a non-empty id"), "{}", failure.message);
    assert!(failure.message.ends_with("it is unknown whether it happened"));
}

#[test]
fn retry_after_is_read_as_seconds_or_as_a_date() {
    let date = parse_http_date("Thu, 01 Jan 2026 00:00:00 GMT");
    assert_eq!(date, Some(super::server::NEW_YEAR));
    let cases = [
        ("30", date, Some(30_000)),
        (" 1.5 ", date, Some(1_500)),
        ("-5", date, Some(0)),
        ("1e99", date, Some(86_400_000)),
        ("NaN", date, None),
        ("Thu, 01 Jan 2026 00:02:00 GMT", date, Some(120_000)),
        ("Wed, 31 Dec 2025 00:00:00 GMT", date, Some(0)),
        ("Thu, 01 Jan 2026 00:02:00 GMT", None, None),
        ("soon", date, None),
    ];
    for (text, date, expected) in cases {
        let reply = HttpReply {
            status: 429,
            date,
            retry_after: Some(text.to_owned()),
            body: br#"{"status":"NOK"}"#.to_vec(),
        };
        let failure = settle::<Acknowledged>(EFFECT, &Transport::Answered(reply)).unwrap_err();
        assert_eq!(failure.retry_after, expected, "{text}");
    }
}

/// Bodies that are nearly right, which random bytes never are.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("null".to_owned()),
        Just("\"OK\"".to_owned()),
        Just("\"NOK\"".to_owned()),
        Just("\"\"".to_owned()),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
        Just(r#"{"jobId":"j"}"#.to_owned()),
        Just(r#"{"id":"i","jobId":""}"#.to_owned()),
        Just("1e999".to_owned()),
    ];
    let key = prop_oneof![
        Just("status"),
        Just("result"),
        Just("message"),
        Just("err"),
        Just("reason"),
        Just("page")
    ];
    let envelope = proptest::collection::vec((key, word), 0..5).prop_map(|fields| {
        let fields: Vec<String> =
            fields.into_iter().map(|(key, word)| format!("\"{key}\":{word}")).collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    });
    prop_oneof![3 => envelope, 1 => proptest::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #[test]
    fn no_bytes_can_fake_an_acceptance_or_a_refusal(
        status in 100u16..600,
        body in body(),
        retry_after in proptest::option::of(".*"),
        date in proptest::option::of(any::<i64>()),
    ) {
        let parsed = serde_json::from_slice::<serde_json::Value>(&body).ok();
        let text = |key: &str| parsed.as_ref()?.get(key)?.as_str().map(str::to_owned);
        let transport = Transport::Answered(HttpReply { status, date, retry_after, body });
        match settle::<Triggered>(EFFECT, &transport) {
            Ok(triggered) => {
                prop_assert!((200..300).contains(&status));
                prop_assert!(!triggered.job_id.as_str().is_empty());
                prop_assert!(text("status").unwrap_or_default().eq_ignore_ascii_case("OK"));
            }
            Err(failure) if failure.class == Unknown => {}
            Err(failure) => {
                prop_assert!((400..500).contains(&status), "{failure:?}");
                let said_no = text("status").is_some_and(|s| s.eq_ignore_ascii_case("NOK"));
                let explained = ["message", "err", "reason"].iter().any(|key| text(key).is_some());
                prop_assert!(said_no || explained, "{failure:?}");
            }
        }
        // The other readers must not panic either.
        let _ = settle::<RemoteImage>(READ, &transport);
        let _ = settle::<Vec<crate::vendor::Preset>>(READ, &transport);
        let _ = settle::<crate::vendor::JobPage>(READ, &transport);
        let _ = settle::<crate::vendor::ImagePage>(READ, &transport);
        let _ = settle::<crate::vendor::DownloadStatus>(READ, &transport);
    }
}
