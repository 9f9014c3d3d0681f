//! The document as it is served: what the operations bring, and what holds for all of them.

use super::rows;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

const ABOUT: &str = "Everything that the command line can do, as JSON over HTTP.\n\n\
    Every request carries `Authorization: Bearer TOKEN`; `darkroom token` prints the token. Times \
    are RFC 3339 in UTC. Ids in paths may be shortened to a unique beginning. Lists are newest \
    first; `next_cursor` is the `cursor` of the next page, null on the last one. Work is accepted \
    (202) once it is stored: it survives everything from then on, and the daemon carries it out. \
    Refusals are problem details (RFC 9457): `detail` says in one sentence what is wrong and what \
    to do.";

const TAGS: [(&str, &str); 9] = [
    ("models", "Trained people."),
    ("uploads", "Photos on their way to a model."),
    ("trainings", "Trainings of models."),
    ("jobs", "Images, upscales and videos."),
    ("outputs", "Produced files."),
    ("changes", "Updates and deletes of models."),
    ("runs", "Executions of recipes."),
    ("events", "What happened, in its order."),
    ("daemon", "The daemon itself: health, pauses, the book of paid calls."),
];

/// The document in JSON.
pub fn finish(collected: &OpenApi) -> Value {
    let mut document = serde_json::to_value(collected).unwrap_or_default();
    let Some(root) = document.as_object_mut() else { return document };
    root.insert("openapi".to_owned(), json!("3.1.0"));
    root.insert("info".to_owned(), info());
    root.insert("security".to_owned(), json!([{ "token": [] }]));
    let tags: Vec<Value> = TAGS.iter().map(|(name, says)| tag(name, says)).collect();
    root.insert("tags".to_owned(), Value::Array(tags));
    let components = root.entry("components").or_insert_with(|| json!({}));
    if let Some(components) = components.as_object_mut() {
        components.insert("securitySchemes".to_owned(), security());
        let schemas = components.entry("schemas").or_insert_with(|| json!({}));
        if let Some(schemas) = schemas.as_object_mut() {
            schemas.insert("Problem".to_owned(), problem());
            rows::split(schemas);
            sort(schemas);
        }
    }
    document
}

fn info() -> Value {
    json!({
        "title": "darkroom",
        "version": env!("CARGO_PKG_VERSION"),
        "description": ABOUT,
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    })
}

fn tag(name: &str, says: &str) -> Value {
    json!({ "name": name, "description": says })
}

fn security() -> Value {
    json!({ "token": {
        "type": "http", "scheme": "bearer",
        "description": "The local token; `darkroom token` prints it.",
    } })
}

/// As [`crate::http::refusal::Refusal`] writes it.
fn problem() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "description": "Why a request was refused (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": text, "title": text,
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What is wrong and what to do." },
            "errors": { "type": "array", "items": {
                "type": "object", "required": ["field", "message"],
                "properties": { "field": text, "message": text },
            } },
        },
    })
}

fn sort(object: &mut Map<String, Value>) {
    let mut entries: Vec<(String, Value)> = std::mem::take(object).into_iter().collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    object.extend(entries);
}
