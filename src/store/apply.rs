//! The one place that moves a row: load, evolve, write back, append the event, carry out what
//! follows for other rows. All of it is one transaction.

use super::chain;
use super::durations;
use super::intents::{self, Look};
use super::ledger;
use super::settings::{self, Switch};
use super::verdict;
use super::writer::{Tx, Write};
use super::{Result, StoreError, table};
use crate::domain::duration::Took;
use crate::domain::event::{Event, Reason};
use crate::domain::ids::Id;
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, State, Work};
use futures_util::future::BoxFuture;
use sqlx::AssertSqlSafe;
use std::collections::VecDeque;

/// A produced file that the vendor named.
#[derive(Clone, Debug)]
pub struct NewOutput {
    /// Our id for it.
    pub id: Id,
    /// Whether it is a video, which has to be prepared before it can be fetched.
    pub video: bool,
    /// The vendor's id.
    pub remote_id: String,
    /// The vendor's link, as last seen.
    pub url: Option<String>,
}

/// A file that is on disk, whole.
#[derive(Clone, Debug)]
pub struct StoredFile {
    /// Below the data directory.
    pub path: String,
    /// Lower-case hex.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// By its first bytes.
    pub media_type: String,
}

/// What was learnt together with an event and is stored in the same transaction.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The vendor's word for the row's state.
    pub remote_status: Option<String>,
    /// The vendor's word for the state of the training's model.
    pub model_status: Option<String>,
    /// What a finished job produced.
    pub outputs: Vec<NewOutput>,
    /// A fetched file.
    pub file: Option<StoredFile>,
    /// The link last seen.
    pub url: Option<String>,
    /// Switches to set, each with who sets it and why.
    pub pause: Vec<(Switch, &'static str, String)>,
    /// A look at the vendor for a call in doubt.
    pub look: Option<Look>,
    /// Vendor ids that may be a parked call's and must not become another call's.
    pub reserve: Vec<String>,
    /// What was seen, for whoever has to judge it later.
    pub evidence: Option<serde_json::Value>,
    /// The call, taken for absent before, that this is about after all.
    pub late_of: Option<i64>,
    /// A job that the vendor made long after its call.
    pub late_effect: Option<String>,
    /// The parked call that this settles.
    pub parked_of: Option<i64>,
    /// The open call that this was seen about: refused if the row waits for another one since.
    pub about: Option<i64>,
    /// The call that bought what is adopted; the newest one without a job if nobody knows.
    pub bought_by: Option<i64>,
    /// The version of the row that this was decided on: refused if the row has moved since.
    pub version: Option<i64>,
    /// How long the vendor took for it.
    pub took: Option<Took>,
}

/// An event for one row.
#[derive(Clone, Debug)]
pub struct Apply {
    /// The row's kind.
    pub kind: Kind,
    /// The row.
    pub id: Id,
    /// What happened.
    pub event: Event,
    /// What was learnt with it.
    pub facts: Facts,
    /// Who says so: `daemon`, `cli` or a person's name.
    pub actor: String,
    /// The configured durations.
    pub timing: Timing,
}

impl Write for Apply {
    type Output = Work;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Work>> {
        Box::pin(async move {
            let (event, facts) = (self.event.clone(), self.facts.clone());
            apply(tx, &self.timing, &self.actor, self.kind, self.id, event, facts).await
        })
    }

    fn rows(&self) -> Vec<(Kind, Id)> {
        vec![(self.kind, self.id)]
    }
}

/// Moves one row and everything that follows from it.
pub(super) async fn apply(
    tx: &mut Tx<'_>,
    timing: &Timing,
    actor: &str,
    kind: Kind,
    id: Id,
    event: Event,
    facts: Facts,
) -> Result<Work> {
    let (before, after) = transition(tx, timing, actor, kind, id, &event, &facts).await?;
    let mut todo: VecDeque<(Kind, Id, Event)> = consequences(tx, &before, &after).await?.into();
    while let Some((kind, id, event)) = todo.pop_front() {
        // What already ended needs no news; anything else that refuses is a bug and rolls back.
        if tx.load(kind, id).await?.work.state.is_terminal() {
            continue;
        }
        let facts = Facts::default();
        let (before, after) = transition(tx, timing, actor, kind, id, &event, &facts).await?;
        todo.extend(consequences(tx, &before, &after).await?);
    }
    Ok(after)
}

