//! Folders of photos, and keys.

use super::place::{Place, portraits};
use std::fs;

#[test]
fn a_good_folder_becomes_one_model_its_photos_and_one_training() {
    let place = Place::with_photos(14);
    let done = place.train(&["--json"]);
    let json = done.json();
    assert_eq!(json["kind"], "model");
    assert_eq!(json["id"], place.query("SELECT id FROM models"));
    assert_eq!(json["training_id"], place.query("SELECT id FROM trainings"));
    done.says(&["darkroom serve"]);
    assert_eq!(
        (place.count("models"), place.count("uploads"), place.count("trainings")),
        (1, 14, 1)
    );
    let names =
        place.query("SELECT group_concat(file_name, ' ') FROM (SELECT * FROM uploads ORDER BY id)");
    assert!(names.starts_with("portrait-01.jpg portrait-02.png"), "{names}");
    assert!(names.ends_with("portrait-14.heic"), "{names}");
    // The folder may vanish: every photo is a blob with the stored hash.
    let sha = place.query("SELECT sha256 FROM uploads WHERE file_name = 'portrait-01.jpg'");
    let blob = place.data().join("blobs").join(&sha[..2]).join(&sha);
    assert_eq!(fs::read(blob).unwrap(), fs::read(&portraits()[0]).unwrap());
}

#[test]
fn eleven_photos_are_too_few() {
    let place = Place::with_photos(11);
    place.train(&[]).refused(2, &["11 usable photos", "add 1 more"]);
    place.nothing_stored();
    assert!(!place.data().exists());
}

#[test]
fn of_twenty_five_photos_the_first_twenty_are_used_and_the_rest_named() {
    let place = Place::with_photos(14);
    for n in 15..=25 {
        let png = darkroom::files::samples::draw(n, 600, 800);
        png.save(place.photos().join(format!("portrait-{n}.png"))).unwrap();
    }
    let done = place.train(&[]);
    done.id();
    done.says(&["warning: ", "\"portrait-21.png\"", "\"portrait-25.png\""]);
    assert!(!done.err.contains("\"portrait-20.png\","), "{}", done.err);
    assert_eq!(place.count("uploads"), 20);
    assert_eq!(place.query("SELECT max(file_name) FROM uploads"), "portrait-20.png");
}

#[test]
fn every_bad_file_is_named_at_once_and_skip_bad_leaves_them_out() {
    let place = Place::with_photos(14);
    let jpeg = fs::read(&portraits()[0]).unwrap();
    place
        .add("a-text.jpg", "this is a shopping list\n")
        .add("b-cut.jpg", &jpeg[..jpeg.len() / 2])
        .add("c-empty.jpg", "")
        .add("d-large.jpg", [jpeg.as_slice(), &vec![0; 21_000_000]].concat())
        .add("e-moving.png", b"GIF89a\x01\0\x01\0\0\0\0;")
        .add("f-copy.jpg", &jpeg);
    let done = place.train(&[]);
    done.refused(
        2,
        &[
            "\"a-text.jpg\" is text, not a picture",
            "\"b-cut.jpg\" is cut short",
            "\"c-empty.jpg\" is empty (0 bytes)",
            "\"d-large.jpg\" has 21",
            "\"e-moving.png\" is a GIF image, whatever its name says",
            "exact copy of \"f-copy.jpg\"",
        ],
    );
    assert_eq!(done.err.matches("error: ").count(), 6, "{}", done.err);
    place.nothing_stored();

    let done = place.train(&["--skip-bad"]);
    done.id();
    done.says(&["warning: Left out: \"a-text.jpg\""]);
    assert_eq!(place.count("uploads"), 14);
}

#[test]
fn strange_file_names_work() {
    let place = Place::with_photos(14);
    let odd = "été \"no. 1\"\n'ok' 写真.jpg";
    fs::rename(place.photos().join("portrait-01.jpg"), place.photos().join(odd)).unwrap();
    place.train(&[]).id();
    let stored = place.query("SELECT file_name FROM uploads ORDER BY id DESC LIMIT 1");
    assert_eq!(stored, r#"été \"no. 1\"\n'ok' 写真.jpg"#);
    assert_eq!(place.count("uploads"), 14);
}

#[test]
fn a_folder_that_is_not_there_or_none() {
    let place = Place::with_photos(1);
    let args = ["train", "--name", "A", "--age", "1", "--gender", "Male", "--images"];
    let done = place.run(&[&args[..], &["nowhere"]].concat());
    done.refused(2, &["there is no folder \"nowhere\""]);
    let done = place.run(&[&args[..], &["photos/portrait-01.jpg"]].concat());
    done.refused(2, &["is not a folder"]);
    place.nothing_stored();
}

#[test]
fn faults_of_the_person_and_of_the_folder_come_together() {
    let place = Place::with_photos(3);
    let args = ["train", "--name", " ", "--age", "0", "--gender", "female", "--images", "photos"];
    place.run(&args).refused(2, &["--name: ", "--age: ", "did you mean `Female`?", "add 9 more"]);
    place.nothing_stored();
}

#[test]
fn a_bad_tail_is_refused_before_anything_is_stored() {
    let place = Place::with_photos(14);
    place.train(&["--wait", "--timeout", "soon"]).refused(2, &["--timeout: `soon`"]);
    place.train(&["--key", " "]).refused(2, &["--key: "]);
    place.nothing_stored();
}

#[test]
fn the_same_key_brings_the_same_rows_once_and_another_request_is_refused() {
    let place = Place::with_photos(14);
    let first = place.train(&["--key", "anna", "--json"]).json();
    let rows = place.rows();
    let again = place.train(&["--key", "anna", "--json"]);
    again.says(&["already_submitted"]);
    assert_eq!(again.json()["id"], first["id"]);
    assert_eq!(again.json()["training_id"], first["training_id"]);
    assert_eq!(place.rows(), rows);

    // Another photo, another person, another command: not the same work.
    fs::remove_file(place.photos().join("portrait-13.jpg")).unwrap();
    let sentence = "the key `anna` was used before for something else";
    place.train(&["--key", "anna"]).refused(3, &[sentence]);
    place
        .run(&["image", "--model", "nanobanana", "--prompt", "x", "--key", "anna"])
        .refused(3, &[sentence]);
    assert_eq!(place.rows(), rows);
}

#[test]
fn an_unknown_configuration_key_is_refused() {
    let place = Place::with_photos(14);
    let config = place.dir.path().join("darkroom.toml");
    fs::write(&config, "[poll]\ntrainig = \"5m\"\n").unwrap();
    place
        .train(&["--config", config.to_str().unwrap()])
        .refused(2, &["darkroom.toml:2:", "training"]);
    place.nothing_stored();
}

#[test]
fn every_photo_is_copied_once_and_no_temp_file_is_left() {
    let place = Place::with_photos(12);
    place.train(&[]).id();
    let mut blobs = 0;
    for folder in fs::read_dir(place.data().join("blobs")).unwrap() {
        let folder = folder.unwrap();
        if folder.file_name() == ".tmp" {
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            continue;
        }
        blobs += fs::read_dir(folder.path()).unwrap().count();
    }
    assert_eq!(blobs, 12);
}
