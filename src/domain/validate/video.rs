//! Video jobs (vendor-api.md 2.13) and the one option table that is documented, Veo 3.1's (6.2).

use super::options::{self, Kind, Reserved, check_kind};
use super::{Problems, text};
use crate::domain::catalogue::{Catalogue, Makes, PublicModel, did_you_mean};
use crate::domain::ids::Id;
use crate::domain::request::VideoRequest;
use serde_json::{Map, Value};

const RESERVED: &[Reserved] = &[
    Reserved { wire: "modelID", own: "model" },
    Reserved { wire: "prompt", own: "prompt" },
    Reserved { wire: "numVideos", own: "num_videos" },
    Reserved { wire: "firstFrame", own: "first_frame" },
    Reserved { wire: "lastFrame", own: "last_frame" },
    Reserved { wire: "referenceImages", own: "references" },
];

const DOCUMENTED: &[&str] = &["options", "referenceVideos", "elementIDs"];

/// Veo 3.1's durations in seconds, and the only one allowed beside a reference image.
const VEO_DURATIONS: &[i64] = &[4, 6, 8];
const VEO_DURATION_WITH_REFERENCE: i64 = 8;

/// The one model whose option table is documented; `veo-3.1-fast` has its own, unread.
const VEO_WITH_TABLE: &str = "veo-3.1";

pub(super) fn check(problems: &mut Problems, request: &VideoRequest, catalogue: &Catalogue) {
    if request.prompt.trim().is_empty() {
        problems.add("prompt", "a video needs a prompt: say what to film");
    }
    text::prompt(problems, "prompt", &request.prompt);
    text::at_least_one(problems, "num_videos", request.num_videos);
    let frames = [("first_frame", &request.first_frame), ("last_frame", &request.last_frame)];
    for (field, frame) in frames {
        if let Some(frame) = frame {
            text::media(problems, field, frame);
        }
    }
    for (n, reference) in request.references.iter().enumerate() {
        text::media(problems, &format!("references[{n}]"), reference);
    }
    for (n, video) in request.reference_videos.iter().enumerate() {
        text::media(problems, &format!("reference_videos[{n}]"), video);
    }
    options::check_names(problems, &request.extra, RESERVED, DOCUMENTED);
    check_elements(problems, &request.extra);
    match catalogue.find(&request.model, Makes::Videos) {
        Some(model) => check_for_model(problems, request, &model),
        None => problems.add("model", unknown_model(&request.model, catalogue)),
    }
}

fn check_for_model(problems: &mut Problems, request: &VideoRequest, model: &PublicModel<'_>) {
    if let Some(videos) = request.extra.get("referenceVideos") {
        if model.reference_videos {
            check_reference_videos(problems, videos);
        } else {
            problems.add(
                "extra.referenceVideos",
                format!("`{}` takes no reference videos: choose another family", model.id),
            );
        }
    }
    if !request.reference_videos.is_empty() && !model.reference_videos {
        problems.add(
            "reference_videos",
            format!("`{}` takes no reference videos: choose another family", model.id),
        );
    }
    if let Some(value) = request.extra.get("options")
        && let Some(group) = options::group(problems, model, value)
        && model.id == VEO_WITH_TABLE
    {
        check_veo(problems, group, !request.references.is_empty());
    }
}

/// `elementIDs` is an array of strings, when the model supports it at all.
fn check_elements(problems: &mut Problems, extra: &Map<String, Value>) {
    let texts = |list: &Vec<Value>| list.iter().all(Value::is_string);
    if let Some(value) = extra.get("elementIDs")
        && !value.as_array().is_some_and(texts)
    {
        problems.add("extra.elementIDs", "elementIDs must be a list of texts: write [\"id\"]");
    }
}