async fn transition(
    tx: &mut Tx<'_>,
    timing: &Timing,
    actor: &str,
    kind: Kind,
    id: Id,
    event: &Event,
    facts: &Facts,
) -> Result<(Work, Work)> {
    let loaded = tx.load(kind, id).await?;
    let before = &loaded.work;
    if facts.version.is_some_and(|version| version != loaded.version) {
        return Err(StoreError::Refused(format!(
            "the {kind} {id} has moved since this was decided"
        )));
    }
    if facts.about.is_some_and(|intent| before.state.intent() != Some(intent)) {
        return Err(StoreError::Refused(format!(
            "the {kind} {id} was settled while it was looked for"
        )));
    }
    if let Event::Found { remote_id, .. } = event {
        verdict::refuse_answered(tx, id, remote_id).await?;
    }
    let after = before.evolve(event, tx.now, timing)?;
    if after != *before || event.is_said() {
        tx.store(&loaded, &after);
        let from = Some(before.state.as_str());
        append_event(tx, &after, from, loaded.version + 1, event, actor)?;
        settle_intent(tx, before, &after, event, facts).await?;
        ledger::follow(tx, before, &after, event, facts).await?;
        if let (Some(intent), Some(look)) = (facts.parked_of, &facts.look) {
            if matches!(event, Event::Absent { .. } | Event::Found { .. }) {
                intents::refuse_overtaken(tx, look).await?;
            }
            intents::note_look(tx, intent, look).await?;
            intents::note_late(tx, intent, facts.evidence.as_ref()).await?;
        }
        if let Some(intent) = facts.late_of {
            if let (Event::Found { .. }, Some(look)) = (event, &facts.look) {
                intents::refuse_overtaken(tx, look).await?;
            }
            intents::reserve(tx, intent, &facts.reserve).await?;
            intents::note_late(tx, intent, facts.evidence.as_ref()).await?;
        }
    }
    store_facts(tx, &after, facts).await?;
    Ok((loaded.work, after))
}

/// Appends one event row.
pub(super) fn append_event(
    tx: &mut Tx<'_>,
    work: &Work,
    from: Option<&str>,
    version: i64,
    event: &Event,
    actor: &str,
) -> Result<()> {
    let detail = serde_json::to_string(event)
        .map_err(|error| StoreError::Refused(format!("an event cannot be stored: {error}")))?;
    append_event_row(tx, work, from, version, event.name(), &detail, actor)
}

/// Appends the event row of a row's creation.
pub(super) fn append_created(
    tx: &mut Tx<'_>,
    work: &Work,
    detail: &serde_json::Value,
    actor: &str,
) -> Result<()> {
    append_event_row(tx, work, None, 1, "created", &detail.to_string(), actor)
}

fn append_event_row(
    tx: &mut Tx<'_>,
    work: &Work,
    from: Option<&str>,
    version: i64,
    cause: &str,
    detail: &str,
    actor: &str,
) -> Result<()> {
    let (now, id) = (tx.now, work.id);
    let (kind, to) = (work.kind.as_str(), work.state.as_str());
    tx.pending().events.push(&(now, kind, id, version, from, to, cause, actor, detail))
}

/// An intent ends exactly when its row leaves `submitting` and `in_doubt`.
async fn settle_intent(
    tx: &mut Tx<'_>,
    before: &Work,
    after: &Work,
    event: &Event,
    facts: &Facts,
) -> Result<()> {
    let Some(intent) = before.state.intent() else {
        return Ok(());
    };
    let doubted = matches!(after.state, State::InDoubt { .. });
    if doubted && !matches!(before.state, State::InDoubt { .. }) {
        sqlx::query("UPDATE intents SET doubt_at = $1, looked_at = $1, pause = 0 WHERE seq = $2")
            .bind(tx.now)
            .bind(intent)
            .execute(tx.conn().await?)
            .await?;
    }
    if let Some(look) = &facts.look {
        if matches!(event, Event::Absent { .. } | Event::Found { .. }) {
            intents::refuse_overtaken(tx, look).await?;
        }
        intents::note_look(tx, intent, look).await?;
    }
    intents::reserve(tx, intent, &facts.reserve).await?;
    if after.state.intent() == Some(intent) {
        return Ok(());
    }
    let evidence = serde_json::json!({ "event": event, "seen": facts.evidence }).to_string();
    let (now, outcome) = (tx.now, event.name());
    tx.pending().settled.push(&(intent, now, outcome, &evidence))?;
    let lane = tx.lane(intent).await?;
    tx.note_lane(intent, &lane, false);
    chain::append_settled(tx, intent, &lane, outcome, &evidence).await
}

