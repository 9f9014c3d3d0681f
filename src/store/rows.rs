//! The strict door between lifecycle columns and [`Work`].

use super::{Result, StoreError, table};
use crate::domain::event::Reason;
use crate::domain::ids::{Id, Millis};
use crate::domain::work::{Kind, State, Trouble, Work};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeSeq, Serializer};
use sqlx::{AssertSqlSafe, FromRow, SqliteConnection};

/// The lifecycle columns of any of the six tables, as they are stored.
#[derive(Debug, FromRow, Deserialize)]
struct LifecycleRow {
    id: String,
    state: String,
    due_at: Option<Millis>,
    waiting_for: i64,
    intent: Option<i64>,
    attempt: i64,
    failures: i64,
    absences: i64,
    version: i64,
    remote_id: Option<String>,
    accepted_at: Option<Millis>,
    poll_anchor: Option<Millis>,
    trouble_since: Option<Millis>,
    cancel_requested_at: Option<Millis>,
    flag: Option<String>,
    note: Option<String>,
    error: Option<String>,
    error_class: Option<String>,
    finished_at: Option<Millis>,
}

/// A loaded row and the version it was loaded at.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The lifecycle.
    pub work: Work,
    /// For the guard of the update.
    pub version: i64,
}

/// Reads an id column.
pub(crate) fn id(text: &str, table: &'static str) -> Result<Id> {
    Id::parse(text).ok_or_else(|| StoreError::Corrupt {
        table,
        row: text.to_owned(),
        problem: "its id is not a UUID".to_owned(),
    })
}

fn count(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

impl LifecycleRow {
    fn state(&self, kind: Kind) -> Option<State> {
        let waiting_for = count(self.waiting_for);
        Some(match (self.state.as_str(), self.due_at, self.intent, self.finished_at) {
            ("waiting", None, None, None) => State::Waiting { parents: waiting_for },
            ("queued", Some(due), None, None) => State::Queued { due },
            ("submitting", None, Some(intent), None) => State::Submitting { intent },
            ("in_doubt", Some(due), Some(intent), None) => State::InDoubt { intent, due },
            ("running", Some(due), None, None) => State::Running { due },
            ("collecting", None, None, None) if kind == Kind::Job => {
                State::Collecting { missing: waiting_for }
            }
            ("collecting", Some(due), None, None) if kind == Kind::Output => {
                State::Fetching { due }
            }
            ("attention", None, None, None) => State::Attention { missing: waiting_for },
            ("succeeded", None, None, Some(at)) => State::Succeeded { at },
            ("failed", None, None, Some(at)) => State::Failed { at },
            ("cancelled", None, None, Some(at)) => State::Cancelled { at },
            _ => return None,
        })
    }

    fn into_loaded(self, kind: Kind) -> Result<Loaded> {
        let corrupt = |problem: String| StoreError::Corrupt {
            table: table(kind),
            row: self.id.clone(),
            problem,
        };
        let state = self.state(kind).ok_or_else(|| {
            corrupt(format!(
                "state {} does not go with due_at {:?}, intent {:?}, finished_at {:?}",
                self.state, self.due_at, self.intent, self.finished_at
            ))
        })?;
        let error = match (&self.error, &self.error_class) {
            (None, None) => None,
            (Some(message), Some(class)) => Some(Trouble {
                reason: Reason::parse(class)
                    .ok_or_else(|| corrupt(format!("unknown error_class {class}")))?,
                message: message.clone(),
            }),
            _ => return Err(corrupt("error without error_class".to_owned())),
        };
        let work = Work {
            id: id(&self.id, table(kind))?,
            kind,
            state,
            attempt: count(self.attempt),
            failures: count(self.failures),
            absences: count(self.absences),
            remote_id: self.remote_id,
            accepted_at: self.accepted_at,
            poll_anchor: self.poll_anchor,
            trouble_since: self.trouble_since,
            cancel_requested_at: self.cancel_requested_at,
            flag: self.flag,
            note: self.note,
            error,
        };
        Ok(Loaded { work, version: self.version })
    }
}

/// The columns of [`LifecycleRow`].
const COLUMNS: &str = "id, state, due_at, waiting_for, intent, attempt, failures, absences, \
    version, remote_id, accepted_at, poll_anchor, trouble_since, cancel_requested_at, flag, note, \
    error, error_class, finished_at";

/// Loads one row's lifecycle.
///
/// # Errors
/// [`StoreError::NotFound`], or [`StoreError::Corrupt`] for a combination the code never writes.
pub async fn load(conn: &mut SqliteConnection, kind: Kind, id: Id) -> Result<Loaded> {
    let sql = format!("SELECT {COLUMNS} FROM {} WHERE id = $1", table(kind));
    sqlx::query_as::<_, LifecycleRow>(AssertSqlSafe(sql))
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| StoreError::NotFound(kind.as_str(), id.to_string()))?
        .into_loaded(kind)
}

