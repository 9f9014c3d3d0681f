//! `--set path=json`: one further body field, given on the command line.

use super::{Problem, text};
use serde_json::{Map, Value};

/// The deepest path. Ours: the vendor's bodies have three levels, and an unbounded path would
/// build a value too deep to be dropped safely.
const MAX_SEGMENTS: usize = 16;

/// Puts one `path=value` into `target`, for example `options.veo.duration=8`.
///
/// The value is JSON; a bare word that is not JSON is taken as text (`720p`, `16:9`). Setting the
/// same plain value again replaces it. A path through a plain value or a list, and a value in
/// place of a whole table, would lose what is there and are refused; `target` is then unchanged.
pub fn set_path(target: &mut Map<String, Value>, assignment: &str) -> Result<(), Problem> {
    let Some((path, value)) = assignment.split_once('=') else {
        let quoted = text::quote(assignment);
        return Err(Problem::new("set", format!("{quoted} has no `=`: write it as path=value")));
    };
    let path = path.trim();
    let segments: Vec<&str> = path.split('.').collect();
    if segments.iter().any(|segment| segment.trim().is_empty()) {
        let quoted = text::quote(path);
        return Err(Problem::new(
            "set",
            format!("the path {quoted} has an empty part: write names joined by single dots"),
        ));
    }
    if segments.len() > MAX_SEGMENTS {
        return Err(Problem::new(
            "set",
            format!("the path has more than {MAX_SEGMENTS} parts: nest it less"),
        ));
    }
    let value = parse_value(path, value.trim())?;
    insert(target, &segments, value)
}

/// JSON, or a bare word as text.
fn parse_value(path: &str, value: &str) -> Result<Value, Problem> {
    if value.is_empty() {
        return Err(Problem::new(
            text::printable(path),
            "no value follows the `=`: write one, or \"\" for an empty text",
        ));
    }
    match serde_json::from_str(value) {
        Ok(value) => Ok(value),
        Err(error) if value.starts_with(['{', '[', '"']) => Err(Problem::new(
            text::printable(path),
            format!("the value looks like JSON but is broken ({error}): check quotes and brackets"),
        )),
        Err(_) => Ok(Value::String(value.to_owned())),
    }
}

fn insert(target: &mut Map<String, Value>, segments: &[&str], value: Value) -> Result<(), Problem> {
    check(target, segments)?;
    let mut level = target;
    let Some((last, parents)) = segments.split_last() else {
        return Ok(());
    };
    for segment in parents {
        let slot = level.entry((*segment).to_owned()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = slot else {
            return Err(conflict(segments, segment, slot));
        };
        level = inner;
    }
    level.insert((*last).to_owned(), value);
    Ok(())
}

/// Refuses before anything is changed.
fn check(target: &Map<String, Value>, segments: &[&str]) -> Result<(), Problem> {
    let mut level = target;
    for (n, segment) in segments.iter().enumerate() {
        let last = n + 1 == segments.len();
        match level.get(*segment) {
            None => return Ok(()),
            Some(Value::Object(_)) if last => {
                let path = text::printable(&segments.join("."));
                return Err(Problem::new(
                    path.as_str(),
                    format!("`{path}` already holds fields: set them one by one as `{path}.NAME`"),
                ));
            }
            Some(Value::Object(inner)) => level = inner,
            Some(_) if last => return Ok(()),
            Some(other) => return Err(conflict(segments, segment, other)),
        }
    }
    Ok(())
}

fn conflict(segments: &[&str], segment: &str, found: &Value) -> Problem {
    let path = text::printable(&segments.join("."));
    let kind = match found {
        Value::Array(_) => "a list",
        _ => "a plain value",
    };
    let segment = text::quote(segment);
    Problem::new(
        path.as_str(),
        format!("`{path}` cannot be set because {segment} is {kind}: remove one of the two"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(assignments: &[&str]) -> Result<Value, Problem> {
        let mut target = Map::new();
        for assignment in assignments {
            set_path(&mut target, assignment)?;
        }
        Ok(Value::Object(target))
    }

    #[test]
    fn values_are_json_or_bare_words() {
        let got = set(&[
            "options.veo.duration=8",
            "options.veo.resolution=720p",
            "options.veo.aspectRatio = 16:9",
            "options.veo.generateAudio=true",
            "options.veo.negativePrompt=\"8\"",
            "elementIDs=[\"a\",\"b=c\"]",
            "note=a=b",
        ]);
        let want = json!({
            "options": {"veo": {"duration": 8, "resolution": "720p", "aspectRatio": "16:9",
                                "generateAudio": true, "negativePrompt": "8"}},
            "elementIDs": ["a", "b=c"],
            "note": "a=b",
        });
        assert_eq!(got, Ok(want));
    }

    #[test]
    fn a_plain_value_may_be_set_again() {
        assert_eq!(set(&["seed=1", "seed=2"]), Ok(json!({"seed": 2})));
    }

    #[test]
    fn nothing_is_lost_silently() {
        for conflict in [
            ["options=3", "options.veo.duration=8"],
            ["options=[1]", "options.veo=8"],
            ["options.veo.duration=8", "options.veo={}"],
            ["options.veo.duration=8", "options=null"],
        ] {
            assert!(set(&conflict).is_err(), "{conflict:?}");
        }
        let message = set(&["options=3", "options.veo.duration=8"]).unwrap_err().message;
        assert_eq!(
            message,
            "`options.veo.duration` cannot be set because `options` is a plain value: \
             remove one of the two"
        );
    }

    #[test]
    fn malformed_assignments_are_named() {
        for wrong in ["", "seed", "=1", "a..b=1", ".a=1", "a.=1", "seed=", "a={\"b\"", "a=[1"] {
            assert!(set(&[wrong]).is_err(), "{wrong:?}");
        }
        let deep = format!("{}=1", vec!["a"; 100_000].join("."));
        assert!(set(&[&deep]).is_err());
    }
}
