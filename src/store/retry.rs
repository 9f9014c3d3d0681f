//! Trying again: terminal rows stay as they are, new rows take their place.

use super::apply::{Facts, append_created, apply};
use super::parents::link_parents;
use super::rows;
use super::verdict;
use super::writer::{Tx, Write};
use super::{Result, StoreError, table};
use crate::domain::event::{Event, Reason};
use crate::domain::ids::Id;
use crate::domain::request::{JobRequest, MediaRef, ModelRef};
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, State, Work};
use futures_util::future::BoxFuture;
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

/// Tries a row again, with whatever failed before it or because of it.
pub struct Retry {
    /// The row's kind.
    pub kind: Kind,
    /// The row.
    pub id: Id,
    /// Buy again what was paid already, instead of fetching its result.
    pub resubmit: bool,
    /// Who asks.
    pub actor: String,
    /// Makes the ids of the new rows.
    pub new_id: fn() -> Id,
    /// The configured durations.
    pub timing: Timing,
}

/// What a retry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// The row itself goes on.
    Resumed,
    /// New rows, old id first.
    Anew(Vec<(Kind, Id, Id)>),
    /// It was retried before; this is the row that took its place.
    Already(Id),
}

/// Tries several rows again, all or none.
pub struct RetryAll {
    /// What the user named.
    pub subject: Id,
    /// Causes before victims.
    pub rows: Vec<Retry>,
}

/// What retrying several rows came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetriedAll {
    /// What stands for the subject now.
    pub subject: Id,
    /// Rows with the row that tries each again.
    pub retried: Vec<(Kind, Id, Id)>,
    /// Those of them that had been retried before.
    pub earlier: Vec<Id>,
    /// Rows that simply go on.
    pub resumed: Vec<(Kind, Id)>,
}

impl Write for RetryAll {
    type Output = RetriedAll;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<RetriedAll>> {
        Box::pin(async move {
            let mut out = RetriedAll {
                subject: self.subject,
                retried: Vec::new(),
                earlier: Vec::new(),
                resumed: Vec::new(),
            };
            for retry in &self.rows {
                let (kind, id) = (retry.kind, retry.id);
                // An earlier one of these may have taken this one with it.
                if out.retried.iter().any(|(_, old, _)| *old == id) {
                    continue;
                }
                match retry.run(tx).await? {
                    Retried::Resumed => out.resumed.push((kind, id)),
                    Retried::Already(newer) => {
                        out.retried.push((kind, id, newer));
                        out.earlier.push(id);
                    }
                    Retried::Anew(group) => out.retried.extend(group),
                }
            }
            if let Some((_, _, newer)) = out.retried.iter().find(|(_, old, _)| *old == self.subject)
            {
                out.subject = *newer;
            }
            Ok(out)
        })
    }
}

impl Write for Retry {
    type Output = Retried;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Retried>> {
        Box::pin(async move {
            let work = tx.load(self.kind, self.id).await?.work;
            match work.state {
                State::Attention { .. } => self.resume(tx, &work).await,
                State::Failed { .. } | State::Cancelled { .. } => self.anew(tx).await,
                State::Succeeded { .. } => Err(StoreError::Refused(format!(
                    "the {} {} has succeeded; there is nothing to retry",
                    self.kind, self.id
                ))),
                _ => Err(StoreError::Refused(format!(
                    "the {} {} is {}; it goes on by itself",
                    self.kind,
                    self.id,
                    work.state.as_str()
                ))),
            }
        })
    }
}

impl Retry {
    async fn resume(&self, tx: &mut Tx<'_>, work: &Work) -> Result<Retried> {
        let by = self.actor.clone();
        let event = match (&work.remote_id, work.error.as_ref().map(|error| error.reason)) {
            (Some(_), _) => Event::Rewatch { by },
            (None, Some(Reason::Mismatch)) => {
                verdict::refuse_candidates(tx, self.kind, self.id).await?;
                Event::Resubmit { by }
            }
            _ => {
                return Err(StoreError::Refused(format!(
                    "whether the vendor has the {} {} is not known, so it is not sent again \
                     without your word: `darkroom resolve {}` with --adopt, --resubmit or --abandon",
                    self.kind, self.id, self.id
                )));
            }
        };
        let mut rows = vec![(self.kind, self.id)];
        // A job that waits for lost outputs comes back with them.
        if self.kind == Kind::Job && work.state.waiting_for() > 0 {
            rows = parked_outputs(tx, self.id).await?;
        }
        if rows.is_empty() {
            return Err(StoreError::Refused(format!(
                "none of the missing outputs of the job {} can be fetched again; \
                 `darkroom resolve {} --abandon` gives it up, then `darkroom retry` starts anew",
                self.id, self.id
            )));
        }
        for (kind, id) in rows {
            let (event, facts) = (event.clone(), Facts::default());
            apply(tx, &self.timing, &self.actor, kind, id, event, facts).await?;
        }
        Ok(Retried::Resumed)
    }

