//! How a recipe names a picture: an output of a step, an output of ours, or a web address.

use super::{Declared, StepKind};
use crate::domain::catalogue::{did_you_mean, nearest};
use crate::domain::ids::Id;
use crate::domain::request::{JobRequest, MediaRef};

/// The most characters of a user's text that an error repeats.
const QUOTED_CHARS: usize = 60;

/// The stand-in for the job of the n-th step until real jobs exist.
pub(super) fn placeholder(step: usize) -> Id {
    Id(uuid::Uuid::from_u128(step as u128))
}

/// The step behind a stand-in.
pub(super) fn step_of(placeholder: Id) -> Option<usize> {
    usize::try_from(placeholder.0.as_u128()).ok()
}

/// Every picture a request refers to.
pub(super) fn media_mut(request: &mut JobRequest) -> Vec<&mut MediaRef> {
    match request {
        JobRequest::Image(image) => image.references.iter_mut().collect(),
        JobRequest::Upscale(upscale) => vec![&mut upscale.image],
        JobRequest::Video(video) => {
            let frames = video.first_frame.iter_mut().chain(&mut video.last_frame);
            frames.chain(&mut video.references).collect()
        }
    }
}

/// Reads a reference made by the step `own` among `steps`; an error is a sentence.
pub(super) fn parse(text: &str, own: usize, steps: &[Declared]) -> Result<MediaRef, String> {
    if text.contains("://") {
        return Ok(MediaRef::Url(text.to_owned()));
    }
    if let Some(id) = Id::parse(text) {
        return Ok(MediaRef::Output(id));
    }
    let Some((name, list, index)) = split(text) else {
        return Err(not_a_reference(text, steps));
    };
    let Some(found) = steps.iter().position(|step| step.name == name) else {
        let meant = did_you_mean(nearest(name, steps.iter().map(|step| step.name.as_str())));
        return Err(format!("there is no step `{}`{meant}", quotable(name)));
    };
    if found == own {
        return Err(format!("step `{name}` refers to its own output: refer to another step"));
    }
    let step = &steps[found];
    let Some(kind) = step.kind else {
        return Ok(MediaRef::JobOutput { job: placeholder(found), index: 0 });
    };
    let (kind, makes) = (kind.as_str(), kind.makes());
    if list != makes {
        return Err(format!(
            "step `{name}` is of type {kind} and has no {list}: write `{name}.{makes}[{index}]`"
        ));
    }
    if makes == "videos" {
        return Err(format!("`{text}` is a video and a picture is needed: refer to an image step"));
    }
    match index.parse::<u32>() {
        Ok(index) if index < step.outputs => {
            Ok(MediaRef::JobOutput { job: placeholder(found), index })
        }
        _ => {
            let (count, last) = (step.outputs, step.outputs.saturating_sub(1));
            let plural = if count == 1 { "" } else { "s" };
            Err(format!(
                "step `{name}` makes {count} image{plural}, counted from 0: \
                 the last one is `{name}.images[{last}]`"
            ))
        }
    }
}

/// `hero.images[0]` as its three parts.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('.')?;
    let (list, index) = rest.strip_suffix(']')?.split_once('[')?;
    let digits = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
    let known = matches!(list, "images" | "videos");
    (digits && known && !name.is_empty()).then_some((name, list, index))
}

fn not_a_reference(text: &str, steps: &[Declared]) -> String {
    let quoted = quotable(text);
    let name = text.split('.').next().unwrap_or(text);
    match steps.iter().find(|step| step.name == name) {
        Some(step) => format!(
            "`{quoted}` names a step but not one of its outputs: write `{name}.{}[0]`",
            step.kind.map_or("images", StepKind::makes)
        ),
        None => format!(
            "`{quoted}` is not a picture: write an output of a step such as `hero.images[0]`, \
             the full id of an output, or a web address"
        ),
    }
}

/// A user's text inside an error: shortened, and safe to print on a terminal.
pub(super) fn quotable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(QUOTED_CHARS).map(visible).collect()
}
