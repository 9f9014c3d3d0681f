//! A vendor that misbehaves in every way its documentation leaves open: each ends as design 3.1
//! says, and nothing is lost or bought twice.

use crate::support::{World, eventually};
use serde_json::Value;

const NANO: [&str; 5] = ["image", "--model", "nanobanana", "--prompt", "a lighthouse"];

fn submit_image(world: &World) -> String {
    world.order(&NANO)
}

fn submit_training(world: &World) -> String {
    world.order_training("Bo")["training_id"].as_str().unwrap().to_owned()
}

fn started(faults: &[&str]) -> World {
    World::started(faults, "")
}

/// One image job against a vendor with this fault must end well, bought once.
fn image_succeeds_despite(fault: &str) {
    let world = started(&[fault]);
    submit_image(&world);
    eventually(&format!("the job ends despite {fault}"), || {
        world.sql("select state from jobs where finished_at is not null")
    });
    assert_eq!(world.sql("select state from jobs").as_deref(), Some("succeeded"), "{fault}");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1], "{fault}");
    assert_eq!(world.sql("select count(*) from outputs").as_deref(), Some("1"), "{fault}");
}

#[test]
fn a_known_job_that_is_not_found_for_a_while_is_not_failed() {
    image_succeeds_despite("job-404=2");
}

#[test]
fn an_unknown_job_status_means_still_running_and_is_noted() {
    let world = started(&["odd-status=paused", "job-time=3s"]);
    submit_image(&world);
    eventually("the note", || world.sql("select note from jobs where note like '%paused%'"));
    world.until("select state from jobs", "succeeded");
    assert_eq!(world.sql("select note from jobs"), None, "the note goes with its cause");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
}

#[test]
fn an_end_in_another_word_and_mixed_case_are_understood() {
    image_succeeds_despite("odd-end=completed");
    image_succeeds_despite("mixed-case");
}

/// A word that ends it without media is one only once it was said for a while; a word that nobody
/// knows is settled by its media.
#[test]
fn an_end_that_no_documentation_has_is_one() {
    image_succeeds_despite("odd-end=baked");
    let world = started(&["bare-end=canceled"]);
    submit_image(&world);
    world.until("select state from jobs", "failed");
    let error = world.sql("select error from jobs").unwrap();
    assert!(error.contains("canceled"), "{error}");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
}

#[test]
fn success_without_images_is_read_again() {
    image_succeeds_despite("empty-success=3");
}

#[test]
fn success_that_never_brings_an_image_fails_as_no_output_and_a_retry_fetches_it() {
    let world = started(&["empty-success"]);
    let id = submit_image(&world);
    world.until("select state from jobs", "failed");
    assert_eq!(world.sql("select error_class from jobs").as_deref(), Some("no_output"));
    world.json(&["retry", &id], 0);
    world.until("select count(*) from jobs where state = 'failed'", "2");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1], "the retry of a paid job buys nothing");
    world.json(&["wait", &id], 3);
}

#[test]
fn a_failed_job_keeps_the_vendors_reason() {
    let world =
        started(&["job-failed=The prompt was too dull,times=1", "job-failed-silent,skip=1"]);
    submit_image(&world);
    world.until("select count(*) from jobs where state = 'failed'", "1");
    let error = world.sql("select error from jobs").unwrap();
    assert!(error.contains("The prompt was too dull"), "{error}");
    submit_image(&world);
    world.until("select count(*) from jobs where state = 'failed'", "2");
}

#[test]
fn pages_that_are_not_json_and_odd_envelopes_lose_nothing() {
    for fault in [
        "html=502@getJobStatus,times=2",
        "bad-json@getJobStatus,times=2",
        "nok@getJobStatus,times=2",
        "status=500@listJobs,times=2",
        "blocked@getJobStatus,times=2",
        "rate-limit=1@triggerImageGenerationJob,times=1",
        "status=409@triggerImageGenerationJob,times=1",
        "expired-url,times=1",
        "truncated,times=1",
    ] {
        image_succeeds_despite(fault);
    }
}