    async fn anew(&self, tx: &mut Tx<'_>) -> Result<Retried> {
        if let Some(newer) = retried_by(tx, self.kind, self.id).await? {
            return Ok(Retried::Already(newer));
        }
        let mut group = self.group(tx).await?;
        // Parents first: kinds in the order of the lifecycle, then age.
        group.sort_unstable();
        let mut names: BTreeMap<Id, Id> =
            group.iter().map(|(_, old)| (*old, (self.new_id)())).collect();
        for (_, old) in &group {
            follow_retries(tx, *old, &mut names).await?;
        }
        let mut out = Vec::new();
        for (kind, old) in &group {
            let Some(new) = names.get(old) else { continue };
            self.replace(tx, *kind, *old, *new, &names).await?;
            out.push((*kind, *old, *new));
        }
        Ok(Retried::Anew(out))
    }

    /// The row, what failed before it, and what failed because of any of these.
    async fn group(&self, tx: &mut Tx<'_>) -> Result<Vec<(Kind, Id)>> {
        let mut group = vec![(self.kind, self.id)];
        let mut at = 0;
        while let Some((kind, id)) = group.get(at).copied() {
            at += 1;
            let work = tx.load(kind, id).await?.work;
            let blamed = matches!(&work.error, Some(error) if error.reason == Reason::Dependency);
            for (kind, id) in neighbours(tx, id, blamed).await? {
                let work = tx.load(kind, id).await?.work;
                let ended = matches!(work.state, State::Failed { .. } | State::Cancelled { .. });
                if ended
                    && !group.contains(&(kind, id))
                    && retried_by(tx, kind, id).await?.is_none()
                {
                    group.push((kind, id));
                }
            }
        }
        Ok(group)
    }

    /// A paid call that nobody ever found out about is bought again only on a person's word.
    async fn may_be_there(&self, tx: &mut Tx<'_>, before: &Work) -> Result<()> {
        if !before.kind.is_paid() {
            return Ok(());
        }
        if self.resubmit || before.remote_id.is_none() {
            verdict::refuse_candidates(tx, before.kind, before.id).await?;
        }
        if self.resubmit {
            return Ok(());
        }
        if before.remote_id.is_some() {
            let tried =
                matches!(&before.error, Some(error) if error.reason == Reason::VendorFailed);
            if tried && before.kind == Kind::Training {
                return Err(StoreError::Refused(
                    "the vendor took the training and failed, and it trains a model only once: \
                     train a new model"
                        .to_owned(),
                ));
            }
            return match tried {
                true => Err(StoreError::Refused(format!(
                    "the vendor took the {} {} and failed, and looking again would only read that \
                     again; `darkroom retry {} --resubmit` buys it a second time",
                    before.kind, before.id, before.id
                ))),
                false => Ok(()),
            };
        }
        let undecided = never_found_out(tx, before.id).await?;
        if !undecided {
            return Ok(());
        }
        Err(StoreError::Refused(format!(
            "whether the vendor has the {} {} was never found out, so trying again may buy it a \
             second time; `--resubmit` does it all the same",
            before.kind, before.id
        )))
    }

    async fn replace(
        &self,
        tx: &mut Tx<'_>,
        kind: Kind,
        old: Id,
        new: Id,
        names: &BTreeMap<Id, Id>,
    ) -> Result<()> {
        let before = tx.load(kind, old).await?.work;
        mark_retried(tx, kind, old, new).await?;
        let parents = renamed_parents(tx, old, names).await?;
        let mut work = Work::new(new, kind, State::Queued { due: tx.now });
        self.may_be_there(tx, &before).await?;
        // Imported models exist whatever happens here.
        let imported = kind == Kind::Model && is_imported(tx, old).await?;
        let paid_before = kind.is_paid() && before.remote_id.is_some() && !self.resubmit;
        if paid_before || imported {
            // Paid already: fetch its result instead of buying it again.
            work.remote_id.clone_from(&before.remote_id);
            work.accepted_at = before.accepted_at.or(Some(tx.now));
            work.poll_anchor = Some(tx.now);
            work.state = State::Running { due: tx.now };
        } else if let open @ 1.. = link_parents(tx, new, kind, &parents).await? {
            work.state = State::Waiting { parents: open };
        }
        copy_row(tx, &work, old).await?;
        rename_references(tx, kind, new, names).await?;
        append_created(tx, &work, &json!({ "retry_of": old }), &self.actor)
    }
}