/// Items carry a video URL and the role `reference_video`; their exact shape is not documented,
/// so only what is recognised is checked.
fn check_reference_videos(problems: &mut Problems, value: &Value) {
    let Value::Array(items) = value else {
        problems.add(
            "extra.referenceVideos",
            "referenceVideos must be a list of items with a url and the role reference_video",
        );
        return;
    };
    for (n, item) in items.iter().enumerate() {
        let field = format!("extra.referenceVideos[{n}]");
        if let Some(Value::String(url)) = item.get("url") {
            text::url(problems, &field, url);
        }
        if item.get("role").is_some_and(|role| role != "reference_video") {
            problems.add(field, "the role of a reference video must be \"reference_video\"");
        }
    }
}

/// The table of vendor-api.md 6.2. Unknown keys pass: the vendor may have added some.
fn check_veo(problems: &mut Problems, group: &Map<String, Value>, with_reference: bool) {
    for (key, value) in group {
        let field = format!("options.veo.{key}");
        match key.as_str() {
            "aspectRatio" => one_of(problems, &field, value, &["16:9", "9:16"]),
            "resolution" => one_of(problems, &field, value, &["720p", "1080p"]),
            "duration" => check_duration(problems, &field, value, with_reference),
            "enhancePrompt" | "generateAudio" => {
                check_kind(problems, &field, value, Kind::Boolean);
            }
            "seed" => check_kind(problems, &field, value, Kind::Integer),
            "negativePrompt" => match value.as_str() {
                Some(words) => text::prompt(problems, &field, words),
                None => check_kind(problems, &field, value, Kind::Text),
            },
            _ => {}
        }
    }
}

fn one_of(problems: &mut Problems, field: &str, value: &Value, allowed: &[&str]) {
    if value.as_str().is_none_or(|text| !allowed.contains(&text)) {
        let got = text::quote(&value.to_string());
        let list = allowed.join("\" or \"");
        problems.add(field, format!("{got} is not possible here: write \"{list}\""));
    }
}

fn check_duration(problems: &mut Problems, field: &str, value: &Value, with_reference: bool) {
    let seconds = value.as_i64();
    if seconds.is_none_or(|seconds| !VEO_DURATIONS.contains(&seconds)) {
        let got = text::quote(&value.to_string());
        problems.add(field, format!("{got} is not a duration of Veo 3.1: write 4, 6 or 8"));
    } else if with_reference && seconds != Some(VEO_DURATION_WITH_REFERENCE) {
        problems.add(
            field,
            "with a reference image Veo 3.1 films 8 seconds only: write 8 or drop the references",
        );
    }
}

