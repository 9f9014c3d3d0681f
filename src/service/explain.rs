//! One row in plain English: where it stands and why, and what happens next.

use super::Result;
use crate::domain::ids::Id;
use crate::domain::quarantine::Quarantine;
use crate::domain::work::Kind;
use crate::store::Store;
use crate::store::report::{Detail, EventRow, IntentRow, Item, Noun, Parent};
use crate::store::settings::{BY_KEY_CHECK, Pauses, Switch};
use serde::Serialize;

/// How many events are told; `darkroom events` has them all.
const LAST_EVENTS: usize = 5;

/// Everything an explanation is made of; also its JSON.
#[derive(Debug, Serialize)]
pub struct Story {
    /// Which row.
    pub id: Id,
    /// What it is.
    pub kind: Noun,
    /// Where it stands.
    pub state: String,
    /// The row.
    pub item: Item,
    /// What happens next, and who has to do something.
    pub next: String,
    /// What a person is asked about it, as in `/v1/attention`.
    pub asked: Vec<String>,
    /// Whether nothing happens by itself before a pause is lifted.
    pub paused: bool,
    /// What it waits for, directly or through others.
    pub waits_for: Vec<Parent>,
    /// Its newest call.
    pub intent: Option<IntentRow>,
    /// What happened last.
    pub events: Vec<EventRow>,
    /// Whether a daemon works on the file.
    pub daemon_running: bool,
}

/// Tells it.
///
/// # Errors
/// No such row, or a database error.
pub async fn tell(store: &Store, noun: Noun, id: Id, daemon_running: bool) -> Result<Story> {
    let item = store.item(noun, id).await?;
    let subjects: Vec<Id> = match &item.detail {
        Detail::Run { members: Some(members), .. } => {
            members.iter().map(|member| member.id).collect()
        }
        _ => vec![id],
    };
    let mut events = store.events(&subjects, 0).await?;
    events.drain(..events.len().saturating_sub(LAST_EVENTS));
    let waits_for = store.parents(id).await?;
    let blocking = match waits_for.iter().find(|parent| parent.state == "attention") {
        Some(parent) if item.state == "waiting" => Some(store.item(parent.kind, parent.id).await?),
        _ => None,
    };
    let pauses = store.pauses().await?;
    let lifted = match store.quarantine().await? {
        Some(quarantine) if holds(&quarantine, &item) => {
            Some("after `darkroom release`".to_owned())
        }
        _ => when_lifted(&item, &pauses),
    };
    let next = match (&blocking, &lifted) {
        (Some(row), _) => format!("{} ({}) comes first: {}", row.label, row.id, decision(row)),
        (None, Some(lifted)) => format!("{}, {lifted}", by_itself(&item.state)),
        (None, None) => next(&item, daemon_running),
    };
    Ok(Story {
        id,
        kind: noun,
        state: item.state.clone(),
        next,
        asked: store.asked_about(id).await?,
        paused: lifted.is_some() || blocking.is_some(),
        waits_for,
        intent: store.last_intent(id).await?,
        events,
        item,
        daemon_running,
    })
}

/// Whether the quarantine is what keeps the row where it is.
fn holds(quarantine: &Quarantine, item: &Item) -> bool {
    match item.state.as_str() {
        "queued" => item.kind != Noun::Work(Kind::Output) || quarantine.doubts_the_account(),
        "in_doubt" => quarantine.doubts_the_account(),
        "running" | "collecting" => quarantine.stops_watching(),
        _ => false,
    }
}

/// What has to happen before a paused row goes on.
fn when_lifted(item: &Item, pauses: &Pauses) -> Option<String> {
    let Noun::Work(kind) = item.kind else { return None };
    let (switch, pause) = match (item.state.as_str(), kind) {
        ("queued", kind) if kind != Kind::Output => (Switch::Spending, &pauses.spending),
        ("queued" | "running" | "in_doubt" | "collecting", _) => {
            (Switch::Watching, &pauses.watching)
        }
        _ => return None,
    };
    let pause = pause.as_ref()?;
    Some(if pause.by == BY_KEY_CHECK {
        "once the right key is in place".to_owned()
    } else if pause.heals_by_itself() {
        "once there is room on the disk".to_owned()
    } else {
        format!("after `darkroom resume {}`", switch.as_str())
    })
}

