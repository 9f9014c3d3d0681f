//! One schema per kind of row. A row is one type in the code, whose last part differs by kind; in
//! the document each kind has a schema of its own, made of that type's, so that a reader sees just
//! the fields that are there.

use crate::store::report::Noun;
use serde_json::{Map, Value, json};

/// The name of a kind's schema: `JobItem`.
pub fn schema_name(noun: Noun) -> String {
    let word = noun.as_str();
    let (first, rest) = word.split_at(1);
    format!("{}{rest}Item", first.to_ascii_uppercase())
}

/// Replaces the schemas `Item` and `Detail` by one per kind, and `Item` by the choice among them.
pub(super) fn split(schemas: &mut Map<String, Value>) {
    let (Some(item), Some(detail)) = (schemas.remove("Item"), schemas.remove("Detail")) else {
        return;
    };
    let parts = item.get("allOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let base = parts.iter().find_map(|part| part.get("properties")).and_then(Value::as_object);
    let details = detail.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    for (noun, own) in Noun::ALL.into_iter().zip(&details) {
        let mut properties = base.cloned().unwrap_or_default();
        let own_properties = own.get("properties").and_then(Value::as_object);
        properties.extend(own_properties.cloned().unwrap_or_default());
        properties.insert("kind".to_owned(), json!({ "type": "string", "enum": [noun.as_str()] }));
        // Every field is there, with null where there is nothing to say; lists leave members out.
        let required: Vec<String> =
            properties.keys().filter(|name| *name != "members").cloned().collect();
        if let Some(members) = properties.get_mut("members") {
            *members = json!({ "type": "array", "items": reference("Item"),
                "description": "Everything in it; left out of lists." });
        }
        let says = own.get("description").cloned().unwrap_or_default();
        let schema = json!({ "type": "object", "description": says, "required": required,
            "properties": properties });
        schemas.insert(schema_name(noun), schema);
    }
    let mapping: Map<String, Value> = Noun::ALL
        .into_iter()
        .map(|noun| {
            let place = format!("#/components/schemas/{}", schema_name(noun));
            (noun.as_str().to_owned(), Value::String(place))
        })
        .collect();
    let choice: Vec<Value> = Noun::ALL.into_iter().map(|n| reference(&schema_name(n))).collect();
    let item = json!({ "description": "A row of any kind.", "oneOf": choice,
        "discriminator": { "propertyName": "kind", "mapping": mapping } });
    schemas.insert("Item".to_owned(), item);
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
