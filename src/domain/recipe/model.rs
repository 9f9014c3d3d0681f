//! The `[model]` section: a person to train, or a model that exists.

use super::RecipeModel;
use super::read::Reader;
use crate::domain::request::{Gender, Identity};
use crate::domain::validate;

const IDENTITY_KEYS: [&str; 5] = ["name", "age", "gender", "ethnicity", "eye_color"];
const KEYS: [&str; 7] = ["id", "images", "name", "age", "gender", "ethnicity", "eye_color"];

/// Reads the section; `None` when it has faults.
pub(super) fn read(reader: &mut Reader<'_, '_>) -> Option<RecipeModel> {
    super::parse::refuse_unknown(reader, &KEYS, |_| None);
    let images = reader.text("images");
    if images.as_deref().is_some_and(|folder| folder.trim().is_empty()) {
        reader.fault("images", "`images` is empty: name the folder of photos");
    }
    if reader.has("id") {
        return existing(reader, images);
    }
    let identity = identity(reader);
    if !reader.has("images") {
        reader.fault(
            "images",
            "`images` is missing: name the folder of photos, such as \"./photos\", \
             or give the `id` of a trained model instead",
        );
    }
    Some(RecipeModel::New { identity: identity?, images: images? })
}

fn existing(reader: &mut Reader<'_, '_>, images: Option<String>) -> Option<RecipeModel> {
    for key in IDENTITY_KEYS {
        if reader.has(key) {
            reader.fault(
                key,
                format!("`{key}` describes a new model and `id` names an existing one: keep one"),
            );
        }
    }
    let id = reader.text("id")?;
    let usable = |c: char| c.is_ascii_hexdigit() || c == '-';
    if id.is_empty() || !id.chars().all(usable) {
        reader.fault(
            "id",
            "`id` must be a model's id or its beginning, as `darkroom model list` shows it",
        );
        return None;
    }
    Some(RecipeModel::Existing { id, images })
}

fn identity(reader: &mut Reader<'_, '_>) -> Option<Identity> {
    let name = reader.required_text("name", "say what to call the model");
    let age = reader.required_count("age", "give the person's age in years");
    let gender = reader.required_text("gender", "write \"Female\" or \"Male\"");
    let gender = gender.and_then(|word| match validate::gender(&word) {
        Ok(gender) => Some(gender),
        Err(problem) => {
            reader.fault(&problem.field, problem.message);
            None
        }
    });
    // Stand-ins for what is missing, so that the rest is checked all the same.
    let identity = Identity {
        name: name.unwrap_or_default(),
        age: age.unwrap_or_default(),
        gender: gender.unwrap_or(Gender::Female),
        ethnicity: reader.text("ethnicity"),
        eye_color: reader.text("eye_color"),
    };
    if let Err(problems) = validate::identity(&identity) {
        for problem in problems.0 {
            if !reader.is_faulty(&problem.field) {
                reader.fault(&problem.field, problem.message);
            }
        }
    }
    (!IDENTITY_KEYS.iter().any(|key| reader.is_faulty(key))).then_some(identity)
}
