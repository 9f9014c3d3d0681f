//! A person's word: cancel, retry, resolve.

use super::find::expand;
use super::{Result, ServiceError};
use crate::clock::new_id;
use crate::domain::event::Event;
use crate::domain::ids::Id;
use crate::domain::work::{Kind, State, Work};
use crate::store::Store;
use crate::store::answers::{Answer, NotThis, Whose};
use crate::store::cancel::Cancel;
use crate::store::report::{Detail, Noun};
use crate::store::retry::{RetriedAll, Retry, RetryAll};
use crate::store::verdict::Resolve;

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

/// What a person decides about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This thing at the vendor is it.
    Adopt(String),
    /// It is not there: send it again.
    Resubmit,
    /// Give it up.
    Abandon,
}

/// A person's word, and what goes with it.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Why, for the record.
    pub why: Option<&'a str>,
    /// The version of the row that it is about: refused if the row has moved since.
    pub version: Option<i64>,
    /// Who says it.
    pub actor: &'a str,
}

impl Said<'_> {
    fn by(&self) -> String {
        match self.why {
            Some(why) => format!("{}: {why}", self.actor),
            None => self.actor.to_owned(),
        }
    }
}

/// Carries out a person's verdict.
///
/// # Errors
/// A run, a row about which nothing is to be decided, a verdict that contradicts what is known, or a
/// database error.
pub async fn resolve(
    store: &Store,
    noun: Noun,
    id: Id,
    verdict: Verdict,
    said: Said<'_>,
) -> Result<()> {
    let write = resolving(store, noun, id, verdict, said).await?;
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
    said: Said<'_>,
) -> Result<Resolve> {
    let kind = work_of(noun)?;
    let work = store.load(kind, id).await?.work;
    let label = store.label(noun, id).await?;
    refuse_undecidable(&work, &verdict, &label)?;
    let by = said.by();
    let event = match verdict {
        Verdict::Adopt(remote_id) => {
            let remote_id = named(&remote_id, "--adopt")?;
            // Whether a job is another row's is asked where it is written.
            let taken = kind != Kind::Job
                && !store.claimed(kind, std::slice::from_ref(&remote_id)).await?.is_empty();
            if taken {
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
    let (version, actor) = (said.version, said.actor.to_owned());
    Ok(Resolve { kind, id, event, version, actor, timing: *store.timing() })
}

/// Refuses a verdict about which nothing is to be decided in this state, or that would buy again what
/// the vendor has.
fn refuse_undecidable(work: &Work, verdict: &Verdict, label: &str) -> Result<()> {
    let (kind, id) = (work.kind, work.id);
    let adopts = matches!(verdict, Verdict::Adopt(_));
    let decidable = match work.state {
        State::Attention { .. } | State::InDoubt { .. } => true,
        // What is known to be there already need not be sent.
        State::Queued { .. } => kind == Kind::Job && adopts,
        State::Running { .. } => kind != Kind::Output,
        _ => false,
    };
    if !decidable {
        let instead = match work.state {
            State::Running { .. } => ": an output goes with its job".to_owned(),
            State::Queued { .. } | State::Waiting { .. } => {
                format!(": `darkroom cancel {id}` takes back what has not been sent")
            }
            _ => String::new(),
        };
        return Err(ServiceError::Conflict(format!(
            "nothing about the {label} waits for a decision: it is {}{instead}",
            work.state.as_str()
        )));
    }
    let Some(remote) = work.remote_id.as_ref().filter(|_| *verdict != Verdict::Abandon) else {
        return Ok(());
    };
    // Once files of a job are known, it is the one that they are of.
    if adopts && kind == Kind::Job && work.state.waiting_for() == 0 {
        return Ok(());
    }
    let other = match kind {
        Kind::Job if work.state.waiting_for() == 0 => {
            ", `--adopt REMOTE` takes another job of the vendor's for it"
        }
        _ => "",
    };
    Err(ServiceError::Conflict(format!(
        "the vendor has the {label} already, as {remote}, so it is not bought again; `darkroom retry \
         {id}` looks at it again once it waits for a person, `darkroom resolve {id} --abandon` gives \
         it up{other}"
    )))
}

/// A person says that a job of the vendor's list is not this row's, ready to be written.
///
/// # Errors
/// A row that buys nothing, or no id.
pub fn ruling_out(
    store: &Store,
    noun: Noun,
    id: Id,
    remote_id: &str,
    said: Said<'_>,
) -> Result<NotThis> {
    let kind = work_of(noun)?;
    if !kind.is_paid() {
        return Err(ServiceError::Conflict(format!(
            "a {kind} buys nothing, so no job at the vendor can be its own; only jobs and trainings \
             have candidates"
        )));
    }
    Ok(NotThis {
        kind,
        id,
        remote_id: named(remote_id, "--not-this")?,
        version: said.version,
        by: said.by(),
        actor: said.actor.to_owned(),
        timing: *store.timing(),
    })
}

/// A person says whose a job of the vendor's list is, ready to be written.
///
/// # Errors
/// No id.
pub fn answering(store: &Store, remote_id: &str, whose: Whose, said: Said<'_>) -> Result<Answer> {
    let option = match whose {
        Whose::Ours => "--ours",
        Whose::NotOurs => "--not-ours",
    };
    Ok(Answer {
        remote_id: named(remote_id, option)?,
        whose,
        by: said.by(),
        actor: said.actor.to_owned(),
        timing: *store.timing(),
    })
}

fn work_of(noun: Noun) -> Result<Kind> {
    match noun {
        Noun::Work(kind) => Ok(kind),
        Noun::Run => Err(ServiceError::invalid(
            "",
            "a run is as far as its members; resolve the one that needs a person \
             (`darkroom ls attention`)",
        )),
    }
}

/// The vendor's id that goes with an option.
fn named(text: &str, option: &str) -> Result<String> {
    match text.trim() {
        "" => Err(ServiceError::invalid("", format!("{option} needs the vendor's id"))),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