/// Loads the rows of these ids (a JSON array), as far as they are there and can be read.
///
/// # Errors
/// A database error.
pub(super) async fn load_many(
    conn: &mut SqliteConnection,
    kind: Kind,
    ids: &str,
) -> Result<Vec<Loaded>> {
    let sql = format!(
        "SELECT json_group_array(json_array({COLUMNS})) FROM {} \
         WHERE id IN (SELECT value FROM json_each($1))",
        table(kind)
    );
    let found: Vec<LifecycleRow> = at_once(conn, sql, ids).await?;
    Ok(found.into_iter().filter_map(|row| row.into_loaded(kind).ok()).collect())
}

/// Runs a query that puts all its rows into one value, as a JSON array of arrays: each row by
/// itself would cost a hand-over from the driver's thread.
///
/// # Errors
/// A database error, or [`StoreError::Corrupt`] when a row has another shape.
pub(super) async fn at_once<T: DeserializeOwned>(
    conn: &mut SqliteConnection,
    sql: String,
    parameter: &str,
) -> Result<Vec<T>> {
    let rows: String =
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(parameter).fetch_one(conn).await?;
    serde_json::from_str(&rows).map_err(|error| StoreError::Corrupt {
        table: "a query",
        row: "all of them".to_owned(),
        problem: error.to_string(),
    })
}

/// Which of a lifecycle's columns an update writes. Every column that is named in an update costs
/// its checks and the entries of its indexes, whether its value is another one or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Parts {
    /// What the vendor's acceptance brings.
    pub(super) acceptance: bool,
    /// What is said to people, and what went wrong.
    pub(super) remarks: bool,
}

impl Parts {
    /// Every combination.
    #[cfg(test)]
    pub(super) const ALL: [Self; 4] = [
        Self { acceptance: false, remarks: false },
        Self { acceptance: false, remarks: true },
        Self { acceptance: true, remarks: false },
        Self { acceptance: true, remarks: true },
    ];

    /// What has to be written for `after` where the file holds `before`.
    pub(super) fn changed(before: &Work, after: &Work) -> Self {
        // All fields by name, so that a new one has to be thought of here.
        let Work {
            id: _,
            kind: _,
            state: _,
            attempt: _,
            failures: _,
            absences: _,
            remote_id,
            accepted_at,
            poll_anchor,
            trouble_since,
            cancel_requested_at,
            flag,
            note,
            error,
        } = before;
        Self {
            acceptance: *remote_id != after.remote_id
                || *accepted_at != after.accepted_at
                || *poll_anchor != after.poll_anchor,
            remarks: *trouble_since != after.trouble_since
                || *cancel_requested_at != after.cancel_requested_at
                || *flag != after.flag
                || *note != after.note
                || *error != after.error,
        }
    }

    /// The columns of [`Stored`] behind the id and the version in the file, in its order.
    pub(super) fn columns(self) -> impl Iterator<Item = &'static str> {
        let always = [
            "version",
            "state",
            "due_at",
            "waiting_for",
            "intent",
            "attempt",
            "failures",
            "absences",
            "finished_at",
            "updated_at",
        ];
        let acceptance = ["remote_id", "accepted_at", "poll_anchor"];
        let remarks =
            ["trouble_since", "cancel_requested_at", "flag", "note", "error", "error_class"];
        let acceptance = acceptance.into_iter().filter(move |_| self.acceptance);
        let remarks = remarks.into_iter().filter(move |_| self.remarks);
        always.into_iter().chain(acceptance).chain(remarks)
    }
}

