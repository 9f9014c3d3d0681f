//! What wakes the engine: one statement for what became of running rows, one for what forbids work,
//! one for all that is due.

use super::queries::Ref;
use super::settings::{Pauses, parse};
use super::{Result, Store, StoreError, rows, table};
use crate::domain::ids::{Id, Millis};
use crate::domain::quarantine::Quarantine;
use crate::domain::work::Kind;
use sqlx::{AssertSqlSafe, FromRow};

/// The settings of the two switches ([`super::settings`]).
const SPENDING: &str = "pause.spending";
const WATCHING: &str = "pause.watching";

/// So many of the newest running jobs are looked through for one that is due: a start must not read
/// all of them.
const NEWEST: u32 = 64;
/// The kinds that the vendor works on for a while; the others end when they are accepted.
pub const WATCHED: [Kind; 4] = [Kind::Model, Kind::Training, Kind::Job, Kind::Output];

/// A running row, as far as looking at it needs.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Which.
    pub row: Ref,
    /// The vendor's id of what is asked about.
    pub remote_id: Option<String>,
    /// The vendor's word last stored.
    pub word: Option<String>,
    /// When the vendor took it.
    pub accepted_at: Option<Millis>,
    /// Where its grid starts.
    pub anchor: Millis,
    /// The first look, or the end of a back-off.
    pub due: Millis,
    /// Without flag, note or trouble: an unchanged look has nothing to write.
    pub plain: bool,
}

#[derive(FromRow)]
struct WatchedRow {
    id: String,
    remote_id: Option<String>,
    word: Option<String>,
    accepted_at: Option<Millis>,
    poll_anchor: Millis,
    due_at: Millis,
    plain: bool,
}

impl WatchedRow {
    /// A row that somebody has damaged by hand must not stop all others.
    fn read(self, kind: Kind) -> Option<Watched> {
        let Some(id) = Id::parse(&self.id) else {
            tracing::error!(%kind, id = self.id, "left alone: its id is not a UUID");
            return None;
        };
        Some(Watched {
            row: (kind, id),
            remote_id: self.remote_id,
            word: self.word,
            accepted_at: self.accepted_at,
            anchor: self.poll_anchor,
            due: self.due_at,
            plain: self.plain,
        })
    }
}

/// What became of running rows since the last look at the events.
#[derive(Debug, Default)]
pub struct Tail {
    /// The newest event.
    pub newest: i64,
    /// Rows that began or ceased to run, or that something happened to while they run.
    pub touched: Vec<Ref>,
    /// Those of them whose call was accepted.
    pub accepted: Vec<Ref>,
}

/// What forbids work.
#[derive(Debug, Default)]
pub struct Holds {
    /// The two switches.
    pub pauses: Pauses,
    /// The quarantine.
    pub quarantine: Option<Quarantine>,
}

/// How many rows of each sort a round has room for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// Calls in doubt, of each kind.
    pub looks: u32,
    /// Files to fetch.
    pub downloads: u32,
    /// Video files to have prepared.
    pub prepares: u32,
    /// Models to create; counts only while their lane is free.
    pub models: u32,
    /// Photos, of different models.
    pub uploads: u32,
    /// Trainings; count only while the paid lane is free.
    pub trainings: u32,
    /// Jobs; count only while the paid lane is free.
    pub jobs: u32,
    /// Updates and deletes.
    pub changes: u32,
}

/// What there is to do.
#[derive(Debug, Default)]
pub struct Due {
    /// Rows whose call is out.
    pub submitting: Vec<Ref>,
    /// Rows in doubt, and outputs to fetch, whose time has come.
    pub looks: Vec<Ref>,
    /// Rows that may be sent now.
    pub sends: Vec<Ref>,
    /// The earliest due time that is still to come, of anything but running rows.
    pub next: Option<Millis>,
}

/// One arm of the question: which rows, and a bound parameter with how many at most.
fn arm(class: &str, kind: Kind, what: &str, order: &str, most: &str) -> String {
    let table = table(kind);
    format!(
        "SELECT * FROM (SELECT '{class}' AS class, '{kind}' AS kind, id, due_at AS due \
         FROM {table} t WHERE {what} ORDER BY {order} LIMIT {most})"
    )
}

