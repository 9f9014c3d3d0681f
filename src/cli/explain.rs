//! `darkroom explain`: plain English about one row.

use super::context::Context;
use super::out::{self, Look, clean};
use super::{CliError, find, show};
use crate::domain::ids::Id;
use crate::domain::work::Kind;
use crate::store::Store;
use crate::store::report::{Detail, EventRow, IntentRow, Item, Noun, Parent, Time};
use crate::store::settings::{BY_KEY_CHECK, Pauses, Switch};
use serde::Serialize;
use serde_json::Value;

/// How many events are told; `darkroom events` has them all.
const LAST_EVENTS: usize = 5;

/// Say in plain English what a row is, where it stands and why, and what happens next.
#[derive(Clone, Debug, clap::Args)]
pub struct Explain {
    /// An id or a unique beginning of it.
    #[arg(value_name = "ID")]
    id: String,
}

/// Everything an explanation is made of; also its JSON.
#[derive(Debug, Serialize)]
struct Story {
    id: Id,
    kind: Noun,
    state: String,
    item: Item,
    next: String,
    /// Whether nothing happens by itself before a pause is lifted.
    paused: bool,
    waits_for: Vec<Parent>,
    intent: Option<IntentRow>,
    events: Vec<EventRow>,
    daemon_running: bool,
}

/// Explains.
///
/// # Errors
/// No database, a bad id, or a database error.
pub async fn run(context: &Context, args: &Explain) -> Result<u8, CliError> {
    let store = context.existing_store().await?;
    let (noun, id) = find::subject(&store, &args.id).await?;
    let story = tell(context, &store, noun, id).await?;
    if context.global.json {
        out::json(&story)?;
    } else if context.global.quiet {
        out::line(&id.to_string())?;
    } else {
        let look = Look::of_stdout(&context.global);
        for line in lines(&story, &look) {
            out::line(&line)?;
        }
    }
    Ok(super::exit::DONE)
}

async fn tell(context: &Context, store: &Store, noun: Noun, id: Id) -> Result<Story, CliError> {
    let item = store.item(noun, id).await?;
    let daemon_running = context.daemon_is_running();
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
    let lifted = when_lifted(&item, &pauses);
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
        paused: lifted.is_some() || blocking.is_some(),
        waits_for,
        intent: store.last_intent(id).await?,
        events,
        item,
        daemon_running,
    })
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
    match (item.kind, &item.remote_id) {
        (Noun::Run, _) => "`darkroom ls attention` shows what needs a person".to_owned(),
        (_, Some(_)) => format!(
            "a person decides: `darkroom retry {id}` looks at it again, `darkroom resolve {id} \
             --abandon` gives it up"
        ),
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
            None => format!("nothing; `darkroom retry {id}` tries it again"),
        },
        "attention" => decision(item),
        state if daemon_running => by_itself(state).to_owned(),
        state => {
            let goes_on = by_itself(state);
            format!("{goes_on}; but no daemon is running: `darkroom serve` starts it")
        }
    }
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

fn lines(story: &Story, look: &Look) -> Vec<String> {
    let item = &story.item;
    let mut out = vec![
        format!("{} ({})", clean(&item.label), item.id),
        format!("  state    {}", item.state),
        format!("  why      {}", clean(&item.why)),
        format!("  next     {}", story.next),
    ];
    if let Some(due) = item.due_at.filter(|_| !story.paused) {
        out.push(format!("  when     {}", look.time(due)));
    }
    if let Some(remote) = &item.remote_id {
        out.push(format!("  vendor   calls it {}", clean(remote)));
    }
    out.push(format!("  since    {}", look.time(item.created_at)));
    out.extend(own_lines(item, story.intent.as_ref()));
    if let Some(flag) = &item.flag {
        out.push(format!("  note     {}", clean(flag)));
    }
    if let Some(asked) = item.cancel_requested_at {
        out.push(format!("  cancel   asked for {}", look.time(asked)));
    }
    if !story.waits_for.is_empty() {
        out.push("  waits for".to_owned());
        out.extend(story.waits_for.iter().map(parent_line));
    }
    if let Some(intent) = &story.intent {
        out.extend(intent_lines(intent, look));
    }
    if !story.events.is_empty() {
        out.push("  last events".to_owned());
        let told = story.events.iter();
        out.extend(told.map(|event| format!("    {}", show::sentence(event))));
    }
    out
}

