//! Inside the shared transaction: what is known, what has changed, what is still to be written.
//!
//! The writes of a batch work on rows in memory. [`Tx::load`] reads a row at most once per batch
//! (all that the batch is about by one statement, see [`Tx::prefetch`]), [`Tx::store`] and its like
//! put their statements off ([`Pending`]), and before the commit everything that was put off is
//! carried out, one statement per kind of row.
//!
//! A statement that is run by itself asks for the connection and says what it needs:
//!
//! - [`Tx::conn`]: any statement. What was put off is carried out first, and nothing stays known.
//! - [`Tx::aside`]: one that neither reads nor changes what may be put off or known.

use super::pending::Pending;
use super::rows::{self, Loaded, Parts, Stored};
use super::{Result, StoreError};
use crate::domain::ids::{Id, Millis};
use crate::domain::quarantine::Quarantine;
use crate::domain::work::{Kind, State, Work};
use serde::Serialize;
use sqlx::SqliteConnection;
use std::collections::{HashMap, HashSet};

/// A row and the kind that says which table.
pub(super) type Ref = (Kind, Id);

/// A row as the batch knows it.
#[derive(Debug)]
struct Known {
    now: Loaded,
    /// The row in the file, if it has changed since.
    dirty: Option<Box<Loaded>>,
}

/// The next intent and what it is held against.
#[derive(Debug)]
pub(super) struct Calls {
    /// The newest intent's number.
    pub(super) last: i64,
    /// The newest listed job's number.
    pub(super) listed: i64,
    /// Lanes with a call that is out.
    pub(super) open: HashSet<String>,
}

/// What a batch knows and has put off. Belongs to one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) pending: Pending,
    rows: HashMap<Ref, Known>,
    /// Rows whose insert was put off.
    made: HashSet<Ref>,
    /// Changed rows in the order of their first change.
    changed: Vec<Ref>,
    /// Whom the end of a row is news for, where that was looked up.
    children: HashMap<Id, Vec<Ref>>,
    /// The job of an output.
    jobs: HashMap<Id, Id>,
    /// The lane of an intent.
    lanes: HashMap<i64, String>,
    calls: Option<Calls>,
    spending_paused: Option<bool>,
    quarantine: Option<Option<Quarantine>>,
    /// The newest entry of the chain; nothing but this batch appends to it.
    pub(super) chain_tip: Option<(i64, String)>,
    /// What makes a trained model usable.
    pub(super) usable: HashMap<Id, Ref>,
    /// Keys whose replies are put off.
    pub(super) replied: HashSet<(&'static str, String)>,
    /// Whether anything was done that only a rollback undoes.
    touched: bool,
}

impl Batch {
    fn forget(&mut self) {
        self.rows.clear();
        self.children.clear();
        self.jobs.clear();
        self.lanes.clear();
        self.calls = None;
        self.spending_paused = None;
        self.quarantine = None;
        self.usable.clear();
        self.replied.clear();
    }
}

/// Where a write works: inside the shared transaction, at one moment.
pub struct Tx<'a> {
    conn: &'a mut SqliteConnection,
    /// The time of this transaction.
    pub now: Millis,
    batch: &'a mut Batch,
}

impl<'a> Tx<'a> {
    pub(super) fn new(conn: &'a mut SqliteConnection, now: Millis, batch: &'a mut Batch) -> Self {
        Self { conn, now, batch }
    }

    /// The connection, for any statement.
    ///
    /// # Errors
    /// What carrying out the statements that were put off came to.
    pub(super) async fn conn(&mut self) -> Result<&mut SqliteConnection> {
        self.flush().await?;
        self.batch.forget();
        self.batch.touched = true;
        Ok(&mut *self.conn)
    }

    /// The connection, for a statement that only reads.
    ///
    /// # Errors
    /// What carrying out the statements that were put off came to.
    pub(super) async fn reading(&mut self) -> Result<&mut SqliteConnection> {
        self.flush().await?;
        Ok(&mut *self.conn)
    }

    /// The connection, for a statement that reads only what nothing of a batch ever puts off.
    pub(super) fn aside(&mut self) -> &mut SqliteConnection {
        &mut *self.conn
    }

    /// The same for a statement that changes only what nothing of a batch ever puts off or knows.
    pub(super) fn aside_to_write(&mut self) -> &mut SqliteConnection {
        self.batch.touched = true;
        &mut *self.conn
    }

    /// What is put off, to add to it.
    pub(super) fn pending(&mut self) -> &mut Pending {
        self.batch.touched = true;
        &mut self.batch.pending
    }

    /// What is known.
    pub(super) fn batch(&mut self) -> &mut Batch {
        self.batch
    }

    /// From here on [`Tx::is_touched`] is about another write.
    pub(super) fn begin_write(&mut self) {
        self.batch.touched = false;
    }

    /// Whether the write has done anything that only a rollback undoes.
    pub(super) fn is_touched(&self) -> bool {
        self.batch.touched
    }

