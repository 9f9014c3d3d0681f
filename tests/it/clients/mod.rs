//! Programs written for the vendor (`tests/clients/`), against the vendor and through the gateway:
//! they run unchanged, and each effect happens once, whatever is killed meanwhile.

mod gateway;
mod program;
mod trouble;

use crate::support::{Vendor, World, photos, sha256};
use program::{Language, Program};
use serde_json::Value;

/// What the vendor's ledger says after one whole run: models, images, trainings, jobs.
const ONE_RUN: [i64; 4] = [1, 14, 1, 4];

/// The vendor did everything once, with the right photos.
fn assert_vendor_did_all_once(vendor: &Vendor) {
    assert_eq!(vendor.counts(), ONE_RUN);
    let ledger = vendor.ledger();
    assert_eq!(ledger["train_calls"], 1, "the training was triggered once");
    assert_eq!(ledger["downloads"], 1, "the video's file was prepared once");
    let effects = ledger["effects"].as_array().unwrap();
    let uploads = effects.iter().filter(|effect| effect["kind"] == "image");
    let mut received: Vec<&str> =
        uploads.filter_map(|effect| effect["content_sha256"].as_str()).collect();
    received.sort_unstable();
    let folder = std::fs::read_dir(photos()).unwrap();
    let mut sent: Vec<String> = folder.map(|entry| sha256(&entry.unwrap().path())).collect();
    sent.sort_unstable();
    assert_eq!(received, sent, "each photo arrived once and unchanged");
}

/// So did the vendor according to the daemon, which has nothing left to do.
fn assert_all_once(world: &World) {
    assert_vendor_did_all_once(&world.vendor);
    let undone = "select count(*) from work where state <> 'succeeded'";
    assert_eq!(world.sql(undone).as_deref(), Some("0"));
    let open = "select count(*) from intents where settled_at is null";
    assert_eq!(world.sql(open).as_deref(), Some("0"));
}

/// Everything that the program names, as it knows it: `id STEP ID` lines against the report.
fn assert_report_is_complete(program: &Program, report: &Value) {
    assert_eq!(report["model"], program.id("model"));
    assert_eq!(report["uploads"].as_array().unwrap().len(), 14);
    for step in ["image", "upscale", "adapt", "video"] {
        assert_eq!(report[step]["job"], program.id(step), "{report}");
        assert!(report[step]["bytes"].as_u64().unwrap() > 1000, "{report}");
    }
    let wide = |step: &str| report[step]["width"].as_u64().unwrap();
    assert_eq!(wide("upscale"), 2 * wide("image"), "{report}");
}

/// Straight to the simulated vendor: what these programs prove counts only if they are its users.
fn talks_to_the_vendor(language: Language) {
    let folder = tempfile::tempdir().unwrap();
    let vendor = Vendor::start(folder.path(), &["--api-key", "key-of-a-user"]);
    let mut program = Program::start(language, vendor.api(), "key-of-a-user", &[]);
    let report = program.report();
    assert_report_is_complete(&program, &report);
    assert_vendor_did_all_once(&vendor);
}

#[test]
fn the_python_program_is_one_for_the_vendor() {
    talks_to_the_vendor(Language::Python);
}

#[test]
fn the_node_program_is_one_for_the_vendor() {
    talks_to_the_vendor(Language::Node);
}
