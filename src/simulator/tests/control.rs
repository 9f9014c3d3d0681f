//! The control plane, embedding, and size.

use super::*;

#[tokio::test]
async fn held_work_stays_in_the_middle() {
    let vendor = Vendor::new(&[]).await;
    let model = vendor.trainable().await;
    assert_eq!(vendor.control("hold", json!({})).await["held"], true);
    vendor.get(&format!("/models/{model}/train")).await;
    let job = vendor.image_job().await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert_eq!(vendor.model_word(&model).await, "training");
    assert_eq!(vendor.job_word(&job).await, "created");
    vendor.control("release", json!({})).await;
    vendor.model_until(&model, "ready").await;
    vendor.job_until(&job, "success").await;
}

#[tokio::test]
async fn states_can_be_forced() {
    let vendor = Vendor::with(args(1.0, &[])).await;
    let (model, job) = (vendor.model().await, vendor.image_job().await);
    vendor.control(&format!("model/{model}/status"), json!({ "status": "odd" })).await;
    assert_eq!(vendor.model_word(&model).await, "odd");
    vendor.control(&format!("model/{model}/status"), json!({})).await;
    assert_eq!(vendor.model_word(&model).await, "new");
    vendor.control(&format!("job/{job}"), json!({ "status": "odd" })).await;
    assert_eq!(vendor.job_word(&job).await, "odd");
    vendor.control(&format!("job/{job}"), json!({ "status": "failed", "error": "no" })).await;
    assert_eq!(vendor.job(&job).await["error"], "no");
    let other = vendor.image_job().await;
    vendor.control(&format!("job/{other}"), json!({ "status": "success" })).await;
    assert_eq!(vendor.job(&other).await["images"].as_array().unwrap().len(), 1);
    assert_eq!(vendor.control("job/x", json!({})).await["status"], "NOK");
}

#[tokio::test]
async fn down_and_up_again() {
    let vendor = Vendor::new(&[]).await;
    vendor.control("down", json!({})).await;
    assert!(vendor.try_get("/ping").await.is_err());
    vendor.control("up", json!({})).await;
    vendor.get("/presets").await;
}

#[tokio::test]
async fn faults_come_and_go() {
    let vendor = Vendor::new(&[]).await;
    assert_eq!(vendor.control("faults", json!(["nok@ping"])).await[0]["fault"], "nok@ping");
    let typo = vendor.control("faults", json!(["nok@presets", "nonsense"])).await;
    assert!(text(&typo["message"]).contains("unknown"));
    assert_eq!(vendor.report("faults").await.as_array().unwrap().len(), 1);
    refused(vendor.try_get("/ping").await.unwrap()).await;
    vendor.control("faults", json!(["no-date@ping", "status=500@listPresets"])).await;
    let remove =
        |texts: Value| vendor.http.delete(vendor.running.control_url("faults")).json(&texts).send();
    let wrong = remove(json!(["nok@ping", "nok@pin"])).await.unwrap();
    assert!(refused(wrong).await.1.contains("`nok@pin`"));
    let left: Value = remove(json!(["nok@ping"])).await.unwrap().json().await.unwrap();
    assert_eq!(left.as_array().unwrap().len(), 2);
    let ping = vendor.try_get("/ping").await.unwrap();
    assert_eq!((ping.status().as_u16(), ping.headers().get("date")), (200, None));
    vendor.http.delete(vendor.running.control_url("faults")).send().await.unwrap();
    assert_eq!(vendor.report("faults").await, json!([]));
    assert!(vendor.try_get("/ping").await.unwrap().headers().contains_key("date"));
}

#[tokio::test]
async fn foreign_jobs_on_demand() {
    let vendor = Vendor::new(&[]).await;
    let made =
        vendor.control("foreign", json!({ "key": "key", "count": 2, "kind": "video" })).await;
    let id = text(&made["jobs"][1]);
    let job = vendor.job_until(&id, "success").await;
    assert_eq!(job["videos"].as_array().unwrap().len(), 1);
    assert_eq!(vendor.count("foreign_jobs").await, 2);
}

#[tokio::test]
async fn calls_are_counted_and_timed() {
    let vendor = Vendor::new(&["delay=50ms@ping"]).await;
    let (first, second) = tokio::join!(vendor.try_get("/ping"), vendor.try_get("/ping"));
    first.unwrap();
    second.unwrap();
    vendor.try_get("/jobs/x").await.unwrap();
    let report = vendor.report("requests").await;
    assert_eq!(report["ops"]["ping"], json!({ "calls": 2, "in_flight": 0, "peak": 2 }));
    assert_eq!((&report["total"], &report["peak"]), (&json!(3), &json!(2)));
    let last = vendor.report("requests?op=getjobstatus&since=2").await["last"].clone();
    assert_eq!(last.as_array().unwrap().len(), 1);
    assert_eq!((&last[0]["status"], &last[0]["path"]), (&json!(404), &json!("/api/jobs/x")));
}