/// The whole question. `$1` is now; `$2` to `$9` are the fields of [`Room`] in their order. The
/// states are written out, so that the partial indexes are used.
fn due_sql() -> String {
    let by_due = "due_at, id";
    let free = |lane| {
        format!("NOT EXISTS (SELECT 1 FROM intents WHERE lane = {lane} AND lane_free_at IS NULL)")
    };
    let queued = "state = 'queued' AND due_at <= $1";
    let mut parts = Vec::new();
    let mut next = Vec::new();
    for kind in Kind::ALL {
        let table = table(kind);
        parts.push(format!(
            "SELECT 'submitting' AS class, '{kind}' AS kind, id, due_at AS due \
             FROM {table} WHERE state = 'submitting'"
        ));
        let look = "state IN ('in_doubt','collecting') AND due_at IS NOT NULL";
        let most = if kind == Kind::Output { "$3" } else { "$2" };
        parts.push(arm("look", kind, &format!("{look} AND due_at <= $1"), by_due, most));
        next.push(format!(
            "SELECT min(due_at) AS due FROM {table} WHERE state = 'queued' AND due_at > $1"
        ));
        next.push(format!("SELECT min(due_at) FROM {table} WHERE {look} AND due_at > $1"));
    }
    parts.push(arm("send", Kind::Output, queued, by_due, "$4"));
    let models = format!("{queued} AND {}", free("'models'"));
    parts.push(arm("send", Kind::Model, &models, by_due, "$5"));
    // The oldest of every model whose lane for uploads is free.
    parts.push(format!(
        "SELECT * FROM (SELECT 'send', 'upload', min(id) AS id, NULL \
         FROM uploads t INDEXED BY uploads_lane WHERE {queued} AND {} \
         GROUP BY model_id ORDER BY 3 LIMIT $6)",
        free("'uploads:' || t.model_id")
    ));
    let paid = format!("{queued} AND {}", free("'paid'"));
    parts.push(arm("send", Kind::Training, &paid, by_due, "$7"));
    parts.push(arm("send", Kind::Job, &paid, by_due, "$8"));
    // The oldest open one of every target: changes never overtake each other.
    let changes = format!(
        "{queued} AND NOT EXISTS (SELECT 1 FROM changes o WHERE o.target = t.target \
         AND o.id < t.id AND o.state IN ('queued','submitting')) AND {}",
        free("'changes:' || t.target")
    );
    parts.push(arm("send", Kind::Change, &changes, by_due, "$9"));
    parts.push(format!("SELECT 'next', '', '', min(due) FROM ({})", next.join(" UNION ALL ")));
    parts.join(" UNION ALL ")
}

fn watched_sql(kind: Kind, which: &str) -> String {
    let word = if kind == Kind::Output { "NULL" } else { "remote_status" };
    format!(
        "SELECT id, remote_id, {word} AS word, accepted_at, poll_anchor, due_at, \
         flag IS NULL AND note IS NULL AND trouble_since IS NULL AND failures = 0 AS plain \
         FROM {} t WHERE state = 'running' AND {which}",
        table(kind)
    )
}

impl Store {
    /// Running rows of a kind with an id after `after`, in the order of their ids.
    ///
    /// # Errors
    /// A database error.
    pub async fn running_page(
        &self,
        kind: Kind,
        after: Option<Id>,
        limit: u32,
    ) -> Result<(Vec<Watched>, Option<Id>)> {
        let sql = watched_sql(kind, "id > $1 ORDER BY id LIMIT $2");
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let found: Vec<WatchedRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(after)
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
        let full = u32::try_from(found.len()).is_ok_and(|count| count == limit);
        let rows: Vec<Watched> = found.into_iter().filter_map(|row| row.read(kind)).collect();
        let last = rows.last().map(|row| row.row.1).filter(|_| full);
        Ok((rows, last))
    }

    /// A job that runs and whose look is due, of the newest; none in trouble.
    ///
    /// # Errors
    /// A database error.
    pub async fn overdue_job(&self, now: Millis) -> Result<Option<Watched>> {
        let sql = watched_sql(
            Kind::Job,
            "id IN (SELECT id FROM jobs WHERE state = 'running' ORDER BY id DESC LIMIT $2) \
             AND due_at <= $1 AND remote_id IS NOT NULL AND plain ORDER BY id DESC LIMIT 1",
        );
        let found: Option<WatchedRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(now)
            .bind(NEWEST)
            .fetch_optional(self.readers())
            .await?;
        Ok(found.and_then(|row| row.read(Kind::Job)))
    }

    /// Those of the rows that run.
    ///
    /// # Errors
    /// A database error.
    pub async fn watched(&self, of: &[Ref]) -> Result<Vec<Watched>> {
        let mut out = Vec::new();
        for kind in WATCHED {
            let ids: Vec<String> =
                of.iter().filter(|row| row.0 == kind).map(|row| row.1.to_string()).collect();
            if ids.is_empty() {
                continue;
            }
            let sql = watched_sql(kind, "id IN (SELECT value FROM json_each($1))");
            let found: Vec<WatchedRow> = sqlx::query_as(AssertSqlSafe(sql))
                .bind(serde_json::json!(ids).to_string())
                .fetch_all(self.readers())
                .await?;
            out.extend(found.into_iter().filter_map(|row| row.read(kind)));
        }
        Ok(out)
    }

