//! `darkroom explain`: plain English about one row.

use super::context::Context;
use super::out::{self, Look, clean};
use super::{CliError, show};
use crate::service::explain::{Story, tell};
use crate::service::find;
use crate::store::report::{Detail, IntentRow, Item, Parent, Time};
use serde_json::Value;

/// Say in plain English what a row is, where it stands and why, and what happens next.
#[derive(Clone, Debug, clap::Args)]
pub struct Explain {
    /// An id or a unique beginning of it.
    #[arg(value_name = "ID")]
    id: String,
}

/// Explains.
///
/// # Errors
/// No database, a bad id, or a database error.
pub async fn run(context: &Context, args: &Explain) -> Result<u8, CliError> {
    let store = context.existing_store().await?;
    let (noun, id) = find::subject(&store, &args.id).await?;
    let story = tell(&store, noun, id, context.daemon_is_running()).await?;
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

fn lines(story: &Story, look: &Look) -> Vec<String> {
    let item = &story.item;
    let mut out = vec![
        format!("{} ({})", clean(&item.label), item.id),
        format!("  state    {}", item.state),
        format!("  why      {}", clean(&item.why)),
        format!("  next     {}", story.next),
    ];
    // What its own sentence says already is not said twice.
    let news = story.asked.iter().filter(|asked| !item.why.contains(asked.as_str()));
    out.extend(news.map(|asked| format!("  asked    {}", clean(asked))));
    if let Some(due) = item.due_at.filter(|_| !story.paused) {
        out.push(format!("  when     {}", look.time(due)));
    }
    if let Some(version) = item.version.filter(|_| !item.is_finished()) {
        out.push(format!("  version  {version}"));
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

/// A call that went out and of which nobody knows that it had no effect, or something may be its job
/// although it was found absent.
fn may_be_bought(call: &IntentRow) -> bool {
    matches!(call.outcome.as_deref(), None | Some("needs_person" | "abandoned"))
        || !call.candidates.is_empty()
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
