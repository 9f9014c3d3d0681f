//! What a page of the job list may look like, and what it must not.

use super::server::NEW_YEAR;
use crate::vendor::reply::{Call, HttpReply, Transport, settle};
use crate::vendor::{JobPage, PageForm};
use serde_json::{Value, json};

/// Through the same door as a reply of the vendor's.
fn read(envelope: &Value) -> Result<JobPage, String> {
    let body = envelope.to_string().into_bytes();
    let reply = HttpReply { status: 200, date: None, retry_after: None, body };
    settle(Call::read("Listing the jobs"), &Transport::Answered(reply)).map_err(|failure| {
        assert_eq!(failure.class, crate::domain::failure::FailureClass::ReadFailed);
        assert_eq!(failure.http_status, Some(200), "somebody did answer");
        failure.message
    })
}

fn token(envelope: Value) -> Option<String> {
    let page = read(&envelope).unwrap();
    assert_eq!((page.jobs.len(), page.form), (1, PageForm::Array), "{envelope}");
    page.next_page_token
}

fn fails(envelope: Value, because: &str) {
    let problem = read(&envelope).unwrap_err();
    assert!(problem.ends_with(because), "{envelope}: {problem}");
}

#[test]
fn a_list_in_its_place_is_an_array_even_when_empty() {
    let page = read(&json!({"result": {"jobs": []}, "status": "OK"})).unwrap();
    assert_eq!(page, JobPage { jobs: vec![], next_page_token: None, form: PageForm::Array });
    // An empty page in the middle of a list is an honest page.
    let page = read(&json!({"result": {"jobs": [], "nextPageToken": "t"}, "status": "OK"}));
    let page = page.unwrap();
    assert_eq!((page.next_page_token.as_deref(), page.form), (Some("t"), PageForm::Array));
    // As for other reads, a whole answer without a status is believed.
    let page = read(&json!({"result": {"jobs": [{"jobId": "a"}]}})).unwrap();
    assert_eq!((page.jobs[0].job_id.as_str(), page.form), ("a", PageForm::Array));
}

#[test]
fn nothing_in_the_place_of_the_list_is_blank_and_says_so() {
    let blank = JobPage { jobs: vec![], next_page_token: None, form: PageForm::Blank };
    let blanks = [
        json!({"status": "OK"}),
        json!({"result": null, "status": "OK"}),
        json!({"result": {}, "status": "OK"}),
        json!({"result": [], "status": "ok"}),
        json!({"result": {"jobs": null}, "status": "OK"}),
        json!({"result": {"jobs": null, "nextPageToken": ""}, "status": "OK"}),
        json!({"result": {"nextPageToken": null, "total": 0}, "status": "OK"}),
        json!({"result": {}, "nextPageToken": null, "page": {"items": []}, "status": "OK"}),
    ];
    for envelope in blanks {
        assert_eq!(read(&envelope).as_ref(), Ok(&blank), "{envelope}");
    }
}

#[test]
fn a_blank_page_needs_an_explicit_ok_and_no_sign_of_jobs() {
    let no_status = "result.jobs: missing, and so is the status";
    for envelope in [
        json!({}),
        json!({"result": null}),
        json!({"result": []}),
        json!({"result": {}}),
        json!({"result": {"jobs": null}}),
    ] {
        fails(envelope, no_status);
    }
    assert!(read(&json!({"result": {}, "status": "NOK"})).is_err());
    assert!(read(&json!({"result": {}, "status": null})).is_err());

    let goes_on = "result.jobs: missing, although the list goes on";
    fails(json!({"result": {"jobs": null, "nextPageToken": "t"}, "status": "OK"}), goes_on);
    fails(json!({"result": {"nextPageToken": 7}, "status": "OK"}), goes_on);
    for result in [json!({}), json!([]), json!(null)] {
        fails(json!({"result": result, "nextPageToken": "t", "status": "OK"}), goes_on);
    }
    fails(json!({"nextPageToken": "t", "status": "OK"}), goes_on);
}

#[test]
fn entries_in_another_place_are_no_empty_list() {
    let entries = json!([{"jobId": "a"}]);
    let elsewhere = [
        ("result", json!({"result": entries, "status": "OK"})),
        ("jobs", json!({"jobs": entries, "status": "OK"})),
        ("jobs", json!({"jobs": entries, "result": {"jobs": null}, "status": "OK"})),
        ("result.items", json!({"result": {"items": entries}, "status": "OK"})),
        ("result.data", json!({"result": {"data": {"jobs": entries}}, "status": "OK"})),
        ("data", json!({"data": {"jobs": entries}, "result": null, "status": "OK"})),
    ];
    for (place, envelope) in elsewhere {
        let end = format!(": {place}: a list of entries, which belongs into result.jobs");
        fails(envelope, &end);
    }
    // Where the list is in its place, other lists beside it are fields that we do not know.
    let page = read(&json!({"result": {"jobs": entries, "tags": ["x"]}, "status": "OK"})).unwrap();
    assert_eq!(page.jobs.len(), 1);
}