/// Whether a paid call of this row was given up without knowing whether the vendor has it.
pub(super) async fn never_found_out(tx: &mut Tx<'_>, subject: Id) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM ledger WHERE subject = $1 AND outcome = 'parked') \
         OR EXISTS (SELECT 1 FROM listed_jobs l JOIN intents i ON i.seq = l.reserved_by \
           WHERE i.subject = $1 AND l.answer IS NULL \
           AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.remote_id = l.remote_id))",
    )
    .bind(subject.to_string())
    .fetch_one(tx.conn().await?)
    .await?)
}

/// Sets `retried_by` of an old row.
async fn mark_retried(tx: &mut Tx<'_>, kind: Kind, old: Id, new: Id) -> Result<()> {
    let sql = format!("UPDATE {} SET retried_by = $1 WHERE id = $2", table(kind));
    sqlx::query(AssertSqlSafe(sql))
        .bind(new.to_string())
        .bind(old.to_string())
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// The outputs of a job that wait for a person.
pub(super) async fn parked_outputs(tx: &mut Tx<'_>, job: Id) -> Result<Vec<(Kind, Id)>> {
    let parked: Vec<String> =
        sqlx::query_scalar("SELECT id FROM outputs WHERE job_id = $1 AND state = 'attention'")
            .bind(job.to_string())
            .fetch_all(tx.reading().await?)
            .await?;
    parked.iter().map(|id| Ok((Kind::Output, rows::id(id, "outputs")?))).collect()
}

/// Adds what the row refers to and what was retried before this, each under its newest name.
async fn follow_retries(tx: &mut Tx<'_>, id: Id, names: &mut BTreeMap<Id, Id>) -> Result<()> {
    let parents: Vec<(String, String)> =
        sqlx::query_as("SELECT parent_kind, parent FROM dependencies WHERE child = $1")
            .bind(id.to_string())
            .fetch_all(tx.conn().await?)
            .await?;
    for (kind, parent) in parents {
        let (Some(kind), Some(parent)) = (Kind::parse(&kind), Id::parse(&parent)) else { continue };
        let mut newest = parent;
        while let Some(newer) = retried_by(tx, kind, newest).await? {
            newest = newer;
        }
        if newest != parent && !names.contains_key(&parent) {
            names.insert(parent, newest);
        }
    }
    Ok(())
}

async fn is_imported(tx: &mut Tx<'_>, model: Id) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT imported FROM models WHERE id = $1")
        .bind(model.to_string())
        .fetch_one(tx.conn().await?)
        .await?)
}

async fn retried_by(tx: &mut Tx<'_>, kind: Kind, id: Id) -> Result<Option<Id>> {
    let sql = format!("SELECT retried_by FROM {} WHERE id = $1", table(kind));
    let newer: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(id.to_string())
        .fetch_one(tx.conn().await?)
        .await?;
    newer.map(|id| rows::id(&id, table(kind))).transpose()
}

/// Dependants that ended because of `id`, and, if it was itself a victim, its parents.
async fn neighbours(tx: &mut Tx<'_>, id: Id, blamed: bool) -> Result<Vec<(Kind, Id)>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT d.child_kind, d.child FROM dependencies d \
         JOIN work w ON w.id = d.child AND w.kind = d.child_kind \
         WHERE d.parent = $1 AND d.satisfied_at IS NULL AND w.error_class = 'dependency' \
         UNION ALL SELECT parent_kind, parent FROM dependencies \
         WHERE child = $1 AND satisfied_at IS NULL AND $2",
    )
    .bind(id.to_string())
    .bind(blamed)
    .fetch_all(tx.conn().await?)
    .await?;
    Ok(rows.iter().filter_map(|(kind, id)| Some((Kind::parse(kind)?, Id::parse(id)?))).collect())
}

