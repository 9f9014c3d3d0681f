//! What operators ask: is it alive, can it work, and how much of everything there is.

use crate::support::{World, eventually, photos};
use std::collections::{BTreeMap, BTreeSet};

/// Samples by name and labels, as Prometheus would read them; panics where it would refuse.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helped: BTreeSet<&str> = BTreeSet::new();
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(!words.is_empty() && helped.insert(name), "help of {name}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(types.insert(name, kind).is_none(), "two types of {name}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end).filter(|base| types.contains_key(base)))
            .unwrap_or(name);
        assert!(helped.contains(family), "no help for {line}");
        let kind = types.get(family).unwrap_or_else(|| panic!("no type for {line}"));
        assert_eq!(*kind == "counter", name.ends_with("_total"), "{line}");
        assert!(name.starts_with("darkroom_"), "{line}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
        assert!(found.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    found
}

fn metrics(world: &World) -> BTreeMap<String, f64> {
    samples(world.get("/metrics").as_str().unwrap())
}

#[test]
fn metrics_tell_what_happened() {
    let world = World::started(&[], "");
    let before = metrics(&world);
    assert_eq!(before["darkroom_rows{kind=\"job\",state=\"succeeded\"}"], 0.0);
    assert_eq!(before["darkroom_oldest_in_doubt_seconds"], 0.0);

    let folder = photos();
    let person = ["--name", "Metric", "--age", "30", "--gender", "Male", "--wait"];
    let model =
        world.json(&[&["train", "--images", folder.to_str().unwrap()][..], &person].concat(), 0);
    let model = model["id"].as_str().unwrap();
    world.json(&["image", "--model", model, "--prompt", "at sea", "--wait"], 0);

    let after = metrics(&world);
    let at =
        |series: &str| *after.get(series).unwrap_or_else(|| panic!("no {series} in {after:#?}"));
    assert_eq!(at("darkroom_rows{kind=\"upload\",state=\"succeeded\"}"), 14.0);
    assert_eq!(at("darkroom_rows{kind=\"training\",state=\"succeeded\"}"), 1.0);
    assert_eq!(at("darkroom_rows{kind=\"job\",state=\"succeeded\"}"), 1.0);
    assert_eq!(at("darkroom_paid_calls{state=\"settled\"}"), 2.0);
    assert_eq!(at("darkroom_paid_calls{state=\"held\"}"), 0.0);
    assert_eq!(at("darkroom_attention_rows"), 0.0);
    assert_eq!(at("darkroom_queue_depth{kind=\"job\"}"), 0.0);
    assert_eq!(at("darkroom_paused{switch=\"spending\"}"), 0.0);
    assert_eq!(at("darkroom_quarantine"), 0.0);
    assert_eq!(at("darkroom_vendor_breaker_open"), 0.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(at(&format!("darkroom_build_info{{version=\"{version}\"}}")), 1.0);

    let calls = |endpoint: &str| {
        at(&format!("darkroom_vendor_calls_total{{endpoint=\"{endpoint}\",class=\"ok\"}}"))
    };
    assert_eq!(calls("POST /models"), 1.0);
    assert_eq!(calls("POST /images/upload"), 14.0);
    assert_eq!(calls("GET /models/{id}/train"), 1.0);
    assert_eq!(calls("POST /images/generation"), 1.0);
    let timed = "darkroom_vendor_call_duration_seconds_count{endpoint=\"POST /images/upload\"}";
    assert_eq!(at(timed), 14.0);
    // At least one look at the training and one at the picture, and each lag was noted.
    assert!(at("darkroom_poll_lag_seconds_count") >= 2.0);
    assert_eq!(
        at("darkroom_poll_lag_seconds_bucket{le=\"+Inf\"}"),
        at("darkroom_poll_lag_seconds_count")
    );
    let commits = at("darkroom_commit_duration_seconds_count");
    assert!(commits >= 20.0 && at("darkroom_commit_writes_sum") >= commits);
    let answered = "darkroom_http_requests_total{area=\"ops\",status=\"2xx\"}";
    assert!(at(answered) >= 1.0);

    // No label has an id: the vendor's, ours, or a model's name.
    let text = world.get("/metrics");
    assert!(!text.as_str().unwrap().contains(model) && !text.as_str().unwrap().contains("Metric"));
}

#[test]
fn metrics_tell_what_waits_and_what_is_unknown() {
    // The request is lost, so for the settle time nobody knows what became of it.
    let world = World::started(&["lost-request@triggerImageGenerationJob,times=1"], "");
    world.order(&["image", "--model", "nanobanana", "--prompt", "a lost letter"]);
    eventually("the call in doubt has an age", || {
        let now = metrics(&world);
        let unknown = now["darkroom_oldest_in_doubt_seconds"] > 0.0;
        let reserved = now["darkroom_paid_calls{state=\"reserved\"}"] == 1.0;
        let in_doubt = now["darkroom_rows{kind=\"job\",state=\"in_doubt\"}"] == 1.0;
        (unknown && reserved && in_doubt).then_some(())
    });
    let calls =
        "darkroom_vendor_calls_total{endpoint=\"POST /images/generation\",class=\"unknown\"}";
    assert_eq!(metrics(&world)[calls], 1.0);
    // The next job bears witness.
    world.order(&["image", "--model", "nanobanana", "--prompt", "a lost letter"]);
    world.until("select count(*) from jobs where state = 'succeeded'", "2");
    assert_eq!(metrics(&world)["darkroom_oldest_in_doubt_seconds"], 0.0);

    world.run(&["pause", "spending"]);
    world.order_training("Waiting");
    let now = metrics(&world);
    assert_eq!(now["darkroom_paused{switch=\"spending\"}"], 1.0);
    assert_eq!(now["darkroom_queue_depth{kind=\"model\"}"], 1.0);
    assert_eq!(now["darkroom_rows{kind=\"training\",state=\"waiting\"}"], 1.0);
}

#[test]
fn readiness_has_its_reasons() {
    let world = World::started(&[], "");
    let ready = world.get("/readyz");
    for (field, value) in [
        ("ready", true.into()),
        ("database", "ok".into()),
        ("lock", "ok".into()),
        ("engine", "ok".into()),
        ("stopping", false.into()),
    ] {
        let value: serde_json::Value = value;
        assert_eq!(ready[field], value, "{ready}");
    }
    assert_eq!(ready["vendor"]["state"], "ok");
    let alive = world.get("/healthz");
    assert_eq!(alive["version"], env!("CARGO_PKG_VERSION"));
    // A vendor out of reach is told, and keeps nobody from ordering.
    world.vendor.post("/_sim/down", &serde_json::Value::Null);
    world.order(&["image", "--model", "nanobanana", "--prompt", "a bottle"]);
    eventually("the vendor is told to be out of reach", || {
        let ready = world.get("/readyz");
        assert_eq!(ready["ready"], true, "{ready}");
        (ready["vendor"]["state"] == "unreachable").then_some(())
    });
    // A database that takes no writes is not ready for any, and that is said at once.
    std::thread::scope(|scope| {
        scope.spawn(|| world.hold_database(std::time::Duration::from_secs(8)));
        eventually("the database is told to take no writes", || {
            let ready = world.get("/readyz");
            let told = ready["database"].as_str().unwrap().contains("has not taken a write");
            (ready["ready"] == false && told).then_some(())
        });
    });
    // Whoever removes the lock lets a second daemon in: that is not ready.
    std::fs::remove_file(world.data().join("darkroom.lock")).unwrap();
    let ready = world.get("/readyz");
    assert_eq!(ready["ready"], false, "{ready}");
    assert!(ready["lock"].as_str().unwrap().contains("removed"), "{ready}");
}