#[tokio::test]
async fn reset_forgets_everything() {
    let vendor = Vendor::new(&[]).await;
    let model = vendor.model().await;
    vendor.control("reset", json!({})).await;
    assert_eq!(vendor.try_get(&format!("/models/{model}")).await.unwrap().status(), 404);
    assert_eq!(vendor.count("models").await, 0);
}

#[tokio::test]
async fn stopping_frees_the_port() {
    let vendor = Vendor::new(&["delay=60s@ping"]).await;
    let addr = vendor.running.addr;
    let waiting = vendor.call(Method::GET, "/ping").send();
    let vendor_http = vendor.http.clone();
    let waiting = tokio::spawn(waiting);
    let url = vendor.running.control_url("requests");
    loop {
        let report: Value = vendor_http.get(&url).send().await.unwrap().json().await.unwrap();
        if report["in_flight"] == 1 {
            break;
        }
    }
    vendor.running.stop().await;
    assert!(waiting.await.unwrap().is_err());
    let again = start(Args { listen: addr, ..Args::default() }).await.unwrap();
    again.stop().await;
}

#[tokio::test]
async fn a_large_vendor_stays_quick() {
    let vendor = Vendor::with(args(1.0, &[])).await;
    vendor.control("foreign", json!({ "key": "key", "count": 100_000 })).await;
    let begun = std::time::Instant::now();
    let (mut seen, mut token) = (0, String::new());
    for _ in 0..50 {
        let page = vendor.get(&format!("/jobs?pageToken={token}")).await;
        seen += page["jobs"].as_array().unwrap().len();
        token = text(&page["nextPageToken"]);
    }
    assert_eq!(seen, 5_000);
    // Generous, for slow machines: what it must not do is read all jobs for each page.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn jobs_take_as_long_as_they_are_told_to() {
    let given = Some("10ms..20ms".parse().unwrap());
    let vendor = Vendor::with(Args { job_time: given, ..args(1.0, &[]) }).await;
    let job = vendor.image_job().await;
    vendor.job_until(&job, "success").await;
    for wrong in ["soon", "2s..1s", "1s..", ".."] {
        assert!(wrong.parse::<crate::simulator::Span>().is_err(), "{wrong}");
    }
    // A seeded job has a time of its own.
    let asked = json!({ "count": 2, "time": "1h", "size": 8 });
    let seeded = vendor.control("foreign", asked).await["jobs"].clone();
    tokio::time::sleep(Duration::from_millis(30)).await;
    for id in seeded.as_array().unwrap() {
        assert_ne!(vendor.job_word(&text(id)).await, "success");
    }
    let wrong = vendor.control("foreign", json!({ "time": "soon" })).await;
    assert!(text(&wrong["message"]).contains("duration"), "{wrong}");
}

#[tokio::test]
async fn an_end_is_dated_when_it_came_and_when_it_was_told() {
    let vendor = Vendor::with(args(1.0, &[])).await;
    let (one, two) = (vendor.image_job().await, vendor.image_job().await);
    assert_eq!(vendor.report("finished").await["count"], 0);
    vendor.control("finish", json!({})).await;
    vendor.job(&two).await;
    let report = vendor.report("finished").await;
    assert_eq!(report["count"], 2);
    let (first, second) = (&report["jobs"][0], &report["jobs"][1]);
    assert_eq!((&first["id"], &second["id"]), (&json!(one), &json!(two)));
    assert!(first["told"].is_null() && first["at"].is_i64(), "{report}");
    assert!(second["told"].as_i64() >= second["at"].as_i64(), "{report}");
    // The list tells as well.
    vendor.get("/jobs").await;
    let rest = vendor.report("finished?since=0").await;
    assert!(rest["jobs"][0]["told"].is_i64(), "{rest}");
    assert_eq!(vendor.report("finished?since=1").await["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_end_that_nobody_saw_is_not_dated_late() {
    let vendor = Vendor::with(args(1.0, &["job-time=1ms"])).await;
    let job = vendor.image_job().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    vendor.job(&job).await;
    let end = &vendor.report("finished").await["jobs"][0];
    let late = end["told"].as_i64().unwrap() - end["at"].as_i64().unwrap();
    assert!(late >= 200, "it ended long before it was asked for, {late} ms");
}
