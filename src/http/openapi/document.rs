//! The document as it is served: what the operations bring, and what holds for all of them.

use super::rows;
use crate::http::guard::Scope;
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

/// The document in JSON, from its parts and the scope that a token needs for each.
pub fn finish(parts: impl IntoIterator<Item = (Scope, OpenApi)>) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for (scope, part) in parts {
        let part = serde_json::to_value(part).unwrap_or_default();
        for (path, methods) in objects(&part, "/paths") {
            let place = paths.entry(path).or_insert_with(|| json!({}));
            let Value::Object(methods) = methods else { continue };
            for (method, mut operation) in methods {
                operation["x-scope"] = json!(scope.to_string());
                place[method] = operation;
            }
        }
        schemas.extend(objects(&part, "/components/schemas"));
    }
    schemas.insert("Problem".to_owned(), problem());
    schemas.iter_mut().for_each(|(name, schema)| whole(name, schema));
    rows::split(&mut schemas);
    sort(&mut paths);
    sort(&mut schemas);
    let tags: Vec<Value> = TAGS.iter().map(|(name, says)| tag(name, says)).collect();
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "security": [{ "token": [] }],
        "tags": tags,
        "paths": paths,
        "components": { "securitySchemes": security(), "schemas": schemas },
    })
}

fn objects(part: &Value, place: &str) -> Map<String, Value> {
    part.pointer(place).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// What we answer has every field, with null where there is nothing to say.
fn whole(name: &str, schema: &mut Value) {
    // What is sent to us, and what is put together elsewhere.
    if name.ends_with("Body") || ["Identity", "Problem", "Item", "Detail"].contains(&name) {
        return;
    }
    let fields = schema.get("properties").and_then(Value::as_object);
    let fields: Option<Vec<Value>> = fields.map(|all| all.keys().map(|name| json!(name)).collect());
    if let (Some(fields), Some(schema)) = (fields, schema.as_object_mut()) {
        schema.insert("required".to_owned(), Value::Array(fields));
    }
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
        "description": "The local token; `darkroom token` prints it. `x-scope` of an operation is \
                        the least scope that it needs: read, submit or admin.",
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
