//! Image jobs: one variant for trained models, one for public ones (vendor-api.md 2.11).

use super::options::{self, Kind, Reserved};
use super::{Problems, text};
use crate::domain::catalogue::{Catalogue, Makes, PublicModel, did_you_mean};
use crate::domain::ids::Id;
use crate::domain::request::{ImageRequest, MediaRef, ModelRef};

const RESERVED: &[Reserved] = &[
    Reserved { wire: "modelID", own: "model" },
    Reserved { wire: "prompt", own: "prompt" },
    Reserved { wire: "numImages", own: "num_images" },
    Reserved { wire: "width", own: "width" },
    Reserved { wire: "height", own: "height" },
    Reserved { wire: "seed", own: "seed" },
    Reserved { wire: "preset", own: "preset" },
    Reserved { wire: "aspectRatio", own: "aspect_ratio" },
    Reserved { wire: "inputImageId", own: "input_image" },
    Reserved { wire: "referenceImageURLs", own: "references" },
];

/// Documented for trained models only, and without a field of ours.
const TRAINED_EXTRA: &[(&str, Kind)] = &[
    ("steps", Kind::Integer),
    ("runType", Kind::Text),
    ("enhanceFace", Kind::Boolean),
    ("styleStrength", Kind::Number),
];

const DOCUMENTED: &[&str] = &["options", "steps", "runType", "enhanceFace", "styleStrength"];

pub(super) fn check(problems: &mut Problems, request: &ImageRequest, catalogue: &Catalogue) {
    if let Some(prompt) = &request.prompt {
        text::prompt(problems, "prompt", prompt);
    }
    text::at_least_one(problems, "num_images", request.num_images);
    text::at_least_one(problems, "width", request.width);
    text::at_least_one(problems, "height", request.height);
    if let Some(preset) = &request.preset {
        text::short(problems, "preset", preset);
    }
    if let Some(ratio) = &request.aspect_ratio {
        text::short(problems, "aspect_ratio", ratio);
    }
    for (n, reference) in request.references.iter().enumerate() {
        text::media(problems, &format!("references[{n}]"), reference);
    }
    match &request.input_image {
        Some(MediaRef::Url(_)) => problems
            .add("input_image", "the vendor wants one of its own images here: upload the picture"),
        Some(media) => text::media(problems, "input_image", media),
        None => {}
    }
    options::check_names(problems, &request.extra, RESERVED, DOCUMENTED);
    match &request.model {
        ModelRef::Trained(_) => trained(problems, request),
        ModelRef::Public(name) => match catalogue.find(name, Makes::Images) {
            Some(model) => public(problems, request, &model),
            None => problems.add("model", unknown_model(name, catalogue)),
        },
    }
}

/// A trained model may be given nothing but itself: "most workflows send" a prompt, a preset or
/// an input image, says the vendor, and requires none.
fn trained(problems: &mut Problems, request: &ImageRequest) {
    let public_only = [
        ("aspect_ratio", request.aspect_ratio.is_some(), "use width and height"),
        ("references", !request.references.is_empty(), "use input_image"),
        ("options", request.extra.contains_key("options"), "use extra fields such as steps"),
    ];
    for (field, given, instead) in public_only {
        if given {
            problems.add(
                field,
                format!("{field} is for public models only and this one is trained: {instead}"),
            );
        }
    }
    for (name, kind) in TRAINED_EXTRA {
        if let Some(value) = request.extra.get(*name) {
            options::check_kind(problems, &format!("extra.{name}"), value, *kind);
        }
    }
}

fn public(problems: &mut Problems, request: &ImageRequest, model: &PublicModel<'_>) {
    let id = model.id;
    if request.prompt.as_deref().is_none_or(|prompt| prompt.trim().is_empty()) {
        problems.add("prompt", format!("`{id}` needs a prompt: say what to draw"));
    }
    let trained_only = [
        ("width", request.width.is_some(), "use aspect_ratio"),
        ("height", request.height.is_some(), "use aspect_ratio"),
        ("seed", request.seed.is_some(), "leave it out"),
        ("input_image", request.input_image.is_some(), "use references"),
    ];
    for (field, given, instead) in trained_only {
        if given {
            problems.add(
                field,
                format!("{field} is for trained models only and `{id}` is public: {instead}"),
            );
        }
    }
    for (name, _) in TRAINED_EXTRA {
        if request.extra.contains_key(*name) {
            problems.add(
                format!("extra.{name}"),
                format!("{name} is for trained models only and `{id}` is public: leave it out"),
            );
        }
    }
    let given = request.references.len();
    if let Some(max) = model.max_references
        && u32::try_from(given).map_or(true, |given| given > max)
    {
        problems.add(
            "references",
            format!("`{id}` takes at most {max} reference images and {given} are given: drop some"),
        );
    }
    if let Some(value) = request.extra.get("options") {
        options::group(problems, model, value);
    }
}

