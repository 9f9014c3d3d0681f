//! What the vendor has, read as completely as before a purchase.

use crate::cli::context::Context;
use crate::cli::out::{self, Look, clean};
use crate::cli::{CliError, presets, table};
use crate::clock::{Clock, SystemClock};
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::Millis;
use crate::domain::work::Kind;
use crate::engine::gap;
use crate::store::listing::END;
use crate::store::report::Time;
use crate::store::{Store, StoreError};
use crate::vendor::{
    Client, FoundJobs, JobPages, JobStatus, ListEnd, ListedJob, ModelStatus, PageForm, RemoteModel,
};
use serde::Serialize;

/// How far back the vendor's jobs are listed, and further if this database was put back for longer.
const DAYS: Millis = 7;
/// But never further than this.
const FURTHEST: Millis = 30 * DAY;
const DAY: Millis = 24 * 60 * 60 * 1000;

/// A model at the vendor.
#[derive(Debug, Serialize)]
pub(super) struct TheirModel {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) created_at: Option<Time>,
    pub(super) status: String,
    /// Whether a row of this database claims it.
    pub(super) claimed: bool,
}

/// A job at the vendor.
#[derive(Debug, Serialize)]
pub(super) struct TheirJob {
    pub(super) id: String,
    pub(super) created_at: Option<Time>,
    #[serde(skip)]
    pub(super) made: Option<Millis>,
    pub(super) status: String,
    pub(super) credits: Option<f64>,
    /// Whether a row of this database claims it.
    pub(super) claimed: bool,
}

/// What the vendor has.
#[derive(Debug, Serialize)]
pub(super) struct Theirs {
    pub(super) models: Vec<TheirModel>,
    pub(super) jobs: Vec<TheirJob>,
}

/// Reads it.
///
/// # Errors
/// A sentence.
pub(super) async fn theirs(context: &Context, store: &Store) -> Result<Theirs, String> {
    let client = presets::client(context).map_err(|error| error.to_string())?;
    let models = client.list_models().await.map_err(said)?.value;
    let jobs = recent_jobs(&client, store).await?;
    let ids = models.iter().map(|model| model.id.0.clone()).collect::<Vec<_>>();
    let our_models = store.claimed(Kind::Model, &ids).await.map_err(|e| e.to_string())?;
    let ids = jobs.iter().map(|job| job.job_id.0.clone()).collect::<Vec<_>>();
    let our_jobs = store.claimed(Kind::Job, &ids).await.map_err(|e| e.to_string())?;
    Ok(Theirs {
        models: models.into_iter().map(|model| their_model(model, &our_models)).collect(),
        jobs: jobs.into_iter().map(|job| their_job(job, &our_jobs)).collect(),
    })
}

/// Read as completely as before a purchase: the plan says by it what may be sent.
async fn recent_jobs(client: &Client, store: &Store) -> Result<Vec<ListedJob>, String> {
    let of_store = |error: StoreError| error.to_string();
    let from = gap::unlisted_from(store).await.map_err(of_store)?;
    let ours = SystemClock::new().now();
    let now = client.vendor_now().map_or(ours, |theirs| theirs.max(ours));
    let start = from.map_or(now, |from| from.max(now - FURTHEST)).min(now - DAYS * DAY);
    let end = store.setting::<ListEnd>(END).await.map_err(of_store)?.unwrap_or_default();
    match jobs_until(client, store, JobPages::new(start, now, end)).await {
        Err((_, true)) if end == ListEnd::Ahead => {
            let pages = JobPages::new(start, now, ListEnd::Open);
            jobs_until(client, store, pages).await.map_err(|(why, _)| why)
        }
        other => other.map_err(|(why, _)| why),
    }
}

/// The error says whether it was the end of the list that was refused.
async fn jobs_until(
    client: &Client,
    store: &Store,
    mut pages: JobPages,
) -> Result<Vec<ListedJob>, (String, bool)> {
    let mut found = FoundJobs::default();
    while !pages.is_over() {
        let page = match pages.next(client).await {
            Ok(page) => page.value,
            Err(failure) => {
                let refused = pages.refuses_end(&failure);
                return Err((said(failure), refused));
            }
        };
        if page.form == PageForm::Blank {
            let belongs = store.something_belongs(pages.covers(), &[]).await;
            if belongs.map_err(|error| (error.to_string(), false))? {
                let why = "its job list is empty although jobs belong into it";
                return Err((why.to_owned(), false));
            }
        }
        page.jobs.into_iter().for_each(|job| found.put(job));
    }
    Ok(found.jobs)
}

fn said(failure: Failure) -> String {
    match failure.class {
        FailureClass::Unauthorized => {
            format!("{}; put the right key in place first", failure.message)
        }
        _ => failure.message,
    }
}

fn their_model(model: RemoteModel, ours: &[String]) -> TheirModel {
    let status = match model.status {
        ModelStatus::Other(word) => word,
        known => format!("{known:?}").to_lowercase(),
    };
    TheirModel {
        claimed: ours.contains(&model.id.0),
        id: model.id.0,
        name: model.name,
        created_at: model.created_at.map(Time),
        status,
    }
}

fn their_job(job: ListedJob, ours: &[String]) -> TheirJob {
    let status = match job.status {
        JobStatus::Other(word) => word,
        known => format!("{known:?}").to_lowercase(),
    };
    TheirJob {
        claimed: ours.contains(&job.job_id.0),
        id: job.job_id.0,
        created_at: job.created_at.map(Time),
        made: job.created_at,
        status,
        credits: job.credits,
    }
}

/// Shows it.
///
/// # Errors
/// As [`out::line`].
pub(super) fn print_theirs(theirs: &Theirs, look: &Look) -> Result<(), CliError> {
    let time = |at: Option<Time>| at.map_or(String::new(), |at| look.time(at));
    let claimed = |ours: bool| if ours { "yes" } else { "no" }.to_owned();
    out::talk(&format!("\nModels at the vendor ({}):", theirs.models.len()));
    let rows = theirs.models.iter().map(|model| {
        let name = model.name.as_deref().unwrap_or_default();
        vec![
            clean(&model.id),
            clean(name),
            time(model.created_at),
            clean(&model.status),
            claimed(model.claimed),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        table::grid(&["remote id", "name", "created", "status", "claimed"], &rows, look)?;
    }
    out::talk(&format!(
        "\nJobs at the vendor of the last {DAYS} days and since the last list ({}):",
        theirs.jobs.len()
    ));
    let rows = theirs.jobs.iter().map(|job| {
        vec![
            clean(&job.id),
            time(job.created_at),
            clean(&job.status),
            job.credits.map_or(String::new(), |credits| credits.to_string()),
            claimed(job.claimed),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        table::grid(&["remote id", "created", "status", "credits", "claimed"], &rows, look)?;
    }
    Ok(())
}
