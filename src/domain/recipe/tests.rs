use super::*;
use crate::domain::request::Gender;
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::time::Duration;

const UGC_CREATOR: &str = include_str!("../../../config/recipes/ugc-creator.toml");

fn id(n: u128) -> Id {
    Id(uuid::Uuid::from_u128(n))
}

fn faults(text: &str) -> Vec<String> {
    let error = Recipe::parse(text, "r.toml").unwrap_err();
    let line = |d: Diagnostic| format!("{}:{}: {}", d.line, d.column, d.message);
    error.diagnostics.into_iter().map(line).collect()
}

fn names<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<&'a str> {
    steps.map(|step| step.name.as_str()).collect()
}

/// A step on a public model with this reference list.
fn public(name: &str, references: &str) -> String {
    format!(
        "[[step]]\nname = \"{name}\"\ntype = \"image\"\nmodel = \"nanobanana-2\"\n\
         prompt = \"x\"\nreferences = [{references}]\n"
    )
}

#[test]
fn the_worked_example_is_a_valid_recipe() {
    let recipe = Recipe::parse(UGC_CREATOR, "ugc-creator.toml").unwrap();
    let Some(RecipeModel::New { identity, images }) = &recipe.model else {
        panic!("{:?}", recipe.model)
    };
    assert_eq!((identity.age, identity.gender, images.as_str()), (27, Gender::Female, "./photos"));
    assert_eq!(names(recipe.order()), ["hero", "large", "adapted", "clip"]);
    assert_eq!(recipe.steps()[3].depends_on, ["adapted"]);
}

#[test]
fn the_worked_example_becomes_requests() {
    let recipe = Recipe::parse(UGC_CREATOR, "ugc-creator.toml").unwrap();
    let jobs: BTreeMap<String, Id> = (1..)
        .zip(["hero", "large", "adapted", "clip"])
        .map(|(n, s)| (s.to_owned(), id(n)))
        .collect();
    let requests = recipe.requests(Some(id(99)), &jobs).unwrap();
    let JobRequest::Image(hero) = &requests[0].request else { panic!() };
    assert_eq!(hero.model, ModelRef::Trained(id(99)));
    let JobRequest::Upscale(large) = &requests[1].request else { panic!() };
    assert_eq!(large.image, MediaRef::JobOutput { job: id(1), index: 0 });
    let JobRequest::Video(clip) = &requests[3].request else { panic!() };
    assert_eq!(clip.first_frame, Some(MediaRef::JobOutput { job: id(3), index: 0 }));
    assert_eq!(clip.extra["options"]["veo"]["duration"], 8);
    let depends: Vec<_> = requests.iter().map(|r| r.depends_on.clone()).collect();
    assert_eq!(depends, [vec![], vec![id(1)], vec![id(1)], vec![id(3)]]);

    let missing = recipe.requests(None, &jobs).unwrap_err();
    assert_eq!(missing, MissingId::Model { step: "hero".to_owned() });
    let missing = recipe.requests(Some(id(99)), &BTreeMap::new()).unwrap_err();
    assert_eq!(missing, MissingId::Job { step: "hero".to_owned() });
}

#[test]
fn the_worked_example_has_a_plan() {
    let plan = Recipe::parse(UGC_CREATOR, "ugc-creator.toml").unwrap().plan();
    assert_eq!((plan.image_calls, plan.upscale_calls, plan.video_calls), (2, 1, 1));
    assert_eq!((plan.paid_calls(), plan.known_credits, plan.unpriced_calls), (5, 10, 4));
    assert_eq!(plan.uploads, Some(12..=20));
    assert_eq!(plan.critical_path, ["training", "hero", "adapted", "clip"]);
    assert_eq!(plan.expected, Duration::from_secs(1350 + 60 + 60 + 360));
    assert_eq!(plan.steps[1].starts, Duration::from_secs(1350 + 60));
}

#[test]
fn an_existing_model_is_trained_only_when_photos_are_given() {
    let step = "[[step]]\nname = \"a\"\ntype = \"image\"\nprompt = \"x\"\nnum_images = 3\n";
    let plan = Recipe::parse(&format!("[model]\nid = \"018f5f29\"\n{step}"), "r").unwrap().plan();
    assert_eq!((plan.trains, plan.creates_model, plan.known_credits), (false, false, 30));
    assert_eq!(plan.critical_path, ["a"]);
    let text = "[model]\nid = \"018f5f29\"\nimages = \"photos\"\n";
    let plan = Recipe::parse(text, "r").unwrap().plan();
    assert!(plan.trains && !plan.creates_model);
    assert_eq!(plan.critical_path, ["training"]);
    assert_eq!(faults("[model]\nid = \"018f5f29\"\n").len(), 1);
}

#[test]
fn steps_may_refer_to_later_steps() {
    let text = public("c", "\"b.images[0]\"") + &public("b", "\"a.images[0]\"") + &public("a", "");
    let recipe = Recipe::parse(&text, "r").unwrap();
    assert_eq!(names(recipe.order()), ["a", "b", "c"]);
    assert_eq!(names(recipe.steps().iter()), ["c", "b", "a"]);
}

