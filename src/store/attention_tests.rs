//! What waits for a person: what lists lack, what cannot be read, and who may answer it.

use super::listing::{Readable, Unreadable};
use super::report::Duty;
use super::settings::{BY_DAEMON, BY_DISK, BY_KEY_CHECK, ClearPause, SetPause, Switch};
use super::tests::{Bench, one_job};

#[tokio::test]
async fn calls_in_doubt_that_are_asked_about_and_a_list_that_lacks_are_shown() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.by_hand("UPDATE intents SET asked = 'no witness'").await.unwrap();
    let lacks = "INSERT INTO missing VALUES ('r7', 1, 0, 5, 9, 'lacks', NULL)";
    bench.by_hand(lacks).await.unwrap();
    let duties = bench.store.attention().await.unwrap();
    let [Duty::Row(row), Duty::Other(list)] = duties.as_slice() else { panic!("{duties:?}") };
    assert_eq!((row.id, row.state.as_str()), (id, "in_doubt"));
    assert!(row.why.contains("a person may decide: no witness"), "{}", row.why);
    assert_eq!((list.id.as_str(), list.error_class.as_str()), ("r7", "lacks"));
    let why = "SELECT why || ' ' || reason FROM attention WHERE kind = 'job'";
    assert_eq!(bench.one(why).await.as_deref(), Some("no witness asked"));
    // Pages stay where they are.
    let first = bench.store.attention_page(1, None).await.unwrap();
    let second = bench.store.attention_page(1, first.next).await.unwrap();
    assert_eq!((first.items[0].id(), second.items[0].id()), (id.to_string(), "r7".to_owned()));
    assert!(second.next.is_none());
    bench.resubmit(id).await.unwrap();
    assert_eq!(bench.store.attention_count().await.unwrap(), 1);
}

/// A person may know of a job that the list never shows, but only where the list was seen to lack some.
#[tokio::test]
async fn what_a_list_lacks_may_be_adopted_by_whoever_knows_its_id() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    let error = bench.adopt(id, "r9").await.unwrap_err().to_string();
    assert!(error.contains("has never shown \"r9\""), "{error}");
    bench.by_hand("INSERT INTO missing VALUES ('r7', 1, 0, 5, 9, 'lacks', NULL)").await.unwrap();
    bench.adopt(id, "r9").await.unwrap();
    assert_eq!(bench.book().await, "accepted=r9");
}

