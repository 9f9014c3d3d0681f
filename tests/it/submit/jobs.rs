//! Single jobs.

use super::place::{Place, done};
use std::fs;
use std::process::Stdio;

#[test]
fn jobs_have_keys_too() {
    let place = Place::new();
    let image = |prompt: &str| {
        place.run(&["image", "--model", "nanobanana", "--prompt", prompt, "--key", "k"])
    };
    let id = image("a red bicycle").id();
    assert_eq!(image("a red bicycle").id(), id);
    image("a blue bicycle").refused(3, &["take another key"]);
    let upscale = || place.run(&["upscale", "--image", "image_123", "--key", "u"]);
    assert_eq!(upscale().id(), upscale().id());
    assert_eq!(place.count("jobs"), 2);
}

#[test]
fn requests_that_the_vendor_would_refuse_are_refused_here() {
    let place = Place::new();
    let image = ["image", "--model", "nanobanana", "--prompt"];
    let video = ["video", "--model", "veo-3.1", "--prompt"];
    let long = "x".repeat(100_000);
    let cases: [(Vec<&str>, &str); 11] = [
        ([&image[..], &[""]].concat(), "--prompt: `nanobanana` needs a prompt"),
        ([&image[..3]].concat(), "--prompt: `nanobanana` needs a prompt"),
        ([&image[..], &[&long]].concat(), "--prompt: the text has 100000 bytes"),
        ([&video[..], &[" "]].concat(), "--prompt: a video needs a prompt"),
        (
            [&video[..], &["x", "--set", "options.vero.duration=8"]].concat(),
            "`vero` is not an option group: `veo-3.1` takes the group `veo`",
        ),
        (
            [&video[..], &["x", "--set", "options.veo.duration=5"]].concat(),
            "--set options.veo.duration: `5` is not a duration",
        ),
        ([&image[..], &["x", "--width", "8"]].concat(), "--width: width is for trained models"),
        ([&image[..], &["x", "--set", "seed"]].concat(), "--set: `seed` has no `=`"),
        (
            [&image[..], &["x", "--reference", "/no/such.jpg"]].concat(),
            "--reference: `/no/such.jpg` is no output, job or web address",
        ),
        ([&image[..], &["x", "--num-images", "0"]].concat(), "--num-images: num_images is 0"),
        (vec!["upscale", "--image", "https://a.example/x.png"], "--image: the vendor upscales"),
    ];
    for (args, sentence) in cases {
        place.run(&args).refused(2, &[sentence]);
    }
    place.nothing_stored();
    assert!(!place.data().exists());
}

#[test]
fn an_unknown_model_is_answered_with_the_nearest_one() {
    let place = Place::new();
    let image = |model: &str| place.run(&["image", "--model", model, "--prompt", "x"]);
    image("nano-banana").refused(2, &["did you mean `nanobanana`?"]);
    image("veo-3.1").refused(2, &["`veo-3.1` makes videos, not images"]);
    image("somebody").refused(2, &["`somebody` is no model of yours", "[catalogue] image_models"]);
    let vendors = "018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f";
    let import = format!("`darkroom model import {vendors}`");
    image(vendors).refused(2, &[&import]);
    place
        .run(&["video", "--model", "veo3.1", "--prompt", "x"])
        .refused(2, &["did you mean `veo-3.1`?"]);
    place.nothing_stored();
}

#[test]
fn configured_and_imported_models_are_known() {
    let place = Place::new();
    let mut command = place.command();
    command.env("DARKROOM__CATALOGUE__IMAGE_MODELS", "flux-9");
    done(command.args(["image", "--model", "flux-9", "--prompt", "x"]).output().unwrap()).id();

    let vendors = "018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f";
    let model = place.run(&["model", "import", vendors, "--name", "Carl"]).id();
    for name in [vendors, "Carl", &model, &model[..20]] {
        place.run(&["image", "--model", name, "--prompt", "x"]).id();
    }
    assert_eq!(place.query("SELECT count(*) FROM jobs WHERE model_id IS NOT NULL"), "4");
    let again = place.run(&["model", "import", vendors]);
    assert_eq!(again.says(&["already_imported"]).id(), model);
    assert_eq!(place.count("models"), 1);
}

#[test]
fn a_model_that_is_not_trained_is_refused_and_one_in_training_is_waited_for() {
    let place = Place::with_photos(14);
    let model = place.train(&[]).id();
    let image = place.run(&["image", "--model", "Anna", "--prompt", "@@anna in a kitchen"]).id();
    assert_eq!(place.query("SELECT state FROM jobs"), "waiting");
    assert_eq!(place.query("SELECT prompt FROM jobs"), "@anna in a kitchen");
    // By the job that has not run yet.
    place.run(&["upscale", "--image", &image]).id();
    place.run(&["upscale", "--image", &format!("{image}[1]")]).refused(2, &["counted from 0"]);
    let prefix = &image[..4];
    place.run(&["upscale", "--image", prefix]).refused(2, &["fits several outputs and jobs"]);
    place
        .run(&["train", "--model", &model, "--images", "photos"])
        .refused(3, &["is in training already"]);
    place
        .run(&["upload", "photos/portrait-01.jpg", "--model", "Anna", "--type", "modelInput"])
        .refused(3, &["is in training"]);
    assert_eq!(place.count("jobs"), 2);
}

#[test]
fn a_prompt_comes_from_stdin_or_a_file() {
    use std::io::Write;
    let place = Place::new();
    let mut command = place.command();
    let mut child = command
        .args(["image", "--model", "nanobanana", "--prompt", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all("deux\nlignes é\n".as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(place.query("SELECT prompt FROM jobs"), "deux\nlignes é");
    let file = place.dir.path().join("p.txt");
    fs::write(&file, "from a file\n").unwrap();
    place.run(&["video", "--model", "veo-3.1", "--prompt", "@p.txt"]).id();
    assert_eq!(place.query("SELECT prompt FROM jobs WHERE type = 'video'"), "from a file");
    place
        .run(&["video", "--model", "veo-3.1", "--prompt", "@none.txt"])
        .refused(2, &["is written with @@"]);
}