#[test]
fn a_fault_shows_the_line_and_a_caret() {
    let text = "[[step]]\nname = \"a\"\ntype = \"image\"\nmodel = \"nanobanana\"\npromt = \"x\"\n\
                prompt = \"y\"\n";
    let error = Recipe::parse(text, "dir/r.toml").unwrap_err();
    assert_eq!(
        error.to_string(),
        "dir/r.toml:5:1: step `a`: unknown key `promt`; did you mean `prompt`?\n\
         5 | promt = \"x\"\n  | ^^^^^"
    );
}

#[test]
fn broken_toml_is_placed_too() {
    assert!(faults("name = \n")[0].starts_with("1:"));
    assert!(faults("a = 1\na = 2\n")[0].starts_with("2:1: duplicate key"));
    assert!(faults(&"x".repeat(MAX_RECIPE_BYTES + 1))[0].contains("the limit is"));
    let deep = ["a.".repeat(100_000) + "a = 1", "a = ".to_owned() + &"[".repeat(500_000)];
    for text in deep.map(|deep| format!("{}extra.{deep}\n", public("a", ""))) {
        assert_eq!(faults(&text).len(), 1);
    }
    assert_eq!(faults(""), ["1:1: the recipe does nothing: add a [[step]]"]);
}

#[test]
fn references_are_checked_against_the_steps() {
    let video =
        "[[step]]\nname = \"clip\"\ntype = \"video\"\nmodel = \"veo-3.1\"\nprompt = \"x\"\n";
    let base = public("hero", "") + video;
    for (reference, message) in [
        ("heroo.images[0]", "there is no step `heroo`; did you mean `hero`?"),
        (
            "hero.videos[0]",
            "step `hero` is of type image and has no videos: write `hero.images[0]`",
        ),
        (
            "hero.images[1]",
            "step `hero` makes 1 image, counted from 0: the last one is `hero.images[0]`",
        ),
        (
            "clip.images[0]",
            "step `clip` is of type video and has no images: write `clip.videos[0]`",
        ),
        (
            "clip.videos[0]",
            "`clip.videos[0]` is a video and a picture is needed: refer to an image step",
        ),
        ("hero", "`hero` names a step but not one of its outputs: write `hero.images[0]`"),
        ("me.images[0]", "step `me` refers to its own output: refer to another step"),
        (
            "hero.images[99999999999]",
            "step `hero` makes 1 image, counted from 0: the last one is `hero.images[0]`",
        ),
    ] {
        let found = faults(&(base.clone() + &public("me", &format!("\"{reference}\""))));
        assert_eq!(found, [format!("17:15: step `me`: {message}")], "{reference}");
    }
    let good = "\"https://a.example/x.png\", \"018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f\"";
    assert!(Recipe::parse(&(base + &public("me", good)), "r").is_ok());
}

#[test]
fn cycles_name_their_steps() {
    let text = public("a", "\"b.images[0]\"")
        + &public("b", "\"c.images[0]\"")
        + &public("c", "\"a.images[0]\"")
        + &public("d", "\"c.images[0]\"");
    assert_eq!(
        faults(&text),
        ["1:1: these steps wait for each other: `a` needs `b` needs `c` needs `a`; \
          remove one reference"]
    );
}