async fn store_facts(tx: &mut Tx<'_>, work: &Work, facts: &Facts) -> Result<()> {
    let id = work.id.to_string();
    if let Some(status) = &facts.remote_status
        && matches!(work.kind, Kind::Model | Kind::Training | Kind::Job)
    {
        tx.pending().statuses.insert((work.kind, work.id), status.clone());
    }
    if let Some(status) = &facts.model_status {
        let of_model = match work.kind {
            Kind::Model => "id = $3",
            Kind::Training => "id = (SELECT model_id FROM trainings WHERE id = $3)",
            _ => "id = (SELECT model_id FROM changes WHERE id = $3)",
        };
        let sql =
            format!("UPDATE models SET remote_status = $1, remote_status_at = $2 WHERE {of_model}");
        sqlx::query(AssertSqlSafe(sql))
            .bind(status)
            .bind(tx.now)
            .bind(&id)
            .execute(tx.conn().await?)
            .await?;
    }
    if let Some(url) = &facts.url
        && matches!(work.kind, Kind::Upload | Kind::Output)
    {
        let sql = format!("UPDATE {} SET remote_url = $1 WHERE id = $2", table(work.kind));
        sqlx::query(AssertSqlSafe(sql)).bind(url).bind(&id).execute(tx.conn().await?).await?;
    }
    for (position, output) in facts.outputs.iter().enumerate() {
        insert_output(tx, work, position, output)?;
    }
    for (switch, by, reason) in &facts.pause {
        settings::set_pause(tx, *switch, reason, by).await?;
    }
    if let Some(late) = &facts.late_effect {
        super::listing::note_late_effect(tx, late).await?;
    }
    if let Some(took) = facts.took {
        durations::learn(tx, work, took).await?;
    }
    Ok(())
}

/// The file of an output, stored before the event that needs it.
fn store_file(tx: &mut Tx<'_>, id: Id, file: &StoredFile) -> Result<()> {
    let bytes = i64::try_from(file.bytes).unwrap_or(i64::MAX);
    tx.pending().files.push(&(id, &file.path, &file.sha256, bytes, &file.media_type))
}

/// A fetched output: its file's facts and its end, together.
pub struct FileArrived {
    /// The output.
    pub id: Id,
    /// Its file.
    pub file: StoredFile,
    /// The configured durations.
    pub timing: Timing,
}

impl Write for FileArrived {
    type Output = Work;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Work>> {
        Box::pin(async move {
            store_file(tx, self.id, &self.file)?;
            let facts = Facts::default();
            apply(tx, &self.timing, "daemon", Kind::Output, self.id, Event::Fetched, facts).await
        })
    }

    fn rows(&self) -> Vec<(Kind, Id)> {
        vec![(Kind::Output, self.id)]
    }
}

fn insert_output(tx: &mut Tx<'_>, job: &Work, position: usize, output: &NewOutput) -> Result<()> {
    let state =
        if output.video { State::Queued { due: tx.now } } else { State::Fetching { due: tx.now } };
    let work = Work::new(output.id, Kind::Output, state);
    let media = if output.video { "video" } else { "image" };
    let row = (
        work.id,
        state.as_str(),
        state.due(),
        &output.remote_id,
        tx.now,
        job.id,
        position,
        media,
        &output.url,
    );
    tx.pending().outputs.push(&row)?;
    tx.is_new(&work);
    let detail = serde_json::json!({ "job": job.id, "remote_id": output.remote_id });
    append_created(tx, &work, &detail, "daemon")
}

/// What a transition means for other rows.
async fn consequences(
    tx: &mut Tx<'_>,
    before: &Work,
    after: &Work,
) -> Result<Vec<(Kind, Id, Event)>> {
    let mut out = Vec::new();
    let ready = after.satisfies_dependants();
    let ended_without = after.state.is_terminal() && !ready;
    if (ready && !before.satisfies_dependants()) || ended_without {
        let children = tx.children(after.id).await?;
        if !children.is_empty() {
            out = news_for(tx, after, children).await?;
        }
    }
    match after.kind {
        Kind::Output => out.extend(tell_job(tx, before, after).await?),
        // A job that has succeeded has its outputs.
        Kind::Job if ended_without => out.extend(give_up_outputs(tx, after).await?),
        Kind::Change if after.state.is_terminal() && after.remote_id.is_some() => {
            // What the vendor now has is what the model's row says.
            tx.pending().taken_over.push(&(after.id,))?;
        }
        _ => {}
    }
    Ok(out)
}

/// What the end of a row, or its readiness, means for those that wait for it.
async fn news_for(
    tx: &mut Tx<'_>,
    parent: &Work,
    children: Vec<(Kind, Id)>,
) -> Result<Vec<(Kind, Id, Event)>> {
    if parent.satisfies_dependants() {
        sqlx::query(
            "UPDATE dependencies SET satisfied_at = $1 WHERE parent = $2 AND satisfied_at IS NULL",
        )
        .bind(tx.now)
        .bind(parent.id.to_string())
        .execute(tx.conn().await?)
        .await?;
        let ready = |(kind, id)| (kind, id, Event::ParentReady);
        return Ok(children.into_iter().map(ready).collect());
    }
    let label = label(tx, parent).await?;
    let why = parent.error.as_ref().map_or("", |error| error.message.as_str());
    let ended = |(kind, id)| (kind, id, parent_ended(parent, &label, why));
    Ok(children.into_iter().map(ended).collect())
}