    /// Carries out what was put off. What is known stays true.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Corrupt`].
    pub(super) async fn flush(&mut self) -> Result<()> {
        for row in std::mem::take(&mut self.batch.changed) {
            let Some(known) = self.batch.rows.get_mut(&row) else { continue };
            let Some(before) = known.dirty.take() else { continue };
            let parts = Parts::changed(&before.work, &known.now.work);
            let loaded_version = before.version;
            let stored = Stored { row: &known.now, loaded_version, now: self.now, parts };
            self.batch.pending.lifecycles.entry((row.0, parts)).or_default().push(&stored)?;
        }
        if self.batch.pending.is_empty() {
            return Ok(());
        }
        let done = self.batch.pending.carry_out(self.conn).await;
        if done.is_err() {
            // Perhaps another write's: only running them one by one tells whose it was.
            self.batch.touched = true;
        }
        done
    }

    /// Loads one row's lifecycle.
    ///
    /// # Errors
    /// As [`rows::load`].
    pub(super) async fn load(&mut self, kind: Kind, id: Id) -> Result<Loaded> {
        if let Some(known) = self.batch.rows.get(&(kind, id)) {
            return Ok(known.now.clone());
        }
        let loaded = rows::load(self.conn, kind, id).await?;
        self.batch.rows.insert((kind, id), Known { now: loaded.clone(), dirty: None });
        Ok(loaded)
    }

    /// Puts off writing a changed lifecycle back, if nobody changed it since it was loaded.
    pub(super) fn store(&mut self, before: &Loaded, after: &Work) {
        let row = (after.kind, after.id);
        let now = Loaded { work: after.clone(), version: before.version + 1 };
        self.batch.touched = true;
        let known = self.batch.rows.get_mut(&row);
        let dirty = known.and_then(|known| known.dirty.take()).unwrap_or_else(|| {
            self.batch.changed.push(row);
            Box::new(before.clone())
        });
        self.batch.rows.insert(row, Known { now, dirty: Some(dirty) });
    }

    /// Notes a row whose insert is put off.
    pub(super) fn is_new(&mut self, work: &Work) {
        let now = Loaded { work: work.clone(), version: 1 };
        self.batch.touched = true;
        self.batch.rows.insert((work.kind, work.id), Known { now, dirty: None });
        self.batch.children.insert(work.id, Vec::new());
        self.batch.made.insert((work.kind, work.id));
    }

    /// A row that this batch has made, if the batch remembers it.
    pub(super) fn new_row(&self, row: Ref) -> Option<&Work> {
        let made = self.batch.made.contains(&row);
        self.batch.rows.get(&row).filter(|_| made).map(|known| &known.now.work)
    }

    /// Whether an output that the batch knows waits for a person.
    pub(super) fn knows_parked_output(&self) -> bool {
        let is_parked = |(row, known): (&Ref, &Known)| {
            row.0 == Kind::Output && matches!(known.now.work.state, State::Attention { .. })
        };
        self.batch.rows.iter().any(is_parked)
    }

