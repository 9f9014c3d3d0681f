//! The description against what is served.

use super::quiet;
use serde_json::Value;
use std::collections::BTreeSet;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let mut out = Vec::new();
    for (path, item) in paths {
        for method in METHODS {
            if !item[method].is_null() {
                out.push((path.clone(), method.to_owned(), item[method].clone()));
            }
        }
    }
    out
}

#[test]
fn what_is_described_is_served_and_nothing_else() {
    let world = quiet();
    let document = world.read("/v1/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let described: BTreeSet<(String, String)> =
        operations(&document).into_iter().map(|(path, method, _)| (path, method)).collect();
    assert!(described.len() > 60, "{}", described.len());
    let paths: BTreeSet<&String> = described.iter().map(|(path, _)| path).collect();
    for path in paths {
        let address = path.replace("{id}", "none");
        for method in METHODS {
            let reply = world.ask(&method.to_ascii_uppercase(), &address).send();
            let known = described.contains(&(path.clone(), method.to_owned()));
            assert_eq!(reply.status != 405, known, "{method} {path}: {}", reply.status);
            if known && reply.status == 404 {
                let detail = reply.body["detail"].as_str().unwrap();
                assert!(!detail.contains("there is nothing at"), "{method} {path}: {detail}");
            }
            let stated = &document["paths"][path.as_str()][method]["responses"];
            let status = reply.status.to_string();
            assert!(!known || !stated[&status].is_null(), "{method} {path} says {status}");
        }
    }
}

#[test]
fn every_operation_needs_the_scope_that_it_says() {
    let world = quiet();
    for (path, method, operation) in operations(&world.read("/v1/openapi.json")) {
        let address = path.replace("{id}", "none");
        let ask = |scope| {
            let method = method.to_ascii_uppercase();
            world.ask(&method, &address).scope(scope).send()
        };
        let needs = operation["x-scope"].as_str().unwrap();
        let (lesser, words) = match needs {
            "admin" => ("submit", "scope admin"),
            "submit" => ("read", "scope submit"),
            "read" => {
                assert_ne!(ask("read").status, 403, "{method} {path}");
                assert_eq!(method, "get", "{path}");
                continue;
            }
            other => panic!("{method} {path} needs {other}"),
        };
        ask(lesser).refused(403, &[words]);
        assert_ne!(ask(needs).status, 403, "{method} {path}");
    }
}

#[test]
fn every_operation_says_what_it_takes_and_answers() {
    let world = quiet();
    let document = world.read("/v1/openapi.json");
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} is there twice");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{id}");
        assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{id}");
        for status in ["400", "401", "403", "429", "500", "503"] {
            let content = &operation["responses"][status]["content"];
            assert!(!content["application/problem+json"].is_null(), "{id} {status}");
        }
        let has_id = path.contains("{id}");
        assert_eq!(!operation["responses"]["409"].is_null() && has_id, has_id, "{id}");
        let names: Vec<&str> = operation["parameters"]
            .as_array()
            .map(|all| all.iter().map(|one| one["name"].as_str().unwrap()).collect())
            .unwrap_or_default();
        assert_eq!(names.contains(&"id"), has_id, "{id}");
        assert_eq!(names.contains(&"Idempotency-Key"), method != "get", "{id}");
    }
    for (name, schema) in schemas {
        if name.ends_with("Body") && name != "JobBody" {
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }
    references(&document, &|name| assert!(schemas.contains_key(name), "{name} is not there"));
}

/// Calls `look` for every name of a schema that is referred to.
fn references(value: &Value, look: &impl Fn(&str)) {
    match value {
        Value::Object(object) => {
            if let Some(place) = object.get("$ref").and_then(Value::as_str) {
                look(place.strip_prefix("#/components/schemas/").unwrap());
            }
            object.values().for_each(|value| references(value, look));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, look)),
        _ => {}
    }
}

/// The fields of real rows are just those that are described for their kind.
#[test]
fn rows_have_the_fields_that_are_described() {
    let world = crate::support::World::started(&[], "");
    let recipe = "[[step]]\nname = \"hero\"\ntype = \"image\"\nmodel = \"nanobanana\"\n\
                  prompt = \"a bottle\"\n";
    world.post("/v1/runs", serde_json::json!({ "recipe": recipe })).with(202);
    world.until("select state from jobs", "succeeded");
    world.order_training("Anna");
    let change = serde_json::json!({ "age": 31 });
    world.ask("PATCH", "/v1/models/Anna").json(change).send().with(202);
    let document = world.read("/v1/openapi.json");
    let schemas = &document["components"]["schemas"];
    for (plural, name) in [
        ("models", "ModelItem"),
        ("uploads", "UploadItem"),
        ("trainings", "TrainingItem"),
        ("jobs", "JobItem"),
        ("outputs", "OutputItem"),
        ("changes", "ChangeItem"),
        ("runs", "RunItem"),
    ] {
        let row = world.read(&format!("/v1/{plural}?limit=1"))["items"][0].clone();
        let there: BTreeSet<&String> = row.as_object().unwrap().keys().collect();
        let required = schemas[name]["required"].as_array().unwrap();
        let described: BTreeSet<String> =
            required.iter().map(|field| field.as_str().unwrap().to_owned()).collect();
        assert_eq!(there, described.iter().collect(), "{name}");
    }
}
