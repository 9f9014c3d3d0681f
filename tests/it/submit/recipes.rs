//! Recipes and plans.

use super::place::Place;
use std::fs;

const RECIPE: &str = r#"
name = "Tour"
[model]
name = "Anna"
age = 27
gender = "Female"
images = "photos"
[[step]]
name = "hero"
type = "image"
prompt = "A portrait"
[[step]]
name = "large"
type = "upscale"
image = "hero.images[0]"
"#;

#[test]
fn a_recipe_becomes_one_run() {
    let place = Place::with_photos(14);
    let file = place.recipe(RECIPE);
    let file = file.to_str().unwrap();
    let id = place.run(&["run", file, "--key", "tour"]).id();
    let rows = place.rows();
    assert_eq!((place.count("runs"), place.count("jobs"), place.count("uploads")), (1, 2, 14));
    assert_eq!(
        place.query("SELECT group_concat(step) FROM (SELECT step FROM jobs ORDER BY id)"),
        "hero,large"
    );
    assert_eq!(place.query("SELECT count(*) FROM trainings WHERE run_id IS NOT NULL"), "1");
    assert_eq!(place.run(&["run", file, "--key", "tour"]).id(), id);
    assert_eq!(place.run(&["run", "--resume", "Tour"]).id(), id);
    assert_eq!(place.rows(), rows);
    place.run(&["run", "--resume", "other"]).refused(2, &["is no run known here"]);
    // Without a key it starts anew.
    assert_ne!(place.run(&["run", file]).id(), id);
}

#[test]
fn a_plan_stores_nothing() {
    let place = Place::with_photos(14);
    let file = place.recipe(RECIPE);
    let file = file.to_str().unwrap();
    let text = place.run(&["run", file, "--plan"]);
    assert_eq!(text.code, 0, "{}", text.err);
    assert!(text.out.contains("14 uploads") && text.out.contains("paid calls  3"), "{}", text.out);
    let json = place.run(&["run", file, "--plan", "--json"]).json();
    assert_eq!(json["calls"]["training"], 1);
    assert_eq!(json["known_credits"], 10);
    assert_eq!(json["unpriced_calls"], 2);
    assert!(json["expected_finish"].as_str().unwrap().ends_with('Z'));
    fs::remove_file(place.photos().join("portrait-01.jpg")).unwrap();
    place.run(&["run", file, "--plan", "--images", "nowhere"]).refused(2, &["nowhere"]);
    place.nothing_stored();
    assert!(!place.data().exists());
}

#[test]
fn a_faulty_recipe_is_refused_whole() {
    let place = Place::with_photos(14);
    let run = |text: &str| {
        let file = place.recipe(text);
        place.run(&["run", file.to_str().unwrap()])
    };
    run(&RECIPE.replace("hero.images", "hreo.images"))
        .refused(2, &["recipe.toml:15:", "there is no step `hreo`; did you mean `hero`?"]);
    let cycle = "[[step]]\nname = \"a\"\ntype = \"upscale\"\nimage = \"b.images[0]\"\n\
                 [[step]]\nname = \"b\"\ntype = \"upscale\"\nimage = \"a.images[0]\"\n";
    run(cycle).refused(2, &["these steps wait for each other: `a` needs `b` needs `a`"]);
    run(&RECIPE.replace("\"photos\"", "\"none\"")).refused(2, &["there is no folder"]);
    let output = "018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f";
    run(&RECIPE.replace("hero.images[0]", output))
        .refused(2, &["step `large`: there is no picture"]);
    let other = "[model]\nid = \"018f\"\n[[step]]\nname = \"a\"\ntype = \"image\"\n";
    run(other).refused(2, &["[model] id: `018f` is no model of yours"]);
    place.run(&["run", "none.toml"]).refused(2, &["the recipe `none.toml` cannot be read"]);
    place.nothing_stored();
    assert!(!place.data().exists());
}