fn own_lines(item: &Item, call: Option<&IntentRow>) -> Vec<String> {
    let mut out = Vec::new();
    match &item.detail {
        Detail::Job { model, prompt, credits, outputs, .. } => {
            if let Some(model) = model {
                out.push(format!("  model    {}", clean(model)));
            }
            if let Some(prompt) = prompt {
                out.push(format!("  prompt   {}", clean(prompt)));
            }
            out.push(match credits {
                Some(credits) => format!("  cost     {credits} credits"),
                None if item.accepted_at.is_some() => {
                    "  cost     not told by the vendor yet".to_owned()
                }
                None if call.is_some_and(may_be_bought) => {
                    "  cost     not known: it may have been bought".to_owned()
                }
                None => "  cost     nothing so far".to_owned(),
            });
            for file in outputs {
                out.push(format!("  file     {}", file.path.display()));
            }
        }
        Detail::Model { photos, photos_total, training, .. } => {
            out.push(format!("  photos   {photos} of {photos_total} at the vendor"));
            if let Some(training) = training {
                out.push(format!("  training {} ({})", training.id, training.state));
            }
        }
        Detail::Run { done, total, .. } => {
            out.push(format!("  done     {done} of {total} pieces of work"));
        }
        _ => {}
    }
    out
}

/// A call that went out and of which nobody knows that it had no effect.
fn may_be_bought(call: &IntentRow) -> bool {
    matches!(call.outcome.as_deref(), None | Some("needs_person" | "abandoned"))
}

fn parent_line(parent: &Parent) -> String {
    let indent = usize::try_from(parent.depth).unwrap_or(1) * 2;
    format!(
        "  {:indent$}{} ({}): {} {}",
        "",
        clean(&parent.label),
        parent.id,
        parent.state,
        match parent.state.as_str() {
            "succeeded" => String::new(),
            _ => format!("- {}", clean(&parent.why)),
        }
    )
}

/// One job that the vendor listed, and how it fits.
fn candidate(job: &Value, look: &Look) -> String {
    // Uploads and models are named by their ids alone.
    let Some(id) = job.get("remote_id").and_then(Value::as_str) else {
        return clean(job.as_str().unwrap_or("?"));
    };
    let text = |name: &str| job.get(name).and_then(Value::as_str).unwrap_or("?");
    let made = job.get("created_at").and_then(Value::as_i64);
    let made = made.map_or(String::new(), |at| format!("made {}, ", look.time(Time(at))));
    let credits = job.get("credits").and_then(Value::as_f64);
    let credits = credits.map_or(String::new(), |credits| format!(", {credits} credits"));
    clean(&format!("{id}: {made}{}{credits}; {}", text("status"), text("fit")))
}

fn intent_lines(intent: &IntentRow, look: &Look) -> Vec<String> {
    let sent = look.time(intent.opened_at);
    let mut out = Vec::new();
    match (&intent.outcome, intent.doubt_at) {
        (None, None) => out.push(format!("  call     number {} is out, {sent}", intent.seq)),
        (None, Some(doubt)) => out.push(format!(
            "  call     number {} went out {sent}; its outcome is unknown since {}; {} complete \
             looks found nothing",
            intent.seq,
            look.time(doubt),
            intent.looks
        )),
        (Some(outcome), _) => out.push(format!(
            "  call     number {} went out {sent}; outcome: {}",
            intent.seq,
            outcome.replace('_', " ")
        )),
    }
    let seen = intent.evidence.as_ref().and_then(|evidence| evidence.pointer("/seen/candidates"));
    if let Some(jobs) = seen.and_then(Value::as_array).filter(|jobs| !jobs.is_empty()) {
        out.push("  at the vendor since the call, claimed by nothing".to_owned());
        out.extend(jobs.iter().map(|job| format!("    {}", candidate(job, look))));
    } else if !intent.candidates.is_empty() {
        out.push(format!(
            "           may be at the vendor as {}",
            clean(&intent.candidates.join(", "))
        ));
    }
    out
}
