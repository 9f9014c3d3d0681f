//! A job list that lags, lacks, cuts, loops, shuffles and comes in odd forms.

use super::*;

/// A vendor with jobs, oldest first.
async fn with_jobs(count: usize, page_size: usize, faults: &[&str]) -> (Vendor, Vec<String>) {
    let vendor = Vendor::with(Args { page_size, ..args(FAST, faults) }).await;
    let mut jobs = Vec::new();
    for _ in 0..count {
        jobs.push(vendor.image_job().await);
    }
    (vendor, jobs)
}

/// The ids on one page, in its order.
async fn page(vendor: &Vendor, query: &str) -> (Vec<String>, Value) {
    let page = vendor.get(&format!("/jobs{query}")).await;
    let ids = page["jobs"].as_array().unwrap().iter().map(|job| text(&job["jobId"]));
    (ids.collect(), page["nextPageToken"].clone())
}

async fn raw(vendor: &Vendor, query: &str) -> Value {
    vendor.try_get(&format!("/jobs{query}")).await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn lag_differs_from_job_to_job() {
    let (vendor, jobs) = with_jobs(8, 100, &["list-lag=0s..100m"]).await;
    let effects = vendor.report("ledger").await["effects"].clone();
    let lag =
        |effect: &Value| effect["listed_at"].as_i64().unwrap() - effect["at"].as_i64().unwrap();
    let lags: Vec<i64> = effects.as_array().unwrap().iter().map(lag).collect();
    assert!(lags.iter().all(|lag| (0..=6_000_010).contains(lag)), "{lags:?}");
    assert!(lags.iter().max() > lags.iter().min().map(|least| least + 60_000).as_ref());
    assert!(page(&vendor, "").await.0.len() < jobs.len());
}

#[tokio::test]
async fn a_frozen_list_thaws() {
    let (vendor, mut jobs) = with_jobs(1, 100, &[]).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    vendor.control("faults", json!(["list-frozen,for=500ms"])).await;
    jobs.push(vendor.image_job().await);
    vendor.control(&format!("job/{}/unlist", jobs[0]), json!({})).await;
    assert_eq!(page(&vendor, "").await.0, jobs[..1], "neither the new job nor the removal shows");
    tokio::time::sleep(Duration::from_millis(510)).await;
    assert_eq!(page(&vendor, "").await.0, jobs[1..]);
}

#[tokio::test]
async fn some_jobs_are_lacking_for_ever() {
    let (vendor, jobs) = with_jobs(3, 100, &["list-lacks,skip=1,times=1"]).await;
    assert_eq!(page(&vendor, "").await.0, [jobs[2].clone(), jobs[0].clone()]);
    vendor.job(&jobs[1]).await;
    let effect = vendor.report("ledger").await["effects"][1].clone();
    assert_eq!((&effect["id"], &effect["listed_at"]), (&json!(jobs[1]), &Value::Null));
    vendor.control(&format!("job/{}/relist", jobs[1]), json!({})).await;
    assert_eq!(page(&vendor, "").await.0.len(), 3);
}

#[tokio::test]
async fn jobs_are_taken_off() {
    let (vendor, jobs) = with_jobs(2, 100, &["off-list=1ms,times=1", "forgotten=1ms,skip=1"]).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(page(&vendor, "").await.0, [] as [String; 0]);
    vendor.job(&jobs[0]).await;
    assert_eq!(vendor.try_get(&format!("/jobs/{}", jobs[1])).await.unwrap().status(), 404);
}

#[tokio::test]
async fn jobs_are_taken_off_by_hand_and_put_back() {
    let (vendor, jobs) = with_jobs(2, 100, &[]).await;
    let order = |id: &str, verb: &str| format!("job/{id}/{verb}");
    vendor.control(&order(&jobs[0], "unlist"), json!({})).await;
    vendor.control(&order(&jobs[1], "unlist"), json!({ "forget": true })).await;
    assert_eq!(page(&vendor, "").await.0, [] as [String; 0]);
    vendor.job(&jobs[0]).await;
    assert_eq!(vendor.try_get(&format!("/jobs/{}", jobs[1])).await.unwrap().status(), 404);
    let effects = vendor.report("ledger").await["effects"].clone();
    assert!(effects[0]["unlisted_at"].is_i64() && effects[0]["forgotten_at"].is_null());
    assert!(effects[1]["forgotten_at"].is_i64());
    vendor.control(&order(&jobs[1], "relist"), json!({})).await;
    assert_eq!(page(&vendor, "").await.0, jobs[1..]);
    vendor.job(&jobs[1]).await;
    assert_eq!(vendor.control("job/x/unlist", json!({})).await["status"], "NOK");
    assert_eq!(vendor.control("job/x/relist", json!({})).await["status"], "NOK");
}

#[tokio::test]
async fn entries_come_and_go() {
    let (vendor, jobs) = with_jobs(40, 100, &["list-drops=0.5"]).await;
    let (one, two) = (page(&vendor, "").await.0, page(&vendor, "").await.0);
    assert!((5..35).contains(&one.len()) && one != two, "{} {}", one.len(), two.len());
    assert!(one.iter().all(|id| jobs.contains(id)));
}

#[tokio::test]
async fn the_list_is_cut() {
    let (vendor, jobs) = with_jobs(5, 2, &["list-cut=2"]).await;
    let (_, token) = page(&vendor, "").await;
    let (second, token) = page(&vendor, &format!("?pageToken={}", text(&token))).await;
    assert_eq!((second, token), (vec![jobs[2].clone(), jobs[1].clone()], json!("")));
    vendor.control("faults", json!(["list-headless=3"])).await;
    assert_eq!(page(&vendor, "").await.0, [jobs[1].clone(), jobs[0].clone()]);
}

#[tokio::test]
async fn the_list_reaches_back_only_so_far() {
    let (vendor, jobs) = with_jobs(1, 100, &["list-reach=1h"]).await;
    vendor.control("foreign", json!({ "age": "2h" })).await;
    assert_eq!(page(&vendor, "").await.0, jobs);
    vendor.http.delete(vendor.running.control_url("faults")).send().await.unwrap();
    assert_eq!(page(&vendor, "").await.0.len(), 2);
}

#[tokio::test]
async fn the_list_loops() {
    let (vendor, jobs) = with_jobs(3, 2, &["list-loops"]).await;
    let (_, token) = page(&vendor, "").await;
    for _ in 0..3 {
        let (second, again) = page(&vendor, &format!("?pageToken={}", text(&token))).await;
        assert_eq!((second, again), (vec![jobs[0].clone()], token.clone()));
    }
    let (vendor, jobs) = with_jobs(1, 2, &["list-loops"]).await;
    let (_, token) = page(&vendor, "").await;
    assert_eq!(page(&vendor, &format!("?pageToken={}", text(&token))).await, (jobs, token));
}

#[tokio::test]
async fn entries_are_shuffled_within_their_page() {
    let (vendor, mut jobs) = with_jobs(24, 12, &["list-shuffled"]).await;
    let (one, token) = page(&vendor, "").await;
    let (two, _) = page(&vendor, &format!("?pageToken={}", text(&token))).await;
    jobs.reverse();
    for (mut shown, right) in [(one, &jobs[..12]), (two, &jobs[12..])] {
        assert_ne!(shown, right);
        let mut right = right.to_vec();
        shown.sort();
        right.sort();
        assert_eq!(shown, right);
    }
}

#[tokio::test]
async fn empty_lists_have_five_forms() {
    let ok = |result: Value| json!({ "result": result, "status": "OK" });
    for (form, body) in [
        ("array", ok(json!({ "jobs": [] }))),
        ("null", ok(json!({ "jobs": null }))),
        ("missing", ok(json!({}))),
        ("no-result", json!({ "status": "OK" })),
        ("null-result", ok(Value::Null)),
    ] {
        let (vendor, jobs) = with_jobs(0, 100, &[&format!("empty-as={form}")]).await;
        assert_eq!((raw(&vendor, "").await, jobs.len()), (body.clone(), 0), "{form}");
        vendor.image_job().await;
        assert_eq!(page(&vendor, "").await.0.len(), 1, "only what is empty is shown so");
        vendor.control("faults", json!([format!("list-empty={form}")])).await;
        assert_eq!(raw(&vendor, "").await, body, "{form}");
    }
}

#[tokio::test]
async fn tokens_in_odd_places_and_forms() {
    let (vendor, jobs) = with_jobs(3, 2, &["token-beside,times=1", "token-number,skip=1"]).await;
    let beside = raw(&vendor, "").await;
    assert!(beside["result"].get("nextPageToken").is_none(), "{beside}");
    let rest = page(&vendor, &format!("?pageToken={}", text(&beside["nextPageToken"]))).await.0;
    assert_eq!(rest, jobs[..1]);
    let (_, number) = page(&vendor, "").await;
    assert_eq!(page(&vendor, &format!("?pageToken={}", number.as_u64().unwrap())).await.0, rest);
    let (vendor, _) = with_jobs(3, 2, &["token-object"]).await;
    let (_, object) = page(&vendor, "").await;
    assert_eq!(page(&vendor, &format!("?pageToken={}", text(&object["token"]))).await.0.len(), 1);
}

#[tokio::test]
async fn an_end_in_the_future_is_refused() {
    let (vendor, _) = with_jobs(1, 100, &["no-future-end"]).await;
    let path = |hours: i64| {
        let end = chrono::Utc::now() + chrono::Duration::hours(hours);
        format!("/jobs?end={}", end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    };
    assert_eq!(refused(vendor.try_get(&path(1)).await.unwrap()).await.0, 400);
    vendor.get(&path(-1)).await;
    assert_eq!(page(&vendor, "").await.0.len(), 1);
}