    /// Reads everything that a batch is about with a few statements. What cannot be read here is
    /// read, or refused, where it is needed.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn prefetch(&mut self, refs: &[Ref]) -> Result<()> {
        let mut refs: Vec<Ref> = refs.to_vec();
        self.prefetch_jobs(&mut refs).await?;
        refs.sort_unstable();
        refs.dedup();
        let mut intents = Vec::new();
        for kind in Kind::ALL {
            let ids: Vec<Id> = refs.iter().filter(|row| row.0 == kind).map(|row| row.1).collect();
            if ids.is_empty() {
                continue;
            }
            for loaded in rows::load_many(self.conn, kind, &json(&ids)?).await? {
                intents.extend(loaded.work.state.intent());
                let row = (kind, loaded.work.id);
                self.batch.rows.insert(row, Known { now: loaded, dirty: None });
            }
        }
        self.prefetch_children(&refs).await?;
        self.prefetch_lanes(&intents).await
    }

    async fn prefetch_jobs(&mut self, refs: &mut Vec<Ref>) -> Result<()> {
        let outputs: Vec<Id> =
            refs.iter().filter(|row| row.0 == Kind::Output).map(|row| row.1).collect();
        if outputs.is_empty() {
            return Ok(());
        }
        let sql = "SELECT json_group_array(json_array(id, job_id)) FROM outputs \
             WHERE id IN (SELECT value FROM json_each($1))";
        let found: Vec<(String, String)> =
            rows::at_once(self.conn, sql.to_owned(), &json(&outputs)?).await?;
        for (output, job) in found {
            let job = rows::id(&job, "outputs")?;
            self.batch.jobs.insert(rows::id(&output, "outputs")?, job);
            refs.push((Kind::Job, job));
        }
        Ok(())
    }

    async fn prefetch_children(&mut self, refs: &[Ref]) -> Result<()> {
        let parents: Vec<Id> = refs.iter().map(|row| row.1).collect();
        let sql = "SELECT json_group_array(json_array(parent, child_kind, child)) \
             FROM dependencies WHERE parent IN (SELECT value FROM json_each($1)) \
             AND satisfied_at IS NULL";
        let found: Vec<(String, String, String)> =
            rows::at_once(self.conn, sql.to_owned(), &json(&parents)?).await?;
        self.batch.children.extend(parents.into_iter().map(|parent| (parent, Vec::new())));
        for (parent, kind, child) in found {
            let parent = rows::id(&parent, "dependencies")?;
            self.batch.children.entry(parent).or_default().push(child_of(&kind, &child)?);
        }
        Ok(())
    }

    async fn prefetch_lanes(&mut self, intents: &[i64]) -> Result<()> {
        if intents.is_empty() {
            return Ok(());
        }
        let sql = "SELECT json_group_array(json_array(seq, lane)) FROM intents \
             WHERE seq IN (SELECT value FROM json_each($1))";
        let found: Vec<(i64, String)> =
            rows::at_once(self.conn, sql.to_owned(), &json(intents)?).await?;
        self.batch.lanes.extend(found);
        Ok(())
    }

    /// Rows that still wait for this one.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn children(&mut self, parent: Id) -> Result<Vec<Ref>> {
        if let Some(children) = self.batch.children.get(&parent) {
            return Ok(children.clone());
        }
        let found: Vec<(String, String)> = sqlx::query_as(
            "SELECT child_kind, child FROM dependencies WHERE parent = $1 AND satisfied_at IS NULL",
        )
        .bind(parent.to_string())
        .fetch_all(self.aside())
        .await?;
        let children: Vec<Ref> =
            found.iter().map(|(kind, id)| child_of(kind, id)).collect::<Result<_>>()?;
        self.batch.children.insert(parent, children.clone());
        Ok(children)
    }

    /// The job of an output.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn job_of(&mut self, output: Id) -> Result<Id> {
        if let Some(job) = self.batch.jobs.get(&output) {
            return Ok(*job);
        }
        let job: String = sqlx::query_scalar("SELECT job_id FROM outputs WHERE id = $1")
            .bind(output.to_string())
            .fetch_one(self.reading().await?)
            .await?;
        rows::id(&job, "outputs")
    }

    /// The lane of an intent.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn lane(&mut self, intent: i64) -> Result<String> {
        if let Some(lane) = self.batch.lanes.get(&intent) {
            return Ok(lane.clone());
        }
        Ok(sqlx::query_scalar("SELECT lane FROM intents WHERE seq = $1")
            .bind(intent)
            .fetch_one(self.reading().await?)
            .await?)
    }

    /// What a new intent is held against.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn calls(&mut self) -> Result<&mut Calls> {
        if self.batch.calls.is_none() {
            let sql = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'intents'), 0), \
                 (SELECT coalesce(max(seq), 0) FROM listed_jobs), \
                 (SELECT json_group_array(lane) FROM intents WHERE lane_free_at IS NULL)";
            let (last, listed, open): (i64, i64, String) =
                sqlx::query_as(sql).fetch_one(self.reading().await?).await?;
            let open = serde_json::from_str(&open).map_err(|error| StoreError::Corrupt {
                table: "intents",
                row: "those that are open".to_owned(),
                problem: error.to_string(),
            })?;
            self.batch.calls = Some(Calls { last, listed, open });
        }
        let missing = || StoreError::Refused("the calls are not known".to_owned());
        self.batch.calls.as_mut().ok_or_else(missing)
    }

    /// Notes the lane of a new intent, or that it is free again.
    pub(super) fn note_lane(&mut self, intent: i64, lane: &str, open: bool) {
        self.batch.lanes.insert(intent, lane.to_owned());
        if let Some(calls) = &mut self.batch.calls {
            if open {
                calls.open.insert(lane.to_owned());
            } else {
                calls.open.remove(lane);
            }
        }
    }

    /// Whether spending is paused, and the quarantine, if there is one.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn held_back(&mut self) -> Result<(bool, Option<Quarantine>)> {
        if let (Some(paused), Some(quarantine)) =
            (self.batch.spending_paused, &self.batch.quarantine)
        {
            return Ok((paused, quarantine.clone()));
        }
        let paused = super::settings::is_paused(self, super::settings::Switch::Spending).await?;
        let quarantine = super::quarantine::current(self).await?;
        self.batch.spending_paused = Some(paused);
        self.batch.quarantine = Some(quarantine.clone());
        Ok((paused, quarantine))
    }
}

fn child_of(kind: &str, id: &str) -> Result<Ref> {
    let known = Kind::parse(kind).ok_or_else(|| StoreError::Corrupt {
        table: "dependencies",
        row: id.to_owned(),
        problem: format!("unknown kind {kind}"),
    })?;
    Ok((known, rows::id(id, "dependencies")?))
}

fn json<T: Serialize>(ids: &[T]) -> Result<String> {
    serde_json::to_string(ids)
        .map_err(|error| StoreError::Refused(format!("ids cannot be asked for: {error}")))
}