async fn renamed_parents(
    tx: &mut Tx<'_>,
    old: Id,
    names: &BTreeMap<Id, Id>,
) -> Result<Vec<(Kind, Id)>> {
    let parents: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT parent_kind, parent, satisfied_at IS NULL FROM dependencies WHERE child = $1",
    )
    .bind(old.to_string())
    .fetch_all(tx.conn().await?)
    .await?;
    // What was there before is there still, unless it was retried since.
    Ok(parents
        .iter()
        .filter_map(|(kind, id, open)| Some((Kind::parse(kind)?, Id::parse(id)?, *open)))
        .filter(|(_, id, open)| *open || names.contains_key(id))
        .map(|(kind, id, _)| (kind, names.get(&id).copied().unwrap_or(id)))
        .collect())
}

/// The kind's own columns, which the new row repeats.
fn own_columns(kind: Kind) -> &'static str {
    match kind {
        Kind::Model => "run_id, name, age, gender, ethnicity, eye_color, imported",
        Kind::Upload => "model_id, purpose, file_name, sha256, bytes, media_type",
        Kind::Training => "model_id, run_id, remote_status",
        Kind::Job => "type, model_id, model_name, request, prompt, run_id, step",
        Kind::Output => "job_id, position, media, remote_url",
        Kind::Change => "target_kind, target, model_id, action, fields",
    }
}

async fn copy_row(tx: &mut Tx<'_>, work: &Work, old: Id) -> Result<()> {
    if work.kind == Kind::Output {
        return Err(StoreError::Refused(
            "an output cannot be retried alone; retry its job".to_owned(),
        ));
    }
    let own = own_columns(work.kind);
    let table = table(work.kind);
    let sql = format!(
        "INSERT INTO {table} (id, state, due_at, waiting_for, remote_id, accepted_at, \
         poll_anchor, created_at, updated_at, retry_of, {own}) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $8, $9, {own} FROM {table} WHERE id = $9"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(work.id.to_string())
        .bind(work.state.as_str())
        .bind(work.state.due())
        .bind(work.state.waiting_for())
        .bind(&work.remote_id)
        .bind(work.accepted_at)
        .bind(work.poll_anchor)
        .bind(tx.now)
        .bind(old.to_string())
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// The new row refers to the new rows of what was retried with it.
async fn rename_references(
    tx: &mut Tx<'_>,
    kind: Kind,
    new: Id,
    names: &BTreeMap<Id, Id>,
) -> Result<()> {
    if matches!(kind, Kind::Upload | Kind::Training | Kind::Job | Kind::Change) {
        for (old, newer) in names {
            let target = match kind {
                Kind::Change => ", target = CASE target WHEN $3 THEN $1 ELSE target END",
                _ => "",
            };
            let sql = format!(
                "UPDATE {} SET model_id = $1{target} WHERE id = $2 AND model_id = $3",
                table(kind)
            );
            sqlx::query(AssertSqlSafe(sql))
                .bind(newer.to_string())
                .bind(new.to_string())
                .bind(old.to_string())
                .execute(tx.conn().await?)
                .await?;
        }
    }
    if kind == Kind::Job {
        let text: String = sqlx::query_scalar("SELECT request FROM jobs WHERE id = $1")
            .bind(new.to_string())
            .fetch_one(tx.conn().await?)
            .await?;
        let mut request: JobRequest = serde_json::from_str(&text).map_err(|error| {
            StoreError::Corrupt { table: "jobs", row: new.to_string(), problem: error.to_string() }
        })?;
        rename_in_request(&mut request, names);
        let text = serde_json::to_string(&request)
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        sqlx::query("UPDATE jobs SET request = $1 WHERE id = $2")
            .bind(text)
            .bind(new.to_string())
            .execute(tx.conn().await?)
            .await?;
    }
    Ok(())
}

fn rename_in_request(request: &mut JobRequest, names: &BTreeMap<Id, Id>) {
    let rename = |id: &mut Id| {
        if let Some(newer) = names.get(id) {
            *id = *newer;
        }
    };
    if let JobRequest::Image(image) = request
        && let ModelRef::Trained(model) = &mut image.model
    {
        rename(model);
    }
    for media in request.media_mut() {
        if let MediaRef::JobOutput { job: id, .. } | MediaRef::Upload(id) = media {
            rename(id);
        }
    }
}
