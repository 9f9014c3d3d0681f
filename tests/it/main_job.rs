//! The main job through the real binary: photos in, trained model, finished media on disk.

use crate::support::{World, photos, sha256};
use serde_json::Value;
use std::path::Path;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Every output is on disk with the hash of its row.
fn assert_files_match(job: &Value, count: usize) {
    let outputs = job["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), count, "{job}");
    for output in outputs {
        let path = Path::new(text(output, "path"));
        assert!(path.is_absolute());
        assert_eq!(sha256(path), text(output, "sha256"));
        assert_eq!(std::fs::metadata(path).unwrap().len(), output["bytes"].as_u64().unwrap());
        assert!(!text(output, "remote_id").is_empty() && !text(output, "id").is_empty());
    }
}

const PERSON: [&str; 6] = ["--name", "UGC Creator", "--age", "27", "--gender", "Female"];

fn train<'a>(photos: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["train", "--images", photos];
    args.extend(PERSON);
    args.extend(more);
    args
}

#[test]
fn photos_become_a_model_pictures_an_upscale_and_a_video() {
    let mut world = World::new(&[]);
    world.serve();
    let photos = photos();
    let photos = photos.to_str().unwrap();

    let model = world.json(&train(photos, &["--wait"]), 0);
    for field in ["id", "training_id", "kind", "state", "remote_id", "created_at", "updated_at"] {
        assert!(model[field].is_string(), "no {field} in {model}");
    }
    for field in ["error", "due_at"] {
        assert!(model.get(field).is_some(), "no {field} in {model}");
    }
    let id = text(&model, "id");

    let args = ["image", "--model", id, "--prompt", "at a café", "--num-images", "2", "--wait"];
    let image = world.json(&args, 0);
    assert_eq!(text(&image, "state"), "succeeded");
    assert_files_match(&image, 2);
    let picture = text(&image["outputs"][0], "id");
    assert_eq!(text(&image["outputs"][0], "media_type"), "image/jpeg");

    let upscale = world.json(&["upscale", "--image", picture, "--wait"], 0);
    assert_files_match(&upscale, 1);

    let video = world.json(
        &[
            "video",
            "--model",
            "veo-3.1",
            "--prompt",
            "she waves",
            "--first-frame",
            picture,
            "--set",
            "options.veo.duration=8",
            "--wait",
        ],
        0,
    );
    assert_files_match(&video, 1);
    assert_eq!(text(&video["outputs"][0], "media_type"), "video/mp4");

    assert_eq!(world.vendor.counts(), [1, 14, 1, 3]);
    let ledger = world.vendor.ledger();
    assert_eq!(ledger["downloads"], 1, "the video's file was prepared once");
    assert_eq!(world.stop(), Some(0), "SIGTERM ends the daemon in an orderly way");
}

#[test]
fn what_was_submitted_while_the_daemon_was_down_starts_when_it_is_up() {
    let mut world = World::new(&[]);
    let photos = photos();
    let submitted = world.json(&train(photos.to_str().unwrap(), &[]), 0);
    let id = text(&submitted, "id").to_owned();
    assert_eq!(world.vendor.counts(), [0, 0, 0, 0]);
    let image = world.json(&["image", "--model", &id, "--prompt", "a hat"], 0);
    assert_eq!(text(&image, "state"), "waiting");
    world.serve();
    let image = text(&image, "id");
    let done = world.json(&["wait", image], 0);
    let done = if done.is_array() { done[0].clone() } else { done };
    assert_eq!(text(&done, "state"), "succeeded");
    assert_eq!(world.vendor.counts(), [1, 14, 1, 1]);
}

#[test]
fn a_recipe_runs_to_its_end() {
    let mut world = World::new(&[]);
    world.serve();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/recipes/ugc-creator.toml");
    let recipe = recipe.to_str().unwrap();
    let photos = photos();
    let photos = photos.to_str().unwrap();
    let run = world.json(&["run", recipe, "--images", photos, "--key", "k1", "--wait"], 0);
    assert_eq!(text(&run, "state"), "succeeded");
    let counts = world.vendor.counts();
    assert_eq!(counts[..3], [1, 14, 1]);
    assert!(counts[3] >= 4, "{counts:?}");

    let again = world.json(&["run", recipe, "--images", photos, "--key", "k1", "--wait"], 0);
    assert_eq!(text(&again, "id"), text(&run, "id"));
    assert_eq!(world.vendor.counts(), counts, "the same key buys nothing more");
}

#[test]
fn the_file_reads_well_with_sqlite3_and_reading_hurts_nobody() {
    let mut world = World::new(&[]);
    world.serve();
    let photos = photos();
    let model = world.json(&train(photos.to_str().unwrap(), &[]), 0);
    let id = text(&model, "id").to_owned();
    let image = world.json(&["image", "--model", &id, "--prompt", "a boat"], 0);
    let db = world.data().join("darkroom.db");
    // A reader that holds a snapshot while the daemon writes.
    let read = |sql: &str| {
        let output = std::process::Command::new("sqlite3").arg(&db).arg(sql).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    crate::support::eventually("the job is done", || {
        let row = read("select state, why from job_status");
        let (state, why) = row.trim().split_once('|').unwrap();
        match state {
            "succeeded" => return Some(()),
            "waiting" => assert!(why.starts_with("waits for the training of UGC Creator"), "{why}"),
            "running" => assert!(why.starts_with("the vendor works on it; next look at"), "{why}"),
            "queued" | "submitting" | "collecting" => assert!(!why.is_empty()),
            other => panic!("{other}: {why}"),
        }
        None
    });
    assert!(read("select note from timeline where cause = 'accepted'").contains("job_"));
    assert!(!text(&image, "id").is_empty());
}
