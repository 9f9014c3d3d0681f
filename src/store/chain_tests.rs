//! The chain shows every change of what it covers; a quarantine keeps calls from going out.

use super::quarantine::{AccountIsOurs, KnownAccount, Release, SetQuarantine};
use super::tests::{Bench, one_job};
use crate::domain::quarantine::{Class, Facts, Quarantine};
use crate::domain::schedule::Timing;
use crate::domain::work::Kind;

/// Three accepted jobs: six entries.
async fn six_entries() -> Bench {
    let bench = Bench::new().await;
    for remote in ["a", "b", "c"] {
        let job = one_job(&bench).await;
        bench.accept(Kind::Job, job, remote).await;
    }
    assert_eq!(bench.store.chain_tip().await.unwrap().counter, 6);
    assert_eq!(bench.store.check_chain(0, 100).await.unwrap().fault, None);
    bench
}

async fn fault(bench: &Bench, after: i64, limit: u32) -> Option<String> {
    bench.store.check_chain(after, limit).await.unwrap().fault
}

fn found(class: Class) -> SetQuarantine {
    let (reason, facts) = ("r".to_owned(), Facts::default());
    SetQuarantine { quarantine: Quarantine { reason, class, at: 1, facts, beneath: None } }
}

fn release() -> Release {
    Release {
        by: "test".to_owned(),
        reason: None,
        listed: true,
        settling: None,
        timing: Timing::default(),
    }
}

#[tokio::test]
async fn entries_cannot_be_changed_in_passing() {
    let bench = six_entries().await;
    for sql in ["UPDATE chain SET head = 'x'", "DELETE FROM chain"] {
        assert!(bench.by_hand(sql).await.unwrap_err().contains("append-only"), "{sql}");
    }
    let again =
        "INSERT INTO chain SELECT 7, at, intent, what, note, digest, head FROM chain LIMIT 1";
    assert!(bench.by_hand(again).await.is_err(), "each call opens once");
}

#[tokio::test]
async fn harmless_repeats_are_no_part_of_it() {
    let bench = six_entries().await;
    let job = one_job(&bench).await;
    bench.send(Kind::Job, job, "download:x").await.unwrap();
    assert_eq!(bench.store.chain_tip().await.unwrap().counter, 6);
    assert_eq!(fault(&bench, 0, 100).await, None);
}

#[tokio::test]
async fn every_kind_of_damage_shows_where_it_is() {
    let open = "DROP TRIGGER chain_append_only_update; DROP TRIGGER chain_append_only_delete; ";
    for (sql, says) in [
        ("UPDATE chain SET digest = 'x' WHERE seq = 3", "entry 3 does not follow"),
        ("UPDATE chain SET head = 'x' WHERE seq = 2", "entry 2 does not follow"),
        ("DELETE FROM chain WHERE seq = 1", "entry 1 is missing"),
        ("DELETE FROM chain WHERE seq = 3", "entry 3 is missing"),
        ("DELETE FROM chain WHERE seq = 4", "the end of the call 2"),
        ("UPDATE intents SET subject = 'x' WHERE seq = 2", "entry 3 is about"),
        ("UPDATE intents SET outcome = 'x' WHERE seq = 2", "entry 4 is about"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM intents WHERE seq = 1", "which is gone"),
        ("DELETE FROM chain WHERE seq = 6", "the end of the call 3"),
        ("DELETE FROM chain WHERE seq > 4", "the call 3 is not recorded"),
    ] {
        let bench = six_entries().await;
        bench.by_hand(open).await.unwrap();
        bench.by_hand(sql).await.unwrap();
        let fault = fault(&bench, 0, 100).await.unwrap();
        assert!(fault.contains(says), "{sql}: {fault}");
    }
}

#[tokio::test]
async fn it_is_checked_in_parts() {
    let bench = six_entries().await;
    bench.by_hand("UPDATE intents SET request_hash = 'x' WHERE seq = 2").await.unwrap();
    let mut faults = Vec::new();
    let mut after = 0;
    loop {
        let part = bench.store.check_chain(after, 2).await.unwrap();
        faults.push(part.fault.is_some());
        if part.at_end {
            break;
        }
        after = part.upto;
    }
    assert_eq!(faults, [false, true, false, false], "the last part is empty");
}

#[tokio::test]
async fn what_was_released_is_not_brought_up_again() {
    let bench = six_entries().await;
    bench.by_hand("UPDATE intents SET request_hash = 'x' WHERE seq = 2").await.unwrap();
    assert!(fault(&bench, 0, 100).await.is_some());
    bench.store.writer().write(found(Class::Broken)).await.unwrap();
    bench.store.writer().write(release()).await.unwrap();
    assert_eq!(fault(&bench, 0, 100).await, None);
    let job = one_job(&bench).await;
    bench.accept(Kind::Job, job, "d").await;
    assert_eq!(fault(&bench, 0, 100).await, None);
    assert_eq!(bench.store.chain_tip().await.unwrap().counter, 9);
    bench.by_hand("UPDATE intents SET request_hash = 'x' WHERE seq = 4").await.unwrap();
    assert!(fault(&bench, 0, 100).await.unwrap().contains("entry 8"), "what is new counts");
}

#[tokio::test]
async fn in_quarantine_nothing_goes_out() {
    let bench = Bench::new().await;
    let job = one_job(&bench).await;
    bench.store.writer().write(found(Class::Behind)).await.unwrap();
    let refused = bench.send(Kind::Job, job, "paid").await.unwrap_err().to_string();
    assert!(refused.contains("quarantine") && refused.contains("darkroom release"), "{refused}");
    let (holds, news) = bench.store.writer().write(found(Class::Account)).await.unwrap();
    assert!(news && holds.stops_watching());
    let account = KnownAccount {
        base_url: "http://vendor".to_owned(),
        proof: None,
        digest: None,
        forgotten: None,
    };
    let found = AccountIsOurs { account: account.clone() };
    assert!(bench.store.writer().write(found).await.unwrap());
    assert_eq!(bench.store.quarantine().await.unwrap().unwrap().class, Class::Behind);
    assert!(!bench.store.writer().write(AccountIsOurs { account }).await.unwrap());
    bench.store.writer().write(release()).await.unwrap();
    bench.send(Kind::Job, job, "paid").await.unwrap();
}