/// What a person can say about a row that waits for one.
fn decision(item: &Item) -> String {
    let id = item.id;
    let files_known = matches!(&item.detail, Detail::Job { outputs, .. } if !outputs.is_empty());
    match (item.kind, &item.remote_id) {
        (Noun::Run, _) => "`darkroom ls attention` shows what needs a person".to_owned(),
        (kind, Some(_)) => {
            let adopt = match kind {
                Noun::Work(Kind::Job) if !files_known => {
                    ", --adopt REMOTE takes another job of the vendor's for it"
                }
                _ => "",
            };
            format!(
                "a person decides: `darkroom retry {id}` looks at it again, `darkroom resolve {id} \
                 --abandon` gives it up{adopt}"
            )
        }
        (_, None) => format!(
            "a person decides: `darkroom resolve {id}` with --adopt REMOTE (this is it), \
             --resubmit (it is not there, send it again) or --abandon (give it up)"
        ),
    }
}

/// What happens next, and who has to do something.
fn next(item: &Item, daemon_running: bool) -> String {
    let id = item.id;
    match item.state.as_str() {
        "succeeded" => match &item.detail {
            Detail::Model { training: Some(training), .. } if training.state != "succeeded" => {
                format!("its training is {}: `darkroom explain {}`", training.state, training.id)
            }
            _ => "nothing; it is done".to_owned(),
        },
        "failed" | "cancelled" => match &item.retried_by {
            Some(newer) => format!("nothing; {newer} tries it again"),
            None if must_be_bought_again(item) => format!(
                "nothing; `darkroom retry {id} --resubmit` buys it again (without --resubmit, the \
                 same failed job is only read again)"
            ),
            None if is_fetched_by_retry(item) => format!(
                "nothing; it was paid for: `darkroom retry {id}` fetches what the vendor makes of it"
            ),
            None => format!("nothing; `darkroom retry {id}` tries it again"),
        },
        "attention" => decision(item),
        "running" if daemon_running && may_be_moved(item) => format!(
            "{}; whoever knows better: `darkroom resolve {id} --abandon` gives it up here{}",
            by_itself("running"),
            match item.kind {
                Noun::Work(Kind::Job) =>
                    ", --adopt REMOTE takes another job of the vendor's for it",
                _ => "",
            }
        ),
        "in_doubt" if daemon_running => format!(
            "{}; whoever knows better need not wait: `darkroom resolve {id}` with --adopt REMOTE, \
             --resubmit or --abandon",
            by_itself("in_doubt")
        ),
        state if daemon_running => by_itself(state).to_owned(),
        state => {
            let goes_on = by_itself(state);
            format!("{goes_on}; but no daemon is running: `darkroom serve` starts it")
        }
    }
}

/// Whether the vendor has had it for so long, or says such things of it, that somebody may want to
/// step in.
fn may_be_moved(item: &Item) -> bool {
    item.kind != Noun::Work(Kind::Output) && (item.flag.is_some() || item.note.is_some())
}

/// The vendor has it, and was never known to fail it.
fn is_fetched_by_retry(item: &Item) -> bool {
    let paid = matches!(item.kind, Noun::Work(Kind::Job | Kind::Training));
    paid && item.remote_id.is_some() && item.error_class.as_deref() == Some("abandoned")
}

/// What the vendor failed, it failed for good.
fn must_be_bought_again(item: &Item) -> bool {
    item.kind == Noun::Work(Kind::Job) && item.error_class.as_deref() == Some("vendor_failed")
}

/// What the daemon does next with a row in this state.
fn by_itself(state: &str) -> &'static str {
    match state {
        "waiting" => "it goes on by itself as soon as what it waits for is there",
        "queued" => "the daemon sends it; the intent is stored first, so it is sent once",
        "submitting" => "the daemon stores the vendor's answer, or searches for it if it is lost",
        "in_doubt" => {
            "the daemon looks at the vendor; it is sent again only when it is surely not there"
        }
        "collecting" => "the files are downloaded, hashed and stored; then it is done",
        _ => "the daemon looks at it again",
    }
}