#[test]
fn every_fault_of_a_step_is_reported_at_once_and_once() {
    let text = "\
[[step]]
name = \"1st\"
type = \"image\"
model = \"nanobananna\"
prompt = 3
num_images = -1
numImages = 1
num_videos = 1
steps = 30
extra = { options = {}, modelID = \"x\", at = 1979-05-27, big = inf }
[[step]]
name = \"clip\"
type = \"vidoe\"
[[step]]
name = \"clip\"
type = \"video\"
model = \"veo-3.1\"
options.veo.duration = 5
";
    let found = faults(text);
    let begins = [
        "2:8: step `1st`: a step's name starts with a letter",
        "4:9: step `1st`: model: `nanobananna` is no image model",
        "5:10: step `1st`: `prompt` must be a text in quotes, not of type integer",
        "6:14: step `1st`: `num_images` cannot be -1",
        "7:1: step `1st`: unknown key `numImages`; did you mean `num_images`?",
        "8:1: step `1st`: `num_videos` belongs to steps of type video and this one is of type image",
        "9:1: step `1st`: `steps` is a field of the vendor's: write extra = { steps = … }",
        "10:45: step `1st`: `extra`: write a date or time as a text",
        "13:8: step `clip`: `vidoe` is not a type of step: write \"image\", \"upscale\" or \"video\"; did you mean `video`?",
        "14:1: step `clip`: `prompt` is missing: say what to film",
        "15:8: step `clip`: another step has the same name",
        "18:24: step `clip`: options.veo.duration: `5` is not a duration of Veo 3.1",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (found, begin) in found.iter().zip(begins) {
        assert!(found.starts_with(begin), "{found}\n{begin}");
    }
}

#[test]
fn extra_fields_pass_and_options_have_their_own_place() {
    let with = |line: &str| public("a", "") + line;
    let recipe = Recipe::parse(&with("extra = { someday = 1_000.5, x = 0x1F }\n"), "r").unwrap();
    let JobRequest::Image(image) = &recipe.steps()[0].template else { panic!() };
    assert_eq!(image.extra["someday"], 1000.5);
    assert_eq!(image.extra["x"], 31);
    assert_eq!(
        faults(&with("extra = { options = { gemini = {} } }\n")),
        ["7:21: step `a`: options stand in the step itself: write options.GROUP = …"]
    );
    assert!(
        faults(&with("extra.modelID = \"x\"\n"))[0].starts_with("7:17: step `a`: extra.modelID")
    );
}

#[test]
fn the_model_section_is_checked() {
    let wrong = "[model]\nname = \"\"\nage = 0\ngender = \"female\"\neyeColor = \"blue\"\n";
    let found = faults(wrong);
    let begins = [
        "1:1: [model]: `images` is missing",
        "2:8: [model]: name is empty",
        "3:7: [model]: an age of 0 years",
        "4:10: [model]: `female` is not a gender the vendor knows",
        "5:1: [model]: unknown key `eyeColor`; did you mean `eye_color`?",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (found, begin) in found.iter().zip(begins) {
        assert!(found.starts_with(begin), "{found}\n{begin}");
    }
    let found = faults("[model]\nid = \"my model\"\nage = 3\n");
    assert_eq!(found.len(), 2, "{found:#?}");
    let step = "[[step]]\nname = \"a\"\ntype = \"image\"\n";
    assert!(faults(step)[0].contains("name a public model"));
    let trained = format!("{step}model = \"trained\"\n");
    assert!(faults(&trained)[0].contains("which is missing"));
    assert_eq!(faults(&format!("model = 1\n{step}")).len(), 1);
}

#[test]
fn wrong_shapes_are_explained() {
    assert!(faults("[step]\nname = \"a\"\n")[0].contains("[[step]] with two brackets"));
    assert!(faults("step = [1]\n")[0].contains("a step must be a table"));
    assert!(faults("step = []\n")[0].contains("empty"));
    assert!(faults("steps = 1\nname = \"\"\n").len() >= 2);
    assert!(faults(&"[[step]]\n".repeat(MAX_STEPS + 1))[0].contains("too many"));
}

/// A recipe of `after.len()` steps in which step `n` refers to those in `after[n]`.
fn recipe_of(after: &[Vec<usize>]) -> String {
    let mut text = String::new();
    for (n, list) in after.iter().enumerate() {
        let references: Vec<_> = list.iter().map(|m| format!("\"s{m}.images[0]\"")).collect();
        let _ = text.write_str(&public(&format!("s{n}"), &references.join(", ")));
    }
    text
}

proptest! {
    #[test]
    fn any_references_either_order_or_are_explained(
        after in vec(vec(0_usize..14, 0..3), 1..12),
    ) {
        let own = after.iter().enumerate().any(|(n, list)| list.contains(&n));
        let unknown = after.iter().flatten().any(|m| *m >= after.len());
        match Recipe::parse(&recipe_of(&after), "r") {
            Ok(recipe) => {
                prop_assert!(!own && !unknown);
                let order = names(recipe.order());
                prop_assert_eq!(order.len(), after.len());
                for (place, name) in order.iter().enumerate() {
                    let n: usize = name[1..].parse().unwrap();
                    for m in &after[n] {
                        let needed = format!("s{m}");
                        prop_assert!(order[..place].contains(&needed.as_str()));
                    }
                }
                let jobs: BTreeMap<String, Id> = order
                    .iter()
                    .map(|name| ((*name).to_owned(), id(name.len() as u128)))
                    .collect();
                prop_assert!(recipe.requests(None, &jobs).is_ok());
                prop_assert!(recipe.plan().expected <= typical::IMAGE * after.len() as u32);
            }
            Err(error) => {
                let text = error.to_string();
                prop_assert_eq!(own, text.contains("refers to its own output"));
                prop_assert_eq!(unknown, text.contains("there is no step"));
                prop_assert!(own || unknown || text.contains("wait for each other"), "{text}");
            }
        }
    }

    #[test]
    fn any_text_is_a_recipe_or_an_explained_fault(text in any::<String>()) {
        if let Err(error) = Recipe::parse(&text, "r") {
            prop_assert!(!error.diagnostics.is_empty());
        }
    }

    #[test]
    fn a_damaged_recipe_never_panics(
        cut in 0..UGC_CREATOR.len(),
        length in 0_usize..40,
        put in "[\\[\\]{}=\".a0\\n-]{0,8}",
    ) {
        let cut = UGC_CREATOR.floor_char_boundary(cut);
        let end = UGC_CREATOR.floor_char_boundary((cut + length).min(UGC_CREATOR.len()));
        let text = format!("{}{put}{}", &UGC_CREATOR[..cut], &UGC_CREATOR[end..]);
        if let Err(error) = Recipe::parse(&text, "r") {
            prop_assert!(!error.diagnostics.is_empty());
            prop_assert!(!error.to_string().contains("failed to notice why"), "{text}\n{error}");
        }
    }
}
