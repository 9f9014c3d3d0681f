//! `darkroom drill`: it passes, and its verdict can fail.

use crate::support::darkroom;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// A drill has a deadline of its own, so that no watchdog is needed here.
fn drill(args: &[&str]) -> Output {
    darkroom().arg("drill").args(args).output().unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("no report: {}", String::from_utf8_lossy(&output.stderr));
    })
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All that is known of a drill that did not end as it should.
fn all(output: &Output) -> String {
    said(output) + &String::from_utf8_lossy(&output.stdout)
}

fn judge(dir: &Path) -> (Option<i32>, Value) {
    let output = drill(&["--judge", dir.to_str().unwrap(), "--json"]);
    (output.status.code(), report(&output))
}

fn sql(dir: &Path, statement: &str) {
    let db = dir.join("data/darkroom.db");
    let done = Command::new("sqlite3").arg(db).arg(statement).status().unwrap();
    assert!(done.success(), "{statement}");
}

fn count(report: &Value, sort: &str) -> usize {
    report["verdict"][sort].as_array().unwrap().len()
}

/// The promise, and then the same folder with each sort of wrong planted in it.
#[test]
fn twenty_five_kills_lose_and_buy_nothing_twice_and_the_verdict_can_fail() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("drill");
    let output = drill(&["--kills", "25", "--seed", "7", "--json", "--dir", dir.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", all(&output));
    let good = report(&output);
    assert_eq!((good["kills"].as_u64(), good["seed"].as_u64()), (Some(25), Some(7)));
    assert!(good["open_calls"]["kills"].as_u64().unwrap() >= 3, "{good}");
    assert!(good["files_checked"].as_u64().unwrap() > 5, "{good}");
    assert!(said(&output).contains("seed 7"), "{}", said(&output));
    let (code, again) = judge(&dir);
    assert_eq!((code, &again["verdict"]), (Some(0), &good["verdict"]));

    // A second purchase: the vendor has one job more for the prompt of another.
    let path = dir.join("drill.json");
    let diary = std::fs::read_to_string(&path).unwrap();
    let mut planted: Value = serde_json::from_str(&diary).unwrap();
    let effects = planted["ledger"]["effects"].as_array_mut().unwrap();
    let mut twin = effects.iter().find(|effect| effect["kind"] == "job").unwrap().clone();
    twin["id"] = "job_planted".into();
    effects.push(twin);
    std::fs::write(&path, planted.to_string()).unwrap();
    let output = drill(&["--judge", dir.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("1 duplicated"), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("job_planted"));
    std::fs::write(&path, diary).unwrap();

    // A file that is gone.
    let file = "select path from outputs where state = 'succeeded' limit 1";
    let file =
        Command::new("sqlite3").arg(dir.join("data/darkroom.db")).arg(file).output().unwrap();
    let file = dir.join("data").join(String::from_utf8_lossy(&file.stdout).trim());
    let away = file.with_extension("away");
    std::fs::rename(&file, &away).unwrap();
    let (code, bad) = judge(&dir);
    assert_eq!((code, count(&bad, "lost")), (Some(1), 1), "{bad}");
    std::fs::rename(&away, &file).unwrap();

    // Two rows that hold each other's purchase.
    let two = "select id from jobs where type = 'image' and state = 'succeeded' \
               and json_extract(request, '$.model.public') is not null order by id limit 2";
    let swap = format!(
        "create temp table two as select id, remote_id from jobs where id in ({two}); \
         update jobs set remote_id = id where id in (select id from two); \
         update jobs set remote_id = (select remote_id from two where two.id <> jobs.id) \
         where id in (select id from two)"
    );
    sql(&dir, &swap);
    let (code, bad) = judge(&dir);
    assert_eq!(code, Some(1));
    assert!(count(&bad, "wrongly_adopted") >= 2, "{bad}");
    sql(&dir, &swap);
    assert_eq!(judge(&dir).0, Some(0), "put right again");
}

/// A list that lags beyond the settle time and strangers on the account.
#[test]
fn on_a_hostile_account_every_second_purchase_is_reported() {
    let output = drill(&["--kills", "12", "--seed", "3", "--profile", "hostile", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", all(&output));
    let report = report(&output);
    assert!(report["unclaimed_reported"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(count(&report, "lost") + count(&report, "duplicated"), 0);
    assert_eq!(count(&report, "wrongly_adopted"), 0);
}

#[test]
fn a_bad_command_line_starts_nothing() {
    for args in [
        &["--kills", "0"][..],
        &["--kills", "many"],
        &["--profile", "kind"],
        &["--seed", "-1"],
        &["--judge", "/nonexistent"],
        &["--judge", "/tmp", "--kills", "3"],
        &["--kills", "1", "--data-dir", "/tmp"],
    ] {
        let output = drill(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
        assert!(!said(&output).is_empty() && output.stdout.is_empty());
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("darkroom.db"), "somebody's work").unwrap();
    let output = drill(&["--kills", "1", "--dir", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--dir"), "{}", said(&output));
}