#[test]
fn a_lost_reply_to_a_paid_call_is_found_in_the_list() {
    for fault in ["lost-reply", "html-after=502", "nok-after", "status-after=500", "bad-json"] {
        image_succeeds_despite(&format!("{fault}@triggerImageGenerationJob,times=1"));
    }
}

#[test]
fn a_lost_request_is_sent_again_once_it_is_surely_absent() {
    for fault in ["lost-request", "html=502", "nok"] {
        let world = started(&[&format!("{fault}@triggerImageGenerationJob,times=1")]);
        submit_image(&world);
        // The witness: on a fresh account nothing else shows that the list is to be believed.
        submit_image(&world);
        let open = "select count(*) from jobs where finished_at is null";
        world.until(open, "0");
        let ended = world.sql("select group_concat(state) from jobs");
        assert_eq!(ended.as_deref(), Some("succeeded,succeeded"), "{fault}");
        assert_eq!(world.vendor.counts(), [0, 0, 0, 2], "{fault}");
    }
}

#[test]
fn lost_replies_on_the_way_to_a_trained_model_change_nothing() {
    let world = started(&[
        "lost-reply@createOrUpdateModel,times=1",
        "lost-reply@uploadImage,times=3,skip=2",
        "lost-request@uploadImage,times=1,skip=9",
        "lost-reply@triggerModelTraining,times=1",
    ]);
    let training = submit_training(&world);
    world.json(&["wait", &training], 0);
    assert_eq!(world.vendor.counts(), [1, 14, 1, 0]);
}

#[test]
fn extra_training_states_are_in_progress() {
    let world = started(&["training-states=preparing+training+finalizing"]);
    let training = submit_training(&world);
    world.json(&["wait", &training], 0);
    let notes = "select count(*) > 0 from timeline where note like '%preparing%'";
    assert_eq!(world.sql(notes).as_deref(), Some("1"));
    assert_eq!(world.vendor.counts(), [1, 14, 1, 0]);
}

#[test]
fn a_status_that_lags_behind_the_trigger_is_waited_for() {
    let world = started(&["training-lag=2s", "training-time=3s"]);
    let training = submit_training(&world);
    world.json(&["wait", &training], 0);
    assert_eq!(world.vendor.ledger()["train_calls"], 1);
}

#[test]
fn a_model_that_turns_deleted_fails_its_training_and_what_waits_for_it() {
    let world = started(&["model-deleted"]);
    let model = world.order_training("Bo")["id"].as_str().unwrap().to_owned();
    let image = world.json(&["image", "--model", &model, "--prompt", "x"], 0);
    world.json(&["wait", image["id"].as_str().unwrap()], 3);
    let error = world.sql("select error from trainings").unwrap();
    assert!(error.contains("deleted at the vendor"), "{error}");
    assert_eq!(world.sql("select error_class from jobs").as_deref(), Some("dependency"));
    assert_eq!(world.vendor.counts(), [1, 14, 1, 0]);
}

#[test]
fn a_training_that_fails_fails_and_one_that_falls_back_asks_a_person() {
    let world = started(&["training-failed"]);
    let training = submit_training(&world);
    world.json(&["wait", &training], 3);

    let world = started(&["training-reset", "training-time=2s"]);
    let training = submit_training(&world);
    world.json(&["wait", &training], 4);
    assert_eq!(world.sql("select error_class from trainings").as_deref(), Some("fell_back"));
    assert_eq!(world.vendor.ledger()["train_calls"], 1, "it is not triggered again by itself");
}

#[test]
fn a_slow_training_is_flagged_and_still_watched() {
    let mut world = World::new(&["--fault", "training-time=4s"]);
    world.configure("[training]\nflag_after = \"1s\"\n");
    world.serve();
    let training = submit_training(&world);
    eventually("the flag", || world.sql("select flag from trainings where flag is not null"));
    world.json(&["wait", &training], 0);
}

