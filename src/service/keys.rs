//! What makes two requests the same.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The longest key. Ours: a key names one piece of work, it does not describe it.
pub const MAX_KEY_CHARS: usize = 200;

/// Whether a text can be a key: 1 to [`MAX_KEY_CHARS`] characters on one line.
pub fn is_key(text: &str) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= MAX_KEY_CHARS
        && !text.chars().any(char::is_control)
}

/// Hash of a request to `command`, in lower-case hex; the order of keys in objects does not count.
pub fn hash(command: &str, request: &Value) -> String {
    let text = json!({ "command": command, "request": sorted(request) }).to_string();
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The same value with all keys in order, so that equal requests have equal texts.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries = entries.into_iter().map(|(k, v)| (k.clone(), sorted(v)));
            Value::Object(entries.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_keys() {
        let a: Value = serde_json::from_str(r#"{"a":1,"b":{"c":[1,2],"d":null}}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"b":{"d":null,"c":[1,2]},"a":1}"#).unwrap();
        assert_eq!(hash("image", &a), hash("image", &b));
        assert_ne!(hash("image", &a), hash("video", &a));
        assert_ne!(hash("image", &a), hash("image", &json!({"a": 1})));
    }

    #[test]
    fn a_key_is_one_short_line() {
        assert!(is_key("order-17"));
        assert!(!is_key(" ") && !is_key("a\nb") && !is_key(&"x".repeat(MAX_KEY_CHARS + 1)));
    }
}
