//! Properties that hold for every request, not only for those somebody thought of.

use super::{gender, identity, job, set_path};
use crate::domain::catalogue::{Catalogue, PUBLIC_MODELS};
use crate::domain::ids::{Id, RemoteImageId};
use crate::domain::request::{
    Gender, Identity, ImageRequest, JobRequest, MediaRef, ModelRef, UpscaleRequest, VideoRequest,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn model_name() -> impl Strategy<Value = String> {
    let known: Vec<&str> = PUBLIC_MODELS.iter().map(|model| model.id).collect();
    prop_oneof![
        4 => proptest::sample::select(known).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn id() -> impl Strategy<Value = Id> {
    any::<u128>().prop_map(|n| Id(uuid::Uuid::from_u128(n)))
}

fn media() -> impl Strategy<Value = MediaRef> {
    prop_oneof![
        any::<String>().prop_map(MediaRef::Url),
        "https?://[a-z.]{0,9}[/?#a-z]{0,9}".prop_map(MediaRef::Url),
        id().prop_map(MediaRef::Output),
        (id(), any::<u32>()).prop_map(|(job, index)| MediaRef::JobOutput { job, index }),
        any::<String>().prop_map(|text| MediaRef::Remote(RemoteImageId(text))),
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(key(), inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let known = vec![
        "options",
        "gemini",
        "openai",
        "veo",
        "kling",
        "duration",
        "resolution",
        "seed",
        "negativePrompt",
        "referenceVideos",
        "elementIDs",
        "url",
        "role",
        "modelID",
        "steps",
    ];
    prop_oneof![
        3 => proptest::sample::select(known).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn extra() -> impl Strategy<Value = Map<String, Value>> {
    btree_map(key(), json_value(), 0..5).prop_map(|map| map.into_iter().collect())
}

prop_compose! {
    fn image()(
        model in prop_oneof![
            id().prop_map(ModelRef::Trained),
            model_name().prop_map(ModelRef::Public),
        ],
        texts in vec(option::of(any::<String>()), 3),
        sizes in vec(option::of(any::<u32>()), 3),
        seed in option::of(any::<i64>()),
        input_image in option::of(media()),
        references in vec(media(), 0..20),
        extra in extra(),
    ) -> JobRequest {
        JobRequest::Image(ImageRequest {
            model,
            prompt: texts[0].clone(),
            num_images: sizes[0],
            width: sizes[1],
            height: sizes[2],
            seed,
            preset: texts[1].clone(),
            aspect_ratio: texts[2].clone(),
            input_image,
            references,
            extra,
        })
    }
}

prop_compose! {
    fn video()(
        model in model_name(),
        prompt in any::<String>(),
        num_videos in option::of(any::<u32>()),
        first_frame in option::of(media()),
        last_frame in option::of(media()),
        references in vec(media(), 0..5),
        reference_videos in vec(media(), 0..3),
        extra in extra(),
    ) -> JobRequest {
        JobRequest::Video(VideoRequest {
            model, prompt, num_videos, first_frame, last_frame, references,
            reference_videos, extra,
        })
    }
}

fn any_job() -> impl Strategy<Value = JobRequest> {
    prop_oneof![
        image(),
        video(),
        media().prop_map(|image| JobRequest::Upscale(UpscaleRequest { image })),
    ]
}

/// A valid job with an empty group of the right name.
fn valid(model: usize) -> JobRequest {
    let model = PUBLIC_MODELS[model % PUBLIC_MODELS.len()];
    let group = model.option_group.unwrap_or("seedream");
    let options = json!({"options": {group: {}}});
    let extra = options.as_object().cloned().unwrap();
    let text = if model.max_references.is_some() {
        json!({"type": "image", "model": {"public": model.id}, "prompt": "x", "extra": extra})
    } else {
        json!({"type": "video", "model": model.id, "prompt": "x", "extra": extra})
    };
    serde_json::from_value(text).unwrap()
}

fn group_mut(request: &mut JobRequest) -> &mut Map<String, Value> {
    let extra = match request {
        JobRequest::Image(image) => &mut image.extra,
        JobRequest::Video(video) => &mut video.extra,
        JobRequest::Upscale(_) => panic!("an upscale has no options"),
    };
    let groups = extra["options"].as_object_mut().unwrap();
    groups.values_mut().next().unwrap().as_object_mut().unwrap()
}

proptest! {
    #[test]
    fn checking_never_panics_and_problems_are_complete(request in any_job()) {
        if let Err(problems) = job(&request, &Catalogue::default()) {
            prop_assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                prop_assert!(!problem.field.is_empty() && !problem.message.is_empty());
                prop_assert!(!problem.message.chars().any(char::is_control), "{problem:?}");
                prop_assert!(problem.message.chars().count() < 400, "{problem:?}");
            }
        }
    }

    #[test]
    fn unknown_keys_in_the_right_group_change_nothing(
        model in any::<usize>(),
        keys in btree_map("x[a-zA-Z_.]{0,12}", json_value(), 0..6),
    ) {
        let mut request = valid(model);
        prop_assert_eq!(job(&request, &Catalogue::default()), Ok(()));
        group_mut(&mut request).extend(keys);
        prop_assert_eq!(job(&request, &Catalogue::default()), Ok(()));
    }

    #[test]
    fn identities_never_panic(name in any::<String>(), age in any::<u32>(), word in any::<String>()) {
        let _ = gender(&word);
        let person = Identity {
            name,
            age,
            gender: Gender::Male,
            ethnicity: Some(word),
            eye_color: None,
        };
        let valid_age = (1..=120).contains(&age);
        prop_assert!(valid_age || identity(&person).is_err());
    }

    #[test]
    fn assignments_never_panic_and_a_refusal_changes_nothing(
        assignments in vec(prop_oneof![any::<String>(), "[ab.]{1,5}=[0-9{}\\[\\]\"a]{0,5}"], 0..8),
    ) {
        let mut target = Map::new();
        for assignment in assignments {
            let before = target.clone();
            if set_path(&mut target, &assignment).is_err() {
                prop_assert_eq!(&before, &target);
            }
        }
    }
}
