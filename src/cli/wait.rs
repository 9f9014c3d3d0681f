//! Waiting for work to end. (Stands in for the real one until the commands that read are merged.)

use super::context::TailArgs;
use super::{CliError, Context, exit, out};
use crate::domain::ids::Id;
use crate::store::Store;
use serde_json::{Map, Value, json};

/// Prints what was submitted.
///
/// # Errors
/// When stdout cannot be written.
pub async fn tail(
    ctx: &Context,
    _store: &Store,
    subject_kind: &str,
    id: Id,
    extra: Map<String, Value>,
    _tail: &TailArgs,
) -> Result<u8, CliError> {
    if ctx.global.json {
        let mut object = Map::new();
        object.insert("id".to_owned(), json!(id));
        object.insert("kind".to_owned(), json!(subject_kind));
        object.extend(extra);
        out::line(&Value::Object(object).to_string())?;
    } else {
        out::line(&id.to_string())?;
    }
    Ok(exit::DONE)
}