    /// What the events after `seq` say of running rows.
    ///
    /// # Errors
    /// A database error.
    pub async fn tail(&self, seq: i64) -> Result<Tail> {
        // One statement, so that both see the same events.
        let rows: Vec<(i64, String, String, Option<String>, String)> = sqlx::query_as(
            "SELECT coalesce(max(seq), 0) AS seq, '' AS kind, '' AS subject, NULL AS was, '' AS is_now \
             FROM events UNION ALL SELECT seq, kind, subject, from_state, to_state FROM events \
             WHERE seq > $1 AND (to_state = 'running' OR from_state = 'running')",
        )
        .bind(seq)
        .fetch_all(self.readers())
        .await?;
        let mut tail = Tail { newest: seq, ..Tail::default() };
        for (seq, kind, subject, was, is_now) in rows {
            tail.newest = tail.newest.max(seq);
            let (Some(kind), Some(id)) = (Kind::parse(&kind), Id::parse(&subject)) else {
                continue;
            };
            tail.touched.push((kind, id));
            if is_now == "running" && was.as_deref() == Some("submitting") {
                tail.accepted.push((kind, id));
            }
        }
        tail.touched.sort_unstable();
        tail.touched.dedup();
        Ok(tail)
    }

    /// Rows that the vendor has had since then or longer without saying what became of them: what
    /// runs, but no outputs, which have a limit of their own.
    ///
    /// # Errors
    /// A database error.
    pub async fn running_since(&self, then: Millis) -> Result<Vec<Ref>> {
        self.of_each("state = 'running' AND max(coalesce(accepted_at, 0), poll_anchor) <= $1", then)
            .await
    }

    /// Rows about which a person is asked although they are still watched.
    ///
    /// # Errors
    /// A database error.
    pub async fn stalled(&self) -> Result<Vec<Ref>> {
        self.of_each("state = 'attention' AND error_class = 'stalled' AND $1 = 0", 0).await
    }

    async fn of_each(&self, which: &str, bound: Millis) -> Result<Vec<Ref>> {
        let mut out = Vec::new();
        for kind in [Kind::Model, Kind::Training, Kind::Job] {
            let sql = format!("SELECT id FROM {} WHERE {which} ORDER BY id", table(kind));
            let ids: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(bound)
                .fetch_all(self.readers())
                .await?;
            for id in ids {
                out.push((kind, rows::id(&id, table(kind))?));
            }
        }
        Ok(out)
    }

    /// What forbids work right now.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn holds(&self) -> Result<Holds> {
        let found: Vec<(String, String)> = sqlx::query_as(
            "SELECT name, value FROM settings \
             WHERE name IN ('pause.spending', 'pause.watching', 'quarantine')",
        )
        .fetch_all(self.readers())
        .await?;
        let mut holds = Holds::default();
        for (name, value) in found {
            match name.as_str() {
                SPENDING => holds.pauses.spending = Some(parse(SPENDING, &value)?),
                WATCHING => holds.pauses.watching = Some(parse(WATCHING, &value)?),
                _ => holds.quarantine = Some(parse("quarantine", &value)?),
            }
        }
        Ok(holds)
    }

    /// What there is to do, up to `room`.
    ///
    /// # Errors
    /// A database error.
    pub async fn due(&self, now: Millis, room: &Room) -> Result<Due> {
        static SQL: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        let rows: Vec<(String, String, Option<String>, Option<Millis>)> =
            sqlx::query_as(AssertSqlSafe(SQL.get_or_init(due_sql).as_str()))
                .bind(now)
                .bind(room.looks)
                .bind(room.downloads)
                .bind(room.prepares)
                .bind(room.models)
                .bind(room.uploads)
                .bind(room.trainings)
                .bind(room.jobs)
                .bind(room.changes)
                .fetch_all(self.readers())
                .await?;
        let mut due = Due::default();
        for (class, kind, id, at) in rows {
            if class == "next" {
                due.next = at;
                continue;
            }
            let kind = Kind::parse(&kind).ok_or_else(|| {
                StoreError::Refused(format!("the question for due work answered {kind:?}"))
            })?;
            let row = (kind, rows::id(&id.unwrap_or_default(), table(kind))?);
            match class.as_str() {
                "submitting" => due.submitting.push(row),
                "look" => due.looks.push(row),
                _ => due.sends.push(row),
            }
        }
        Ok(due)
    }

    /// Whether fewer than `most` rows of a kind run; counts no further than that.
    ///
    /// # Errors
    /// A database error.
    pub async fn runs_fewer_than(&self, kind: Kind, most: u32) -> Result<bool> {
        let sql = format!(
            "SELECT count(*) < $1 FROM (SELECT 1 FROM {} WHERE state = 'running' LIMIT $1)",
            table(kind)
        );
        Ok(sqlx::query_scalar(AssertSqlSafe(sql)).bind(most).fetch_one(self.readers()).await?)
    }

    /// When this database was first opened by a daemon (Unix ms); looks through lists come at a
    /// whole number of steps after that, whenever the daemon was started.
    ///
    /// # Errors
    /// A database error.
    pub async fn first_boot(&self) -> Result<Millis> {
        Ok(sqlx::query_scalar("SELECT coalesce(min(started_at), 0) FROM boots WHERE seq = (SELECT min(seq) FROM boots)")
            .fetch_one(self.readers())
            .await?)
    }
}

#[cfg(test)]
#[path = "waking_tests.rs"]
mod tests;
