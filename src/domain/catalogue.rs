//! The vendor's public models (vendor-api.md section 6) and what is known about each.

use serde::{Deserialize, Serialize};

/// What a public model produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Makes {
    /// Pictures: usable in image jobs.
    Images,
    /// Videos: usable in video jobs.
    Videos,
}

impl Makes {
    /// The word for people, in the plural.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Videos => "videos",
        }
    }
}

/// One public model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicModel<'a> {
    /// The vendor's `modelID`.
    pub id: &'a str,
    /// Pictures or videos.
    pub makes: Makes,
    /// The family's name for people; `None` for a model that only the user knows.
    pub family: Option<&'static str>,
    /// The one group allowed inside `options`; `None` when no readable page names it.
    pub option_group: Option<&'static str>,
    /// The largest documented number of `referenceImageURLs`; `None` when undocumented.
    pub max_references: Option<u32>,
    /// Whether `referenceVideos` may be sent. Only Veo's variant is documented without it
    /// (vendor-api.md 6.2); the others are left to the vendor.
    pub reference_videos: bool,
}

const fn image(
    id: &'static str,
    family: &'static str,
    group: Option<&'static str>,
    max: u32,
) -> PublicModel<'static> {
    PublicModel {
        id,
        makes: Makes::Images,
        family: Some(family),
        option_group: group,
        max_references: Some(max),
        reference_videos: false,
    }
}

const fn video(
    id: &'static str,
    family: &'static str,
    group: &'static str,
    reference_videos: bool,
) -> PublicModel<'static> {
    PublicModel {
        id,
        makes: Makes::Videos,
        family: Some(family),
        option_group: Some(group),
        max_references: None,
        reference_videos,
    }
}

/// The documented models (vendor-api.md 6.1 and 6.2), in the vendor's order.
pub const PUBLIC_MODELS: &[PublicModel<'static>] = &[
    image("nanobanana", "Nano Banana", Some("gemini"), 3),
    image("nanobanana-pro", "Nano Banana", Some("gemini"), 14),
    image("nanobanana-2", "Nano Banana", Some("gemini"), 14),
    // Seedream's option group stands on no readable page.
    image("seedream", "Seedream", None, 10),
    image("seedream-4_5", "Seedream", None, 10),
    image("seedream-5-lite", "Seedream", None, 10),
    image("gpt-image-2", "GPT Image 2", Some("openai"), 10),
    video("veo-3.1", "Veo", "veo", false),
    video("veo-3.1-fast", "Veo", "veo", false),
    video("seedance-1.5-pro", "Seedance", "seedance", true),
    video("seedance-2.0", "Seedance", "seedance", true),
    video("kling-video-standard", "Kling video", "kling", true),
    video("kling-video-pro", "Kling video", "kling", true),
    video("kling-motion-standard", "Kling motion", "kling", true),
    video("kling-motion-pro", "Kling motion", "kling", true),
    video("grok-imagine-1.5", "Grok Imagine", "grok", true),
];

/// Every option group named in vendor-api.md section 6, with the family it belongs to.
/// `seedream` is a deduction of ours there, the others are documented.
pub const OPTION_GROUPS: &[(&str, &str)] = &[
    ("gemini", "Nano Banana"),
    ("openai", "GPT Image 2"),
    ("seedream", "Seedream"),
    ("veo", "Veo"),
    ("seedance", "Seedance"),
    ("kling", "Kling"),
    ("grok", "Grok Imagine"),
];

/// The models that requests may name: the documented ones and those a user added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Image models the vendor has added since; nothing but their id is known.
    pub extra_image_models: Vec<String>,
    /// Video models the vendor has added since; nothing but their id is known.
    pub extra_video_models: Vec<String>,
}