fn parent_ended(parent: &Work, label: &str, why: &str) -> Event {
    match parent.state {
        State::Cancelled { .. } => {
            Event::ParentCancelled { message: format!("the {label} was cancelled") }
        }
        _ => Event::ParentFailed { message: format!("the {label} failed: {why}") },
    }
}

/// An output's end, loss or return is its job's news.
async fn tell_job(tx: &mut Tx<'_>, before: &Work, after: &Work) -> Result<Vec<(Kind, Id, Event)>> {
    let event = match (before.state, after.state) {
        (_, State::Succeeded { .. } | State::Cancelled { .. }) => Event::OutputHome,
        (State::Attention { .. }, State::Failed { .. }) => {
            Event::Abandon { by: "its output was given up".to_owned() }
        }
        (State::Attention { .. }, _) => Event::OutputResumed,
        (_, State::Attention { .. } | State::Failed { .. }) => Event::OutputLost {
            message: after.error.as_ref().map(|error| error.message.clone()).unwrap_or_default(),
        },
        _ => return Ok(Vec::new()),
    };
    let job = tx.job_of(after.id).await?;
    let mut news = vec![(Kind::Job, job, event)];
    // When only lost ones are left, the job waits for a person, whatever brought it here.
    if may_only_wait(tx, job, &news).await?
        && let Some(message) = only_lost_outputs(tx, job).await?
    {
        news.push((Kind::Job, job, Event::OutputLost { message }));
    }
    Ok(news)
}

/// Whether it is worth looking for outputs that wait for a person; nearly always there are none.
async fn may_only_wait(tx: &mut Tx<'_>, job: Id, news: &[(Kind, Id, Event)]) -> Result<bool> {
    let comes_home = news.iter().any(|(_, _, event)| matches!(event, Event::OutputHome));
    // The last one ends the job.
    if comes_home && tx.load(Kind::Job, job).await?.work.state.waiting_for() <= 1 {
        return Ok(false);
    }
    if !comes_home || tx.knows_parked_output() {
        return Ok(true);
    }
    let parked = "SELECT EXISTS (SELECT 1 FROM outputs WHERE job_id = $1 AND state = 'attention')";
    Ok(sqlx::query_scalar(parked).bind(job.to_string()).fetch_one(tx.aside()).await?)
}

/// If every output of the job that is not home waits for a person: what the first of them says.
async fn only_lost_outputs(tx: &mut Tx<'_>, job: Id) -> Result<Option<String>> {
    Ok(sqlx::query_scalar(
        "SELECT error FROM outputs WHERE job_id = $1 AND state = 'attention' AND NOT EXISTS \
         (SELECT 1 FROM outputs o WHERE o.job_id = $1 AND o.finished_at IS NULL \
          AND o.state <> 'attention') ORDER BY position LIMIT 1",
    )
    .bind(job.to_string())
    .fetch_optional(tx.reading().await?)
    .await?
    .flatten())
}

/// A job that ended without its files takes the outputs that wait for a person with it.
async fn give_up_outputs(tx: &mut Tx<'_>, job: &Work) -> Result<Vec<(Kind, Id, Event)>> {
    if matches!(job.error.as_ref().map(|error| error.reason), Some(Reason::Dependency)) {
        return Ok(Vec::new());
    }
    let parked = super::retry::parked_outputs(tx, job.id).await?;
    let by = || Event::Abandon { by: "its job was given up".to_owned() };
    Ok(parked.into_iter().map(|(kind, id)| (kind, id, by())).collect())
}

/// How people call the row, for sentences about it.
async fn label(tx: &mut Tx<'_>, work: &Work) -> Result<String> {
    let label: Option<String> =
        sqlx::query_scalar("SELECT label FROM work WHERE id = $1 AND kind = $2")
            .bind(work.id.to_string())
            .bind(work.kind.as_str())
            .fetch_optional(tx.conn().await?)
            .await?;
    Ok(label.unwrap_or_else(|| work.kind.to_string()))
}

/// A new word of the vendor's for a row whose state stays the same.
pub struct Observe {
    /// The row's kind.
    pub kind: Kind,
    /// The row.
    pub id: Id,
    /// The vendor's word.
    pub remote_status: String,
    /// Whether it is the word for the row's model too.
    pub model: bool,
}

impl Write for Observe {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let work = tx.load(self.kind, self.id).await?.work;
            let facts = Facts {
                model_status: self.model.then(|| self.remote_status.clone()),
                remote_status: Some(self.remote_status.clone()),
                ..Facts::default()
            };
            store_facts(tx, &work, &facts).await
        })
    }

    fn rows(&self) -> Vec<(Kind, Id)> {
        vec![(self.kind, self.id)]
    }
}