fn unknown_model(name: &str, catalogue: &Catalogue) -> String {
    if catalogue.find(name, Makes::Images).is_some() {
        return format!(
            "`{name}` makes images, not videos: make an image with it first, \
             then use a video model such as `veo-3.1`"
        );
    }
    let quoted = text::quote(name);
    if Id::parse(name).is_some() {
        return format!(
            "{quoted} looks like a trained model, and those make images only: \
             use a video model such as `veo-3.1`"
        );
    }
    let meant = did_you_mean(catalogue.nearest(name, Makes::Videos));
    format!(
        "{quoted} is no video model known here (new ones go into `catalogue.video_models`){meant}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::{JobRequest, MediaRef};
    use crate::domain::validate::{Problem, job};
    use serde_json::json;

    fn request(model: &str, extra: Value) -> VideoRequest {
        VideoRequest {
            model: model.to_owned(),
            prompt: "she waves".to_owned(),
            num_videos: None,
            first_frame: None,
            last_frame: None,
            references: Vec::new(),
            reference_videos: Vec::new(),
            extra: extra.as_object().cloned().unwrap(),
        }
    }

    fn problems(request: VideoRequest) -> Vec<Problem> {
        match job(&JobRequest::Video(request), &Catalogue::default()) {
            Ok(()) => Vec::new(),
            Err(problems) => problems.0,
        }
    }

    fn veo(options: Value) -> VideoRequest {
        request("veo-3.1", json!({"options": {"veo": options}}))
    }

    fn picture() -> MediaRef {
        MediaRef::Url("https://a.example/x.png".to_owned())
    }

    #[test]
    fn the_documented_veo_table_passes() {
        let all = veo(json!({
            "aspectRatio": "9:16", "duration": 6, "resolution": "1080p", "enhancePrompt": false,
            "generateAudio": true, "negativePrompt": "rain", "seed": -3, "newKey": {"x": [null]},
        }));
        assert_eq!(problems(all), []);
    }

    #[test]
    fn every_wrong_veo_option_is_named() {
        let wrong = veo(json!({
            "aspectRatio": "1:1", "duration": 5, "resolution": 720, "enhancePrompt": "yes",
            "generateAudio": 1, "negativePrompt": 3, "seed": 1.5,
        }));
        let found = problems(wrong);
        assert_eq!(found.len(), 7, "{found:?}");
        assert_eq!(found[0].message, "`\"1:1\"` is not possible here: write \"16:9\" or \"9:16\"");
        assert_eq!(problems(veo(json!({"duration": "8"}))).len(), 1);
        assert_eq!(problems(veo(json!({"duration": 8.0}))).len(), 1);
        assert_eq!(problems(veo(json!({"negativePrompt": "nul\0"}))).len(), 1);
    }

    #[test]
    fn a_reference_image_fixes_veo_to_eight_seconds() {
        let with = |duration: i64, model: &str| VideoRequest {
            references: vec![picture()],
            ..request(model, json!({"options": {"veo": {"duration": duration}}}))
        };
        assert_eq!(problems(with(8, "veo-3.1")), []);
        assert_eq!(problems(with(6, "veo-3.1"))[0].field, "options.veo.duration");
        // Its own table was not readable: the vendor judges.
        assert_eq!(problems(with(6, "veo-3.1-fast")), []);
        let first_frame_only =
            VideoRequest { first_frame: Some(picture()), ..veo(json!({"duration": 4})) };
        assert_eq!(problems(first_frame_only), []);
    }

    #[test]
    fn groups_must_fit_the_family() {
        let seedance = json!({"options": {"seedance": {"duration": 6, "ratio": "9:16"}}});
        assert_eq!(problems(request("seedance-2.0", seedance.clone())), []);
        let found = problems(request("veo-3.1-fast", seedance));
        assert!(found[0].message.ends_with("`veo-3.1-fast` takes the group `veo`"), "{found:?}");
    }

    #[test]
    fn the_rest_of_the_body_is_checked_too() {
        let wrong = VideoRequest {
            prompt: " ".to_owned(),
            num_videos: Some(0),
            first_frame: Some(MediaRef::Url("frame.png".to_owned())),
            last_frame: Some(MediaRef::Url("ftp://a.example/x".to_owned())),
            references: vec![picture(), MediaRef::Url(String::new())],
            ..request("veo-3.1", json!({"elementIDs": "e1", "referenceImages": []}))
        };
        let found = problems(wrong);
        let fields: Vec<_> = found.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "prompt",
                "num_videos",
                "first_frame",
                "last_frame",
                "references[1]",
                "extra.referenceImages",
                "extra.elementIDs"
            ]
        );
    }

    #[test]
    fn reference_videos_depend_on_the_family() {
        let item = json!({"url": "https://a.example/v.mp4", "role": "reference_video"});
        let extra = json!({"referenceVideos": [item]});
        assert_eq!(problems(request("kling-motion-pro", extra.clone())), []);
        assert_eq!(problems(request("veo-3.1", extra))[0].field, "extra.referenceVideos");
        let wrong = json!({"referenceVideos": [{"url": "v.mp4", "role": "reference_image"}]});
        assert_eq!(problems(request("seedance-2.0", wrong)).len(), 2);
        let wrong = json!({"referenceVideos": "https://a.example/v.mp4"});
        assert_eq!(problems(request("seedance-2.0", wrong)).len(), 1);
    }

    #[test]
    fn a_wrong_model_is_answered_with_a_hint() {
        let message = |name| {
            let found = problems(request(name, json!({})));
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].message.clone()
        };
        assert!(message("nanobanana").contains("makes images, not videos"));
        assert!(message("veo3.1").ends_with("did you mean `veo-3.1`?"));
        assert!(message("018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f").contains("trained model"));
    }
}