fn unknown_model(name: &str, catalogue: &Catalogue) -> String {
    if catalogue.find(name, Makes::Videos).is_some() {
        return format!(
            "`{name}` makes videos, not images: use it in a video job, \
             or choose an image model such as `nanobanana`"
        );
    }
    let quoted = text::quote(name);
    if Id::parse(name).is_some() {
        return format!(
            "{quoted} is no public model but looks like a trained one: \
             refer to it as a trained model"
        );
    }
    let meant = did_you_mean(catalogue.nearest(name, Makes::Images));
    format!(
        "{quoted} is no image model known here (new ones go into `catalogue.image_models`){meant}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::{JobRequest, MediaRef};
    use crate::domain::validate::{Problem, job};
    use serde_json::{Map, json};

    fn request(model: ModelRef) -> ImageRequest {
        ImageRequest {
            model,
            prompt: Some("a red bicycle".to_owned()),
            num_images: None,
            width: None,
            height: None,
            seed: None,
            preset: None,
            aspect_ratio: None,
            input_image: None,
            references: Vec::new(),
            extra: Map::new(),
        }
    }

    fn nil() -> Id {
        Id(uuid::Uuid::nil())
    }

    fn public() -> ImageRequest {
        request(ModelRef::Public("nanobanana".to_owned()))
    }

    fn trained() -> ImageRequest {
        request(ModelRef::Trained(nil()))
    }

    fn problems(request: ImageRequest) -> Vec<Problem> {
        match job(&JobRequest::Image(request), &Catalogue::default()) {
            Ok(()) => Vec::new(),
            Err(problems) => problems.0,
        }
    }

    fn fields(request: ImageRequest) -> Vec<String> {
        problems(request).into_iter().map(|p| p.field).collect()
    }

    fn extra(request: ImageRequest, extra: serde_json::Value) -> ImageRequest {
        let extra = extra.as_object().cloned().unwrap();
        ImageRequest { extra, ..request }
    }

    #[test]
    fn both_variants_pass_as_documented() {
        let options = json!({"options": {"gemini": {"imageSize": "1K"}}, "someday": [1]});
        let full = ImageRequest {
            aspect_ratio: Some("1:1".to_owned()),
            num_images: Some(1),
            preset: Some("editorial".to_owned()),
            references: vec![MediaRef::Output(nil()); 3],
            ..extra(public(), options)
        };
        assert_eq!(problems(full), []);
        let full = ImageRequest {
            width: Some(1024),
            height: Some(1280),
            seed: Some(-1),
            input_image: Some(MediaRef::Upload(nil())),
            ..extra(trained(), json!({"steps": 30, "styleStrength": 0.5, "enhanceFace": true}))
        };
        assert_eq!(problems(full), []);
    }

    #[test]
    fn a_trained_model_needs_nothing_else() {
        assert_eq!(problems(ImageRequest { prompt: None, ..trained() }), []);
    }

    #[test]
    fn a_public_model_needs_a_prompt() {
        assert_eq!(fields(ImageRequest { prompt: None, ..public() }), ["prompt"]);
        let blank = Some(" \n".to_owned());
        assert_eq!(fields(ImageRequest { prompt: blank, ..public() }), ["prompt"]);
    }

    #[test]
    fn fields_of_the_other_variant_are_refused_together() {
        let wrong = ImageRequest {
            width: Some(1),
            height: Some(1),
            seed: Some(1),
            input_image: Some(MediaRef::Upload(nil())),
            ..extra(public(), json!({"steps": 3}))
        };
        assert_eq!(fields(wrong), ["width", "height", "seed", "input_image", "extra.steps"]);
        let wrong = ImageRequest {
            aspect_ratio: Some("1:1".to_owned()),
            references: vec![MediaRef::Output(nil())],
            ..extra(trained(), json!({"options": {"gemini": {}}, "steps": "3"}))
        };
        assert_eq!(fields(wrong), ["aspect_ratio", "references", "options", "extra.steps"]);
    }

    #[test]
    fn counts_start_at_one() {
        let wrong =
            ImageRequest { num_images: Some(0), width: Some(0), height: Some(0), ..trained() };
        assert_eq!(fields(wrong), ["num_images", "width", "height"]);
    }

    #[test]
    fn references_have_a_maximum_per_model() {
        for (model, max) in [("nanobanana", 3), ("nanobanana-2", 14), ("gpt-image-2", 10)] {
            let with = |n| ImageRequest {
                references: vec![MediaRef::Url("https://a.example/x".to_owned()); n],
                ..request(ModelRef::Public(model.to_owned()))
            };
            assert_eq!(problems(with(max)), []);
            let found = problems(with(max + 1));
            assert!(found[0].message.contains(&format!("at most {max} ")), "{found:?}");
        }
        let wrong =
            ImageRequest { references: vec![MediaRef::Url("cat.png".to_owned())], ..public() };
        assert_eq!(fields(wrong), ["references[0]"]);
    }

    #[test]
    fn extra_fields_override_nothing() {
        for Reserved { wire, own } in RESERVED {
            let found = problems(extra(trained(), json!({ *wire: 1 })));
            assert_eq!(found[0].field, format!("extra.{wire}"));
            assert!(found[0].message.contains(own), "{found:?}");
        }
        let found = problems(extra(public(), json!({"numimages": 2})));
        assert!(found[0].message.contains("--num-images"), "{found:?}");
        let found = problems(extra(trained(), json!({"enhance_face": true})));
        assert!(found[0].message.contains("`enhanceFace`"), "{found:?}");
    }

    #[test]
    fn a_wrong_model_is_answered_with_a_hint() {
        let message = |name: &str| {
            let found = problems(request(ModelRef::Public(name.to_owned())));
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].message.clone()
        };
        assert!(message("veo-3.1").contains("makes videos, not images"));
        assert!(message("nanobananna").ends_with("did you mean `nanobanana`?"));
        assert!(message("018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f").contains("trained"));
        assert!(message("").contains("no image model"));
    }
}