/// A list that cannot be read is noted at once; a person is asked when it has lasted.
#[tokio::test]
async fn a_list_that_cannot_be_read_for_hours_is_in_attention_until_it_can() {
    let bench = Bench::new().await;
    let unreadable = |asked| Unreadable { since: 7, why: "it is a page of HTML".into(), asked };
    let duties = async || bench.store.attention().await.unwrap();
    bench.store.writer().write(Readable(Some(unreadable(false)))).await.unwrap();
    assert!(duties().await.is_empty());
    bench.store.writer().write(Readable(Some(unreadable(true)))).await.unwrap();
    let found = duties().await;
    let [Duty::Other(list)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((list.id.as_str(), list.error_class.as_str()), ("list", "unreadable"));
    assert!(
        list.why.contains("nothing can be bought") && list.why.contains("HTML"),
        "{}",
        list.why
    );
    bench.store.writer().write(Readable(None)).await.unwrap();
    assert!(duties().await.is_empty());
}

/// What holds everything up is asked about too, unless a person has wanted it so.
#[tokio::test]
async fn pauses_of_the_daemons_own_are_shown() {
    let bench = Bench::new().await;
    let (switch, reason) = (Switch::Spending, "no credits left".to_owned());
    for (by, word) in [
        (BY_DAEMON, Some("credits")),
        (BY_KEY_CHECK, Some("key")),
        (BY_DISK, Some("disk")),
        ("me", None),
    ] {
        let pause = SetPause { switch, reason: reason.clone(), by: by.to_owned() };
        bench.store.writer().write(pause).await.unwrap();
        let found = bench.store.attention().await.unwrap();
        let shown = found.iter().map(|duty| match duty {
            Duty::Other(duty) => (duty.kind, duty.id.as_str(), duty.error_class.as_str()),
            Duty::Row(row) => panic!("{row:?}"),
        });
        let wanted = word.map(|word| ("daemon", "spending", word));
        assert_eq!(shown.collect::<Vec<_>>(), wanted.into_iter().collect::<Vec<_>>(), "{by}");
        let reasons = bench.store.attention_reasons().await.unwrap();
        assert_eq!(reasons.into_keys().next().as_deref(), word);
        bench.store.writer().write(ClearPause { switch, only_by: None }).await.unwrap();
    }
}

#[tokio::test]
async fn a_quarantine_an_undecided_account_and_a_silent_vendor_are_shown() {
    let bench = Bench::new().await;
    let (now, hours) = (bench.store.now(), 3 * judging::HOUR);
    let put = async |name: &str, value: serde_json::Value| {
        let sql = format!("INSERT OR REPLACE INTO settings VALUES ('{name}', '{value}', {now})");
        bench.by_hand(&sql).await.unwrap();
    };
    let reasons =
        async || Vec::from_iter(bench.store.attention_reasons().await.unwrap().into_keys());
    let now_ms: i64 = bench.one("SELECT now_ms FROM clock").await.unwrap().parse().unwrap();
    let health = |since: i64| serde_json::json!({ "state": "unreachable", "since": since, "problem": "dns" });
    put("vendor.health", health(now_ms - hours / 3)).await;
    put("account.unsettled", serde_json::json!({ "class": "account", "reason": "not asked yet" }))
        .await;
    assert!(reasons().await.is_empty(), "it may pass by itself");
    put("vendor.health", health(now_ms - hours)).await;
    put("account.unsettled", serde_json::json!({ "class": "undecided", "reason": "is it yours?" }))
        .await;
    assert_eq!(reasons().await, ["account", "unreachable"]);
    put("quarantine", serde_json::json!({ "class": "behind", "reason": "an old copy", "at": 5 }))
        .await;
    assert_eq!(reasons().await, ["quarantine", "unreachable"]);
}

#[tokio::test]
async fn what_could_not_be_sent_for_a_day_is_shown() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.by_hand("UPDATE jobs SET failures = 3, note = 'too many requests'").await.unwrap();
    assert_eq!(bench.store.attention_count().await.unwrap(), 0);
    bench
        .by_hand("UPDATE jobs SET created_at = (SELECT now_ms FROM clock) - 86400001")
        .await
        .unwrap();
    let asked = bench.store.asked_about(id).await.unwrap();
    let [asked] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(asked.contains("too many requests") && asked.contains("darkroom cancel"), "{asked}");
}

/// Who waits for the paid lane is told which call has it.
#[tokio::test]
async fn a_call_that_holds_the_lane_is_named() {
    let bench = Bench::new().await;
    let (first, second) = (one_job(&bench).await, one_job(&bench).await);
    bench.by_hand("UPDATE jobs SET due_at = 0").await.unwrap();
    let why = format!("SELECT why FROM why WHERE id = '{second}'");
    bench.send(crate::domain::work::Kind::Job, first, super::verdict_tests::PAID).await.unwrap();
    let said = bench.one(&why).await.unwrap();
    assert!(said.contains(&format!("the job {first} is being sent")), "{said}");
    bench.unknown(first).await.unwrap();
    let said = bench.one(&why).await.unwrap();
    assert!(said.contains(&format!("the job {first}, whose reply was lost,")), "{said}");
}

/// A person's word about a candidate stands in the sentence that had named it.
#[tokio::test]
async fn what_a_person_has_said_is_in_the_question() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    for job in ["r1", "r2"] {
        bench.list(job).await;
    }
    bench.park(id, &["r1", "r2"]).await.unwrap();
    bench.not_this(id, "r1").await.unwrap();
    let asked = bench.store.asked_about(id).await.unwrap();
    let [asked] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(asked.contains("since then") && asked.contains("r1"), "{asked}");
}
