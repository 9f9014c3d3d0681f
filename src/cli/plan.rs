//! What a recipe would take, for people and for programs.

use super::{CliError, Context, out};
use crate::domain::photo::ChosenPhoto;
use crate::domain::recipe::{Plan, PlannedStep};
use chrono::{Local, SecondsFormat, Utc};
use serde_json::{Value, json};
use std::time::Duration;

/// Prints the plan.
pub(super) fn print(
    ctx: &Context,
    name: &str,
    plan: &Plan,
    photos: Option<&[ChosenPhoto]>,
) -> Result<(), CliError> {
    if ctx.global.json {
        return out::line(&as_json(name, plan, photos).to_string());
    }
    out::line(&format!("{name}: nothing is stored or paid for yet"))?;
    for line in preparation(plan, photos) {
        out::line(&line)?;
    }
    for step in &plan.steps {
        out::line(&step_line(step))?;
    }
    out::line(&format!("paid calls  {}", calls(plan)))?;
    out::line(&format!("credits     {}", credits(plan)))?;
    let finish = Local::now() + plan.expected;
    out::line(&format!(
        "expected    {} if it starts now ({}); longest chain: {}",
        about(plan.expected),
        finish.format("%H:%M"),
        plan.critical_path.join(", ")
    ))
}

fn preparation(plan: &Plan, photos: Option<&[ChosenPhoto]>) -> Vec<String> {
    let mut lines = Vec::new();
    if plan.creates_model {
        lines.push("  model     created; free".to_owned());
    }
    if let Some(photos) = photos {
        let bytes: u64 = photos.iter().map(|photo| photo.bytes).sum();
        lines.push(format!(
            "  photos    {} uploads, {} MB; free",
            photos.len(),
            bytes.div_ceil(1_000_000)
        ));
    }
    if plan.trains {
        lines.push("  training  1 paid call, price not known, 20 to 25 min".to_owned());
    }
    lines
}

fn step_line(step: &PlannedStep) -> String {
    let plural = if step.outputs == 1 { "" } else { "s" };
    let price =
        step.credits.map_or_else(|| "price not known".to_owned(), |n| format!("{n} credits"));
    let starts = if step.starts.is_zero() {
        "starts at once".to_owned()
    } else {
        format!("starts after {}", about(step.starts))
    };
    format!(
        "  {:<9} {}, {} output{plural}, {price}, {starts}, takes {}",
        step.name,
        step.kind.as_str(),
        step.outputs,
        about(step.takes)
    )
}

fn calls(plan: &Plan) -> String {
    let parts = [
        (u32::from(plan.trains), "training"),
        (plan.image_calls, "image"),
        (plan.upscale_calls, "upscale"),
        (plan.video_calls, "video"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() {
        return "none".to_owned();
    }
    format!("{} ({})", plan.paid_calls(), parts.join(", "))
}

fn credits(plan: &Plan) -> String {
    match plan.unpriced_calls {
        0 => format!("{}", plan.known_credits),
        1 => format!("at least {}: the price of 1 call is not known", plan.known_credits),
        many => {
            format!("at least {}: the prices of {many} calls are not known", plan.known_credits)
        }
    }
}

fn about(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..90 => format!("about {seconds} s"),
        seconds => format!("about {} min", seconds.div_ceil(60)),
    }
}

fn as_json(name: &str, plan: &Plan, photos: Option<&[ChosenPhoto]>) -> Value {
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|step| {
            json!({
                "step": step.name,
                "type": step.kind.as_str(),
                "outputs": step.outputs,
                "credits": step.credits,
                "starts_after_seconds": step.starts.as_secs(),
                "takes_seconds": step.takes.as_secs(),
            })
        })
        .collect();
    let finish = (Utc::now() + plan.expected).to_rfc3339_opts(SecondsFormat::Secs, true);
    json!({
        "kind": "plan",
        "name": name,
        "creates_model": plan.creates_model,
        "uploads": photos.map_or(0, <[_]>::len),
        "calls": {
            "training": u32::from(plan.trains),
            "image": plan.image_calls,
            "upscale": plan.upscale_calls,
            "video": plan.video_calls,
        },
        "paid_calls": plan.paid_calls(),
        "known_credits": plan.known_credits,
        "unpriced_calls": plan.unpriced_calls,
        "steps": steps,
        "critical_path": plan.critical_path,
        "expected_seconds": plan.expected.as_secs(),
        "expected_finish": finish,
    })
}