#[test]
fn one_refused_photo_fails_its_training_and_names_the_photo() {
    let world = started(&["status=400@uploadImage,skip=5,times=1"]);
    let training = submit_training(&world);
    world.json(&["wait", &training], 3);
    let error = world.sql("select error from trainings").unwrap();
    assert!(error.contains("portrait-"), "{error}");
    // The retry uploads what is missing and trains.
    let again = world.json(&["retry", &training], 0);
    assert!(again.is_object() || again.is_array(), "{again}");
    world.until("select count(*) from trainings where state = 'succeeded'", "1");
    assert_eq!(world.vendor.counts(), [1, 14, 1, 0]);
}

#[test]
fn a_wrong_key_pauses_everything_and_fails_nothing() {
    let mut world = World::new(&["--api-key", "the-right-key"]);
    world.serve();
    submit_image(&world);
    let waited = world.run(&[&NANO[..], &["--wait"]].concat());
    assert_eq!(waited.status.code(), Some(4), "{}", String::from_utf8_lossy(&waited.stderr));
    let said = String::from_utf8_lossy(&waited.stderr).into_owned();
    assert!(said.contains("key"), "{said}");
    for name in ["pause.spending", "pause.watching"] {
        let paused = format!("select count(*) from settings where name = '{name}'");
        assert_eq!(world.sql(&paused).as_deref(), Some("1"));
    }
    assert_eq!(
        world.sql("select count(*) from jobs where state <> 'queued'").as_deref(),
        Some("0")
    );
    let why = world.sql("select why from job_status limit 1").unwrap();
    assert!(why.contains("refuses the API key"), "{why}");
    assert!(!said.contains("test-key") && !why.contains("test-key"));

    assert_eq!(world.stop(), Some(0));
    world.key = "the-right-key".to_owned();
    world.serve();
    world.until("select count(*) from jobs where state = 'succeeded'", "2");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 2]);
}

#[test]
fn too_few_credits_pause_spending_and_fail_nothing() {
    let world = started(&["no-credits,times=1"]);
    let id = submit_image(&world);
    world.until("select count(*) from settings where name = 'pause.spending'", "1");
    assert_eq!(world.sql("select state from jobs").as_deref(), Some("queued"));
    world.json(&["resume", "spending"], 0);
    world.json(&["wait", &id], 0);
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
}

#[test]
fn work_is_accepted_while_the_vendor_is_out_of_reach() {
    let mut world = World::new(&[]);
    world.vendor.post("/_sim/down", &Value::Null);
    world.serve();
    let id = submit_image(&world);
    eventually("the outage is noticed", || {
        world.sql("select value from settings where name = 'vendor.health' and value like '%unreachable%'")
    });
    assert_eq!(world.sql("select state from jobs").as_deref(), Some("queued"));
    world.vendor.post("/_sim/up", &Value::Null);
    world.json(&["wait", &id], 0);
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
}

#[test]
fn a_video_file_that_has_to_be_prepared_twice_comes_home() {
    let world = started(&["download-error,times=1"]);
    let args = ["video", "--model", "grok-imagine-1.5", "--prompt", "waves", "--wait"];
    let video = world.json(&args, 0);
    assert_eq!(video["outputs"][0]["media_type"], "video/mp4");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
}

#[test]
fn cancel_ends_what_has_not_been_sent_and_only_that() {
    let mut world = World::new(&[]);
    let id = submit_image(&world);
    world.json(&["cancel", &id], 0);
    assert_eq!(world.sql("select state from jobs").as_deref(), Some("cancelled"));
    world.serve();
    world.vendor.post("/_sim/hold", &Value::Null);
    let sent = submit_image(&world);
    world.until("select count(*) from jobs where state = 'running'", "1");
    world.json(&["cancel", &sent], 0);
    world.vendor.post("/_sim/release", &Value::Null);
    world.until("select count(*) from jobs where state = 'cancelled'", "2");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
    assert_eq!(
        world.sql("select count(*) from outputs where state = 'succeeded'").as_deref(),
        Some("1")
    );
}