/// A changed lifecycle as it is written back, if the row has the version in the file still; the
/// statement is in `src/store/pending.rs`.
pub(super) struct Stored<'a> {
    pub(super) row: &'a Loaded,
    pub(super) loaded_version: i64,
    pub(super) now: Millis,
    pub(super) parts: Parts,
}

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Loaded { work, version } = self.row;
        let mut row = serializer.serialize_seq(None)?;
        row.serialize_element(&work.id)?;
        row.serialize_element(&self.loaded_version)?;
        row.serialize_element(version)?;
        row.serialize_element(work.state.as_str())?;
        row.serialize_element(&work.state.due())?;
        row.serialize_element(&work.state.waiting_for())?;
        row.serialize_element(&work.state.intent())?;
        row.serialize_element(&work.attempt)?;
        row.serialize_element(&work.failures)?;
        row.serialize_element(&work.absences)?;
        row.serialize_element(&work.state.finished_at())?;
        row.serialize_element(&self.now)?;
        if self.parts.acceptance {
            row.serialize_element(&work.remote_id)?;
            row.serialize_element(&work.accepted_at)?;
            row.serialize_element(&work.poll_anchor)?;
        }
        if self.parts.remarks {
            row.serialize_element(&work.trouble_since)?;
            row.serialize_element(&work.cancel_requested_at)?;
            row.serialize_element(&work.flag)?;
            row.serialize_element(&work.note)?;
            row.serialize_element(&work.error.as_ref().map(|error| error.message.as_str()))?;
            row.serialize_element(&work.error.as_ref().map(|error| error.reason.as_str()))?;
        }
        row.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const ALL: Parts = Parts { acceptance: true, remarks: true };

    /// What is written of a row, by the names of the columns.
    fn written(work: &Work, parts: Parts) -> Vec<(&'static str, Value)> {
        let row = Loaded { work: work.clone(), version: 3 };
        let stored = Stored { row: &row, loaded_version: 2, now: 7, parts };
        let Ok(Value::Array(values)) = serde_json::to_value(stored) else { panic!("an array") };
        assert_eq!(values.len(), 2 + parts.columns().count(), "the id, the version in the file");
        parts.columns().zip(values.into_iter().skip(2)).collect()
    }

    /// A column that an update leaves out has the value that it has in the file.
    #[test]
    fn what_changes_is_written() {
        let id = Id(uuid::Uuid::from_u128(1));
        let before = Work::new(id, Kind::Job, State::Queued { due: 5 });
        let changes: [fn(&mut Work); 16] = [
            |work| work.state = State::Submitting { intent: 4 },
            |work| work.state = State::Queued { due: 6 },
            |work| work.state = State::Waiting { parents: 2 },
            |work| work.state = State::Failed { at: 9 },
            |work| work.attempt = 1,
            |work| work.failures = 1,
            |work| work.absences = 1,
            |work| work.remote_id = Some("r".to_owned()),
            |work| work.accepted_at = Some(1),
            |work| work.poll_anchor = Some(1),
            |work| work.trouble_since = Some(1),
            |work| work.cancel_requested_at = Some(1),
            |work| work.flag = Some("slow".to_owned()),
            |work| work.note = Some("again".to_owned()),
            |work| {
                let message = "no".to_owned();
                work.error = Some(Trouble { reason: Reason::Refused, message });
            },
            |work| *work = Work::new(work.id, Kind::Job, work.state),
        ];
        for first in changes {
            for second in changes {
                let mut from = before.clone();
                first(&mut from);
                let mut to = from.clone();
                second(&mut to);
                for (before, after) in [(&from, &to), (&to, &from)] {
                    let parts = Parts::changed(before, after);
                    let named = written(after, parts);
                    let whole = written(after, ALL);
                    for ((name, old), (_, new)) in written(before, ALL).into_iter().zip(whole) {
                        let found = named.iter().find(|(named, _)| *named == name);
                        match found {
                            Some((_, value)) => assert_eq!(*value, new, "{name}"),
                            None => assert_eq!(old, new, "{name} is left out"),
                        }
                    }
                }
            }
        }
        assert_eq!(Parts::changed(&before, &before), Parts::ALL[0]);
    }
}
