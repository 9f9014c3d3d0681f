//! Fields passed through in the vendor's spelling: `extra`, and the option groups inside it.

use super::{Problems, text};
use crate::domain::catalogue::{OPTION_GROUPS, PublicModel, fold};
use serde_json::{Map, Value};

/// A body field of the vendor's that has a field of its own with us.
pub(super) struct Reserved {
    /// The vendor's spelling.
    pub(super) wire: &'static str,
    /// Our field, which on the command line is a flag of the same name with dashes.
    pub(super) own: &'static str,
}

/// Refuses extra fields that would override one of ours, and misspellings of `documented` ones,
/// which the vendor might ignore at full price.
pub(super) fn check_names(
    problems: &mut Problems,
    extra: &Map<String, Value>,
    reserved: &[Reserved],
    documented: &[&str],
) {
    for key in extra.keys() {
        let folded = fold(key);
        let same = |name: &str| fold(name) == folded;
        if let Some(Reserved { wire, own }) = reserved.iter().find(|r| same(r.wire) || same(r.own))
        {
            let flag = own.replace('_', "-");
            problems.add(
                format!("extra.{}", text::printable(key)),
                format!(
                    "an extra field must not override `{wire}`: \
                     use `{own}` (on the command line --{flag}) instead"
                ),
            );
        } else if let Some(known) = documented.iter().find(|d| same(d) && *d != key) {
            problems.add(
                format!("extra.{}", text::printable(key)),
                format!("the vendor spells this field `{known}`: write it like that"),
            );
        }
    }
}

/// The JSON types the vendor documents.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Integer,
    Number,
    Boolean,
    Text,
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Text => value.is_string(),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Text => "a text",
        }
    }
}

/// Checks that a value has the documented type.
pub(super) fn check_kind(problems: &mut Problems, field: &str, value: &Value, kind: Kind) {
    if !kind.fits(value) {
        let got = text::quote(&value.to_string());
        let noun = kind.noun();
        problems.add(field, format!("{got} is not {noun}, which the vendor wants here: change it"));
    }
}

/// Checks that `options` holds exactly one group, the one of the model's family, and returns it.
pub(super) fn group<'v>(
    problems: &mut Problems,
    model: &PublicModel<'_>,
    options: &'v Value,
) -> Option<&'v Map<String, Value>> {
    let hint = match model.option_group {
        Some(group) => format!("`{}` takes the group `{group}`", model.id),
        None => format!("`{}` takes one group, named by the vendor's documentation", model.id),
    };
    let Value::Object(groups) = options else {
        problems.add("options", format!("options must be a table of one group: {hint}"));
        return None;
    };
    let mut names = groups.iter();
    let (Some((name, value)), None) = (names.next(), names.next()) else {
        let count = groups.len();
        problems.add(
            "options",
            format!("options holds {count} groups and must hold exactly one: {hint}"),
        );
        return None;
    };
    let field = format!("options.{}", text::printable(name));
    if let Some(fault) = misfit(model, name) {
        problems.add(field, format!("{fault}: {hint}"));
        return None;
    }
    let Value::Object(group) = value else {
        problems.add(field, "an option group must be a table: write { … } with options inside");
        return None;
    };
    Some(group)
}

/// Why a group does not belong to a model; `None` when it does or when that cannot be known.
fn misfit(model: &PublicModel<'_>, name: &str) -> Option<String> {
    if model.option_group == Some(name) {
        return None;
    }
    let quoted = text::quote(name);
    let owner = OPTION_GROUPS.iter().find(|(group, _)| *group == name);
    if let Some((_, owner)) = owner {
        // Where no readable page names the group, another family's is still certainly wrong;
        // of a model that only the user knows, not even the family is known.
        let foreign = model.option_group.is_some() || model.family.is_some_and(|f| f != *owner);
        return foreign.then(|| format!("{quoted} is the option group of {owner}"));
    }
    if model.option_group.is_some() {
        return Some(format!("{quoted} is not an option group"));
    }
    // The vendor may have groups we never heard of, so only a slip of one key is refused.
    let slip = |group: &str| {
        name.len() <= 2 * group.len() && strsim::damerau_levenshtein(group, name) == 1
    };
    let (near, _) = OPTION_GROUPS.iter().find(|(group, _)| slip(group))?;
    Some(format!("{quoted} looks like a misspelt `{near}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalogue::{Catalogue, Makes};
    use serde_json::json;

    fn check(model: &str, makes: Makes, options: &Value) -> Vec<String> {
        let catalogue = Catalogue {
            extra_image_models: vec!["flux-9".to_owned()],
            extra_video_models: Vec::new(),
        };
        let model = catalogue.find(model, makes).unwrap();
        let mut problems = Problems::default();
        let group = group(&mut problems, &model, options);
        assert_eq!(group.is_none(), !problems.0.is_empty());
        problems.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_right_group_passes_with_keys_we_never_heard_of() {
        let options = json!({"gemini": {"imageSize": "1K", "brandNew": [1, {"a": null}]}});
        assert!(check("nanobanana", Makes::Images, &options).is_empty());
    }

    #[test]
    fn a_wrong_group_is_answered_with_the_right_one() {
        let wrong = check("nanobanana", Makes::Images, &json!({"openai": {}}));
        assert_eq!(
            wrong,
            ["options.openai: `openai` is the option group of GPT Image 2: \
              `nanobanana` takes the group `gemini`"]
        );
        let unknown = check("gpt-image-2", Makes::Images, &json!({"opnai": {}}));
        assert_eq!(
            unknown,
            ["options.opnai: `opnai` is not an option group: \
              `gpt-image-2` takes the group `openai`"]
        );
    }

    #[test]
    fn there_is_exactly_one_group_and_it_is_a_table() {
        for wrong in [
            json!({}),
            json!({"gemini": {}, "openai": {}}),
            json!([]),
            json!(null),
            json!({"gemini": 1}),
        ] {
            assert_eq!(check("nanobanana", Makes::Images, &wrong).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn unknown_groups_pass_where_the_documentation_is_silent() {
        for (model, group, passes) in [
            ("seedream", "seedream", true),
            ("seedream", "bytedance", true),
            ("seedream", "gemini", false),
            ("seedream", "sedream", false),
            ("flux-9", "gemini", true),
            ("flux-9", "flux", true),
            ("flux-9", "gemni", false),
        ] {
            let faults = check(model, Makes::Images, &json!({group: {"size": 1}}));
            assert_eq!(faults.is_empty(), passes, "{model} {group} {faults:?}");
        }
    }
}
