//! The JSON objects that commands print: the store's [`Item`], perhaps with further fields.

use super::CliError;
use crate::store::report::Item;
use serde_json::{Map, Value};

/// The object of one row with further fields; the row's own fields win.
///
/// # Errors
/// Never in practice: every item is an object.
pub fn object(item: &Item, extra: Map<String, Value>) -> Result<Value, CliError> {
    let mut value = serde_json::to_value(item)
        .map_err(|error| CliError::Error(format!("a row is not JSON: {error}")))?;
    if let Value::Object(object) = &mut value {
        for (name, field) in extra {
            if object.get(&name).is_none_or(Value::is_null) {
                object.insert(name, field);
            }
        }
    }
    Ok(value)
}

/// One object for one row, an array for several.
pub fn one_or_many(mut values: Vec<Value>, several: bool) -> Value {
    if several || values.len() != 1 {
        return Value::Array(values);
    }
    values.pop().unwrap_or(Value::Null)
}