#[test]
fn another_type_in_the_place_of_the_list_is_no_list() {
    for (result, kind) in [(json!("x"), "text"), (json!(7), "a number"), (json!(false), "a truth")]
    {
        let problem = read(&json!({"result": result, "status": "OK"})).unwrap_err();
        assert!(problem.contains(&format!("result: expected an object, found {kind}")));
        let problem = read(&json!({"result": {"jobs": result}, "status": "OK"})).unwrap_err();
        assert!(
            problem.contains(&format!("result.jobs: expected a list of entries, found {kind}"))
        );
    }
    for jobs in [json!({}), json!({"a": {"jobId": "a"}}), json!("")] {
        assert!(read(&json!({"result": {"jobs": jobs}, "status": "OK"})).is_err(), "{jobs}");
    }
    // One unreadable entry, and nothing may be said of the others.
    for entry in [json!({"status": "queued"}), json!({"jobId": ""}), json!(null), json!("a")] {
        let jobs = json!([{"jobId": "a"}, entry]);
        let problem = read(&json!({"result": {"jobs": jobs}, "status": "OK"})).unwrap_err();
        assert!(problem.contains("result.jobs[1]"), "{problem}");
    }
}

fn with_tokens(within: Value, beside: Value) -> Value {
    let result = json!({"jobs": [{"jobId": "a"}], "nextPageToken": within});
    json!({"result": result, "nextPageToken": beside, "status": "OK"})
}

#[test]
fn a_token_is_followed_in_either_place_and_passed_on_as_text() {
    let result = json!({"jobs": [{"jobId": "a"}]});
    assert_eq!(token(json!({"result": result, "status": "OK"})), None);
    let beside = json!({"result": result, "nextPageToken": "t", "status": "OK"});
    assert_eq!(token(beside).as_deref(), Some("t"));
    let texts = [
        (json!("t"), "t"),
        (json!("null"), "null"),
        (json!(" a+b/c= "), " a+b/c= "),
        (json!(0), "0"),
        (json!(2), "2"),
        (json!(-1), "-1"),
        (json!(9_007_199_254_740_993_u64), "9007199254740993"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(i64::MIN), "-9223372036854775808"),
        (json!(1.5), "1.5"),
    ];
    for (value, text) in texts {
        for nothing in [json!(null), json!(""), json!(" ")] {
            assert_eq!(token(with_tokens(value.clone(), nothing.clone())).as_deref(), Some(text));
            assert_eq!(token(with_tokens(nothing, value.clone())).as_deref(), Some(text));
        }
        assert_eq!(token(with_tokens(value.clone(), value)).as_deref(), Some(text));
    }
    assert_eq!(token(with_tokens(json!(7), json!("7"))).as_deref(), Some("7"));
    assert_eq!(token(with_tokens(json!(""), json!(null))), None);
}

#[test]
fn a_token_that_cannot_be_followed_is_not_the_end_of_the_list() {
    for odd in [json!(true), json!(false), json!({}), json!({"t": 1}), json!([]), json!(["t"])] {
        for envelope in [with_tokens(odd.clone(), json!(null)), with_tokens(json!("t"), odd)] {
            assert!(read(&envelope).unwrap_err().contains("nextPageToken: expected text, found "));
        }
    }
    fails(with_tokens(json!("t"), json!("u")), "nextPageToken: not the same as the one in result");
    fails(with_tokens(json!(1), json!(2)), "nextPageToken: not the same as the one in result");
    let long: Value = serde_json::from_str("184467440737095516150").unwrap();
    let lost = "result.nextPageToken: the number is too large to be passed on exactly";
    fails(with_tokens(long, json!(null)), lost);
}

#[test]
fn an_unreadable_time_does_not_lose_the_job() {
    let times = [
        (json!("2026-01-01T00:00:00"), Some(NEW_YEAR)),
        (json!("2026-01-01T00:00:00Z"), Some(NEW_YEAR)),
        (json!(1_767_225_600), Some(NEW_YEAR)),
        (json!(1_767_225_600.25), Some(NEW_YEAR + 250)),
        (json!(1_767_225_600_000_u64), Some(NEW_YEAR)),
        (json!("string"), None),
        (json!("0001-01-01T00:00:00Z"), None),
        (json!(0), None),
        (json!(1_767_225_600_000_000_u64), None),
        (json!(null), None),
        (json!(true), None),
        (json!({"seconds": 1_767_225_600}), None),
        (json!([2026, 1, 1]), None),
    ];
    for (written, expected) in times {
        let jobs = json!([{"jobId": "a", "createdAt": written, "updatedAt": written}]);
        let page = read(&json!({"result": {"jobs": jobs}, "status": "OK"})).unwrap();
        let job = &page.jobs[0];
        assert_eq!(job.job_id.as_str(), "a");
        assert_eq!((job.created_at, job.updated_at), (expected, expected), "{written}");
    }
}
