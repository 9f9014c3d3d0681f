//! Clocks that disagree: of the `Date` header, of `createdAt`, of the list's filter.

use super::*;
use chrono::{DateTime, Utc};

fn millis(value: &Value) -> i64 {
    DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap().timestamp_millis()
}

/// How far a moment is from now, in seconds.
fn off(millis: i64) -> i64 {
    (millis - Utc::now().timestamp_millis()) / 1000
}

async fn date_off(vendor: &Vendor) -> i64 {
    let reply = vendor.try_get("/ping").await.unwrap();
    let date = reply.headers()["date"].to_str().unwrap().to_owned();
    off(DateTime::parse_from_rfc2822(&date).unwrap().timestamp_millis())
}

/// The list between two moments, in seconds from now.
async fn listed(vendor: &Vendor, from: i64, to: i64) -> Vec<Value> {
    let at = |seconds: i64| {
        let at = Utc::now() + chrono::Duration::seconds(seconds);
        at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    let path = format!("/jobs?start={}&end={}", at(from), at(to));
    vendor.get(&path).await["jobs"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_three_clocks_are_apart() {
    let vendor =
        Vendor::new(&["date-skew=2h", "created-skew=-30m", "filter-skew=45m", "job-time=1ms"])
            .await;
    let job = vendor.image_job().await;
    assert!((7190..=7200).contains(&date_off(&vendor).await));
    vendor.job_until(&job, "success").await;
    let entry = vendor.get("/jobs").await["jobs"][0].clone();
    for field in ["createdAt", "updatedAt"] {
        assert!((-1810..=-1798).contains(&off(millis(&entry[field]))), "{entry}");
    }
    assert_eq!(vendor.job(&job).await["createdAt"], entry["createdAt"]);
    // The filter neither goes by the true time nor by the one that is shown.
    assert_eq!(listed(&vendor, -60, 60).await, [] as [Value; 0]);
    assert_eq!(listed(&vendor, -1860, -1740).await, [] as [Value; 0]);
    assert_eq!(listed(&vendor, 2640, 2760).await.len(), 1);
    let effect = vendor.report("ledger").await["effects"][0].clone();
    let shown = effect["created_at"].as_i64().unwrap() - effect["at"].as_i64().unwrap();
    assert!((-1_800_100..=-1_799_900).contains(&shown), "the truth has both times: {effect}");
}

#[tokio::test]
async fn a_step_leaves_older_jobs_their_time() {
    let vendor = Vendor::new(&[]).await;
    let before = vendor.image_job().await;
    vendor.control("faults", json!(["created-skew=1h,for=10m"])).await;
    let after = vendor.image_job().await;
    let model = vendor.model().await;
    assert!(off(millis(&vendor.job(&before).await["createdAt"])).abs() < 10);
    assert!((3590..=3600).contains(&off(millis(&vendor.job(&after).await["createdAt"]))));
    let shown = vendor.get(&format!("/models/{model}")).await;
    assert!((3590..=3600).contains(&off(millis(&shown["createdAt"]))), "{shown}");
    vendor.http.delete(vendor.running.control_url("faults")).send().await.unwrap();
    assert!((3590..=3600).contains(&off(millis(&vendor.job(&after).await["createdAt"]))));
    let last = vendor.image_job().await;
    assert!(off(millis(&vendor.job(&last).await["createdAt"])).abs() < 10);
}

#[tokio::test]
async fn the_filter_can_go_by_what_is_shown() {
    let vendor = Vendor::new(&["filter-created", "created-skew=-30m,times=1"]).await;
    let (back, right) = (vendor.image_job().await, vendor.image_job().await);
    vendor.control("faults", json!(["created-skew=30m"])).await;
    let ahead = vendor.image_job().await;
    let ids = |jobs: Vec<Value>| jobs.iter().map(|job| text(&job["jobId"])).collect::<Vec<_>>();
    assert_eq!(ids(listed(&vendor, -60, 60).await), [right.as_str()]);
    assert_eq!(ids(listed(&vendor, -1860, -1740).await), [back.as_str()]);
    assert_eq!(ids(listed(&vendor, -3600, 3600).await), [ahead, right, back]);
}

#[tokio::test]
async fn nodes_disagree_by_a_little() {
    let created = async |seed| {
        let faults = &["created-jitter=1h"];
        let vendor = Vendor::with(Args { seed, ..args(FAST, faults) }).await;
        let mut seen = Vec::new();
        for _ in 0..8 {
            let job = vendor.image_job().await;
            let created = vendor.job(&job).await["createdAt"].clone();
            assert_eq!(created, vendor.job(&job).await["createdAt"]);
            seen.push(off(millis(&created)));
        }
        seen
    };
    let seen = created(5).await;
    assert!(seen.iter().all(|off| off.abs() <= 3900), "{seen:?}");
    assert!(seen.iter().any(|off| *off < -10) && seen.iter().any(|off| *off > 10), "{seen:?}");
    let again = created(5).await;
    assert!(
        seen.iter().zip(&again).all(|(one, two)| (one - two).abs() < 300),
        "{seen:?} {again:?}"
    );
}

#[tokio::test]
async fn times_in_other_forms() {
    let forms = ["created-whole,from=0s,times=3", "created-zoneless,skip=3", "created-missing"];
    let vendor = Vendor::with(Args { millis: true, ..args(FAST, &forms[..2]) }).await;
    let job = vendor.image_job().await;
    for record in [vendor.job(&job).await, vendor.get("/jobs").await["jobs"][0].clone()] {
        assert_eq!(text(&record["createdAt"]).len(), "2026-11-30T10:00:00Z".len(), "{record}");
    }
    let model = vendor.model().await;
    vendor.get(&format!("/models/{model}")).await;
    let entry = vendor.get("/jobs").await["jobs"][0].clone();
    for field in ["createdAt", "updatedAt"] {
        assert_eq!(text(&entry[field]).len(), "2026-11-30T10:00:00.000".len(), "{entry}");
    }
    vendor.control("faults", json!(forms[2..])).await;
    assert!(vendor.job(&job).await.get("createdAt").is_none());
    let entry = vendor.get("/jobs").await["jobs"][0].clone();
    assert!(entry.get("createdAt").is_none() && entry["updatedAt"].is_string(), "{entry}");
}