impl Catalogue {
    /// The model with exactly this id; a documented one wins over a configured one.
    pub fn find(&self, id: &str, makes: Makes) -> Option<PublicModel<'_>> {
        self.models().find(|model| model.makes == makes && model.id == id)
    }

    /// Every model: the documented ones first, then the configured ones.
    pub fn models(&self) -> impl Iterator<Item = PublicModel<'_>> {
        let extra = |makes| {
            move |id| PublicModel {
                id,
                makes,
                family: None,
                option_group: None,
                max_references: None,
                reference_videos: true,
            }
        };
        let images = self.extra_image_models.iter().map(String::as_str);
        let videos = self.extra_video_models.iter().map(String::as_str);
        PUBLIC_MODELS
            .iter()
            .copied()
            .chain(images.map(extra(Makes::Images)))
            .chain(videos.map(extra(Makes::Videos)))
    }

    /// The known model of that kind whose id is most like `name`, when one is close enough to be
    /// what was meant.
    pub fn nearest(&self, name: &str, makes: Makes) -> Option<&str> {
        let ids = self.models().filter(|model| model.makes == makes);
        nearest(name, ids.map(|model| model.id))
    }
}

/// Longer words are never typing mistakes of ours, and the distance takes quadratic time.
const LONGEST_COMPARED: usize = 64;

/// The candidate most like `word`, when one is close enough to be what was meant: equal but for
/// case and separators (`numImages`, `num_images`), begun by it, or at most a third of its letters
/// away. The first of equals wins.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_COMPARED {
        return None;
    }
    let folded = fold(word);
    let length = folded.chars().count();
    if length == 0 {
        return None;
    }
    let limit = (length / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = fold(candidate);
            let distance = strsim::damerau_levenshtein(&folded, &other);
            if distance <= limit && distance < length {
                return Some((distance, candidate));
            }
            (length >= 3 && other.starts_with(&folded)).then_some((limit + 1, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean X?` or nothing: the tail of an error about a name.
pub fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// Lower case without separators, so that spelling habits do not count as mistakes.
pub(crate) fn fold(word: &str) -> String {
    word.chars()
        .filter(|c| !matches!(c, '-' | '_' | '.' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_group_is_listed_and_ids_are_unique() {
        for model in PUBLIC_MODELS {
            if let Some(group) = model.option_group {
                assert!(OPTION_GROUPS.iter().any(|(known, _)| *known == group));
            }
            let same = PUBLIC_MODELS.iter().filter(|other| other.id == model.id);
            assert_eq!(same.count(), 1, "{}", model.id);
        }
    }

    #[test]
    fn documented_models_are_found_by_kind() {
        let catalogue = Catalogue::default();
        let pro = catalogue.find("nanobanana-pro", Makes::Images).unwrap();
        assert_eq!(pro.max_references, Some(14));
        assert_eq!(catalogue.find("nanobanana-pro", Makes::Videos), None);
        assert!(!catalogue.find("veo-3.1", Makes::Videos).unwrap().reference_videos);
    }

    #[test]
    fn configured_models_are_found_and_suggested() {
        let catalogue = Catalogue {
            extra_image_models: vec!["flux-9".to_owned()],
            extra_video_models: vec!["veo-4".to_owned()],
        };
        assert_eq!(catalogue.find("flux-9", Makes::Images).unwrap().option_group, None);
        assert_eq!(catalogue.nearest("flux9", Makes::Images), Some("flux-9"));
        assert_eq!(catalogue.nearest("veo4", Makes::Videos), Some("veo-4"));
    }

    #[test]
    fn suggestions_need_likeness() {
        let catalogue = Catalogue::default();
        let image = |name| catalogue.nearest(name, Makes::Images);
        assert_eq!(image("nano-banana"), Some("nanobanana"));
        assert_eq!(image("nanobananna"), Some("nanobanana"));
        assert_eq!(image("NanoBanana Pro"), Some("nanobanana-pro"));
        assert_eq!(image("seedream-4.5"), Some("seedream-4_5"));
        assert_eq!(image("midjourney"), None);
        assert_eq!(image(""), None);
        assert_eq!(image("-"), None);
        assert_eq!(catalogue.nearest("veo", Makes::Videos), Some("veo-3.1"));
        assert_eq!(image(&"x".repeat(100_000)), None);
    }
}
