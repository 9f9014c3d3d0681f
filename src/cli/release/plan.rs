//! What a release makes of the orders that wait, and of the jobs that nobody claims.

use super::theirs::TheirJob;
use crate::cli::context::Context;
use crate::cli::out::{self, Look, clean};
use crate::cli::{CliError, presets, table};
use crate::config::Auto;
use crate::domain::ids::{Id, RemoteJobId};
use crate::domain::quarantine::Quarantine;
use crate::engine::{gap, resolve};
use crate::store::gap::{Reading, Settling};
use crate::store::listing::{Listed, SHARED};
use crate::store::quarantine::Unsent;
use crate::store::{Store, StoreError};
use crate::vendor::Client;
use judging::fit::Candidate;
use judging::going_back::Order;
use serde::Serialize;

/// Records that are read at most; what is not read may be anything.
const READ: usize = 200;

/// An order, and what becomes of it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    row: Unsent,
    /// `park`, `send`, `later` (it waits for something; when that is there, it is held against the
    /// unclaimed jobs) or `clarified` (its call is out or in doubt).
    becomes: &'static str,
    /// The jobs that may be it.
    candidates: Vec<String>,
}

/// The whole plan.
#[derive(Debug)]
pub(super) struct Planned {
    /// The orders.
    pub(super) rows: Vec<Row>,
    /// The unclaimed jobs that fit no order.
    pub(super) nobodys: Vec<String>,
    /// How it is read that there are unclaimed jobs; nothing when there is no way to tell, because
    /// the account is in question or shared.
    pub(super) reading: Option<Reading>,
    found: Vec<Listed>,
}

/// Makes the plan from what the database knows and from the vendor's list, if it could be read.
///
/// # Errors
/// A database error, or a vendor that cannot show its jobs.
pub(super) async fn make(
    context: &Context,
    store: &Store,
    quarantine: &Quarantine,
    theirs: Option<&[TheirJob]>,
) -> Result<Planned, CliError> {
    let unsent = store.unsent_paid().await?;
    let shared = match context.config.account.exclusive {
        Auto::Set(exclusive) => !exclusive,
        Auto::Auto => store.setting::<serde_json::Value>(SHARED).await?.is_some(),
    };
    if quarantine.doubts_the_account() || shared {
        let rows = unsent.into_iter().map(|row| as_it_is(row, Vec::new())).collect();
        return Ok(Planned { rows, nobodys: Vec::new(), reading: None, found: Vec::new() });
    }
    let found = found(store, theirs.unwrap_or_default()).await?;
    let jobs = candidates(context, store, &found, theirs.is_some()).await?;
    let mut orders = Vec::new();
    for row in unsent.iter().filter(|row| row.kind == "job" && row.state == "queued") {
        orders.extend(order(store, row).await?);
    }
    let mut plan = gap::plan(store, &orders, &jobs).await?;
    let mut rows = Vec::new();
    for row in unsent {
        let at = plan.park.iter().position(|(id, _)| *id == row.id);
        let candidates = at.map(|at| plan.park.swap_remove(at).1).unwrap_or_default();
        rows.push(as_it_is(row, candidates));
    }
    let reading = Some(Reading::PutBack);
    Ok(Planned { rows, nobodys: plan.nobodys, reading, found })
}

fn as_it_is(row: Unsent, candidates: Vec<String>) -> Row {
    let becomes = match row.state.as_str() {
        "queued" if candidates.is_empty() => "send",
        "queued" => "park",
        "waiting" => "later",
        _ => "clarified",
    };
    Row { row, becomes, candidates }
}

async fn order(store: &Store, row: &Unsent) -> Result<Option<Order>, StoreError> {
    let Some(id) = Id::parse(&row.id) else { return Ok(None) };
    let request = store.job_request(id).await?;
    let expected = gap::expected(store, &request).await?;
    Ok(Some(gap::order(id, expected, store.shown_for(id).await?, store.now())))
}

