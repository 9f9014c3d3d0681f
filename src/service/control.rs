//! A person's word: cancel, retry, resolve.

use super::find::expand;
use super::{Result, ServiceError};
use crate::clock::new_id;
use crate::domain::event::Event;
use crate::domain::ids::Id;
use crate::domain::work::{Kind, State};
use crate::store::Store;
use crate::store::cancel::Cancel;
use crate::store::report::{Detail, Noun};
use crate::store::retry::{Resolve, RetriedAll, Retry, RetryAll};

/// A row whose end was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub id: Id,
    /// It had ended before; nothing changed.
    pub was_over: bool,
}

/// Asks for the end of everything that these stand for.
///
/// # Errors
/// An output, which is paid for already, or a database error.
pub async fn cancel(store: &Store, subjects: &[(Noun, Id)], actor: &str) -> Result<Vec<Cancelled>> {
    let (write, out) = cancelling(store, subjects, actor).await?;
    store.writer().write(write).await?;
    Ok(out)
}

/// The same, ready to be written: for whoever stores an answer with it.
///
/// # Errors
/// As [`cancel`].
pub async fn cancelling(
    store: &Store,
    subjects: &[(Noun, Id)],
    actor: &str,
) -> Result<(Cancel, Vec<Cancelled>)> {
    let mut rows = Vec::new();
    for (noun, id) in subjects {
        if *noun == Noun::Work(Kind::Output) {
            return Err(ServiceError::Conflict(format!(
                "an output cannot be cancelled alone, because it is paid for already: {id}"
            )));
        }
        rows.extend(expand(store, *noun, *id).await?);
    }
    let mut out = Vec::new();
    for (kind, id) in &rows {
        let was_over = store.load(*kind, *id).await?.work.state.is_terminal();
        out.push(Cancelled { kind: *kind, id: *id, was_over });
    }
    let write = Cancel { rows, actor: actor.to_owned(), timing: *store.timing() };
    Ok((write, out))
}

/// Tries again what failed, was cancelled or waits for a person. `resubmit` buys again what was
/// paid already.
///
/// # Errors
/// Nothing to retry, or a database error.
pub async fn retry(
    store: &Store,
    noun: Noun,
    id: Id,
    resubmit: bool,
    actor: &str,
) -> Result<RetriedAll> {
    let write = retrying(store, noun, id, resubmit, actor).await?;
    Ok(store.writer().write(write).await?)
}

/// The same, ready to be written: for whoever stores an answer with it.
///
/// # Errors
/// As [`retry`].
pub async fn retrying(
    store: &Store,
    noun: Noun,
    id: Id,
    resubmit: bool,
    actor: &str,
) -> Result<RetryAll> {
    let rows = to_retry(store, noun, id).await?;
    if rows.is_empty() {
        return Err(ServiceError::Conflict(format!(
            "there is nothing to retry in {}",
            store.label(noun, id).await?
        )));
    }
    let timing = *store.timing();
    let retry =
        |(kind, row)| Retry { kind, id: row, resubmit, actor: actor.to_owned(), new_id, timing };
    Ok(RetryAll { subject: id, rows: rows.into_iter().map(retry).collect() })
}

/// The rows that a retry of this one begins with, causes before victims.
async fn to_retry(store: &Store, noun: Noun, id: Id) -> Result<Vec<(Kind, Id)>> {
    let ended = |state: &State| {
        matches!(state, State::Failed { .. } | State::Cancelled { .. } | State::Attention { .. })
    };
    match noun {
        Noun::Run => {
            let mut out = Vec::new();
            for (kind, id) in store.run_members(id).await? {
                let work = store.load(kind, id).await?.work;
                if ended(&work.state) {
                    let victim = work
                        .error
                        .as_ref()
                        .is_some_and(|error| error.reason.as_str() == "dependency");
                    out.push((victim, kind, id));
                }
            }
            out.sort_unstable();
            Ok(out.into_iter().map(|(_, kind, id)| (kind, id)).collect())
        }
        // A model that exists is fine; what people mean is its training.
        Noun::Work(Kind::Model) => {
            let item = store.item(noun, id).await?;
            if let Detail::Model { training: Some(training), .. } = &item.detail
                && item.state == "succeeded"
                && let Some(training) = Id::parse(&training.id)
            {
                return Ok(vec![(Kind::Training, training)]);
            }
            Ok(vec![(Kind::Model, id)])
        }
        Noun::Work(kind) => Ok(vec![(kind, id)]),
    }
}

/// What a person decides about a row that waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This thing at the vendor is it.
    Adopt(String),
    /// It is not there: send it again.
    Resubmit,
    /// Give it up.
    Abandon,
}

/// Carries out a person's verdict; `why` is for the record.
///
/// # Errors
/// A run, a row that waits for nobody, a verdict that contradicts what is known, or a database
/// error.
pub async fn resolve(
    store: &Store,
    noun: Noun,
    id: Id,
    verdict: Verdict,
    why: Option<&str>,
    actor: &str,
) -> Result<()> {
    let write = resolving(store, noun, id, verdict, why, actor).await?;
    store.writer().write(write).await?;
    Ok(())
}

/// The same, ready to be written: for whoever stores an answer with it.
///
/// # Errors
/// As [`resolve`].
pub async fn resolving(
    store: &Store,
    noun: Noun,
    id: Id,
    verdict: Verdict,
    why: Option<&str>,
    actor: &str,
) -> Result<Resolve> {
    let Noun::Work(kind) = noun else {
        return Err(ServiceError::invalid(
            "",
            "a run is as far as its members; resolve the one that needs a person \
             (`darkroom ls attention`)",
        ));
    };
    let work = store.load(kind, id).await?.work;
    let label = store.label(noun, id).await?;
    if !matches!(work.state, State::Attention { .. }) {
        return Err(ServiceError::Conflict(format!(
            "nothing about the {label} waits for a decision: it is {}",
            work.state.as_str()
        )));
    }
    if verdict != Verdict::Abandon
        && let Some(remote) = &work.remote_id
    {
        return Err(ServiceError::Conflict(format!(
            "the vendor has the {label} already, as {remote}; `darkroom retry {id}` looks at it \
             again, `darkroom resolve {id} --abandon` gives it up"
        )));
    }
    let by = match why {
        Some(why) => format!("{actor}: {why}"),
        None => actor.to_owned(),
    };
    let event = match verdict {
        Verdict::Adopt(remote_id) => {
            if remote_id.trim().is_empty() {
                return Err(ServiceError::invalid("", "--adopt needs the vendor's id"));
            }
            if !store.claimed(kind, std::slice::from_ref(&remote_id)).await?.is_empty() {
                return Err(ServiceError::Conflict(format!(
                    "the vendor's {remote_id} belongs to another row already: `darkroom show \
                     {remote_id}`"
                )));
            }
            Event::Adopt { remote_id, by }
        }
        Verdict::Resubmit => Event::Resubmit { by },
        Verdict::Abandon => Event::Abandon { by },
    };
    Ok(Resolve { kind, id, event, actor: actor.to_owned(), timing: *store.timing() })
}