/// Jobs that only this list shows: made since the last one of the daemon's, and claimed by nobody.
async fn found(store: &Store, theirs: &[TheirJob]) -> Result<Vec<Listed>, StoreError> {
    let Some(from) = gap::unlisted_from(store).await? else { return Ok(Vec::new()) };
    let new = theirs.iter().filter(|job| !job.claimed && job.made.is_none_or(|at| at >= from));
    let new: Vec<&TheirJob> = new.collect();
    let ids: Vec<String> = new.iter().map(|job| job.id.clone()).collect();
    let unlisted = store.never_listed(&ids).await?;
    let listed = |job: &&TheirJob| Listed {
        remote_id: job.id.clone(),
        created_at: job.made,
        status: job.status.clone(),
        credits: job.credits,
    };
    Ok(new.iter().filter(|job| unlisted.contains(&job.id)).map(listed).collect())
}

/// Every job that nobody claims, with its record as far as it can be read.
async fn candidates(
    context: &Context,
    store: &Store,
    found: &[Listed],
    ask: bool,
) -> Result<Vec<Candidate>, CliError> {
    let known = store.nobodys().await?;
    let mut jobs: Vec<(Candidate, bool)> =
        known.iter().map(|job| (job.candidate(), job.is_read())).collect();
    jobs.extend(found.iter().map(|job| {
        let (remote_id, created_at) = (job.remote_id.clone(), job.created_at);
        let new = Candidate { remote_id, seen: 0, created_at, record: None, not_this: false };
        (new, false)
    }));
    if ask && !jobs.is_empty() {
        let client = presets::client(context)?;
        for (job, _) in jobs.iter_mut().filter(|(_, read)| !read).take(READ) {
            read(&client, job).await?;
        }
    }
    Ok(jobs.into_iter().map(|(job, _)| job).collect())
}

async fn read(client: &Client, job: &mut Candidate) -> Result<(), CliError> {
    match client.get_job(&RemoteJobId(job.remote_id.clone())).await {
        Ok(reply) => job.record = Some(resolve::record(&reply.value)),
        // It may be anything.
        Err(failure) if matches!(failure.http_status, Some(200 | 404)) => {}
        Err(failure) => {
            return Err(CliError::Error(format!(
                "not released: the vendor cannot show its job {} ({}); try again when it answers, \
                 or use --without-list",
                clean(&job.remote_id),
                failure.message
            )));
        }
    }
    Ok(())
}

impl Planned {
    /// Nothing was put back: what nobody claims is somebody else's, and everything is sent.
    pub(super) fn read_as_shared(&mut self) {
        if self.reading.is_none() {
            return;
        }
        self.reading = Some(Reading::Shared);
        for row in self.rows.iter_mut().filter(|row| row.becomes == "park") {
            row.becomes = "send";
            row.candidates.clear();
        }
    }

    /// What the release has to carry out.
    pub(super) fn settling(&self, listed: bool) -> Option<Settling> {
        let park = self.rows.iter().filter(|row| row.becomes == "park");
        let park = park.filter_map(|row| Some((Id::parse(&row.row.id)?, row.candidates.clone())));
        let (reading, found) = (self.reading?, self.found.clone());
        Some(Settling { reading, found, park: park.collect(), listed })
    }

    /// Shows it.
    ///
    /// # Errors
    /// As [`out::line`].
    pub(super) fn print(&self, look: &Look) -> Result<(), CliError> {
        if self.rows.is_empty() {
            out::talk("\nNo paid work waits to be sent.");
        } else {
            out::talk(&format!("\nWhat becomes of paid work ({}):", self.rows.len()));
            let rows = self.rows.iter().map(|row| {
                let becomes = match row.becomes {
                    "park" => {
                        format!("waits for you; may be {}", clean(&row.candidates.join(", ")))
                    }
                    "later" => "waits for other work, then as the others".to_owned(),
                    "clarified" => "is looked for at the vendor first".to_owned(),
                    _ => "is sent".to_owned(),
                };
                let Unsent { id, kind, label, state } = &row.row;
                vec![id.clone(), kind.clone(), state.clone(), clean(label), becomes]
            });
            let columns = ["id", "kind", "state", "what", "becomes"];
            table::grid(&columns, &rows.collect::<Vec<_>>(), look)?;
        }
        if self.reading.is_some() && !self.nobodys.is_empty() {
            out::talk(&format!(
                "\nUnclaimed jobs at the vendor that fit no order: {}",
                clean(&self.nobodys.join(", "))
            ));
        }
        Ok(())
    }
}
