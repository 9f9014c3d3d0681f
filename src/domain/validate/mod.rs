//! Checks on requests, made before anything is stored or spent.
//!
//! What the vendor documents is enforced (vendor-api.md 2.2, 2.11 to 2.13, 5, 6); what it leaves
//! open passes through and is the vendor's to judge (unknowns U21 and U24 there). The few limits
//! of our own say that they are ours.

mod image;
mod options;
mod set_path;
mod text;
mod video;

#[cfg(test)]
mod properties;

pub use set_path::set_path;

use super::catalogue::{Catalogue, did_you_mean, fold, nearest};
use super::request::{Gender, Identity, JobRequest, MediaRef, UpscaleRequest};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name or short free text, in characters. Ours: the vendor names no limit.
pub const MAX_NAME_CHARS: usize = 200;

/// The longest prompt, in bytes of UTF-8. Ours: the vendor's limit is unknown (U21), and a prompt
/// of this size is a file passed by mistake.
pub const MAX_PROMPT_BYTES: usize = 32 * 1024;

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where: a path in our spelling, for example `references[3]` or `options.veo.duration`.
    pub field: String,
    /// What is wrong and what to do, in one sentence.
    pub message: String,
}

impl Problem {
    /// A problem with one field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for Problem {}

/// Everything wrong with a request at once; never empty inside an `Err`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem::new(field, message));
    }

    fn done(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    /// One problem per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            let newline = if n == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Checks the person a model is to be trained on (vendor-api.md 2.2).
///
/// The vendor's terms ask for an account holder of 18 or more (U36); they say nothing about the
/// person in the photos, so that a low age is not refused here.
pub fn identity(identity: &Identity) -> Result<(), Problems> {
    let mut problems = Problems::default();
    text::short(&mut problems, "name", &identity.name);
    if !(1..=120).contains(&identity.age) {
        let age = identity.age;
        problems
            .add("age", format!("an age of {age} years is not plausible: give one from 1 to 120"));
    }
    if let Some(ethnicity) = &identity.ethnicity {
        text::short(&mut problems, "ethnicity", ethnicity);
    }
    if let Some(eye_color) = &identity.eye_color {
        text::short(&mut problems, "eye_color", eye_color);
    }
    problems.done()
}

/// Reads a gender: exactly `Female` or `Male`, as the vendor writes them (vendor-api.md 2.2).
pub fn gender(text: &str) -> Result<Gender, Problem> {
    match text {
        "Female" => return Ok(Gender::Female),
        "Male" => return Ok(Gender::Male),
        _ => {}
    }
    let meant = match fold(text.trim()).as_str() {
        "f" | "w" | "woman" => Some("Female"),
        "m" | "man" => Some("Male"),
        _ => nearest(text.trim(), ["Female", "Male"]),
    };
    let quoted = text::quote(text);
    let meant = did_you_mean(meant);
    Err(Problem::new(
        "gender",
        format!("{quoted} is not a gender the vendor knows: write `Female` or `Male`{meant}"),
    ))
}

/// Checks a job of any kind; every problem is returned, not just the first.
pub fn job(request: &JobRequest, catalogue: &Catalogue) -> Result<(), Problems> {
    let mut problems = Problems::default();
    match request {
        JobRequest::Image(image) => image::check(&mut problems, image, catalogue),
        JobRequest::Upscale(upscale) => check_upscale(&mut problems, upscale),
        JobRequest::Video(video) => video::check(&mut problems, video, catalogue),
    }
    problems.done()
}

/// The vendor wants an image id here (vendor-api.md 2.12), which a URL does not have.
fn check_upscale(problems: &mut Problems, request: &UpscaleRequest) {
    if matches!(request.image, MediaRef::Url(_)) {
        problems.add(
            "image",
            "the vendor upscales its own images only: give the output of a job instead of a URL",
        );
    } else {
        text::media(problems, "image", &request.image);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{Id, RemoteImageId};

    fn person() -> Identity {
        Identity {
            name: "UGC Creator".to_owned(),
            age: 27,
            gender: Gender::Female,
            ethnicity: Some("south asian".to_owned()),
            eye_color: Some("brown".to_owned()),
        }
    }

    fn upscale(image: MediaRef) -> Result<(), Problems> {
        let request = JobRequest::Upscale(UpscaleRequest { image });
        job(&request, &Catalogue::default())
    }

    #[test]
    fn a_plain_identity_passes_and_a_minor_is_not_our_business() {
        assert_eq!(identity(&person()), Ok(()));
        assert_eq!(identity(&Identity { age: 12, ..person() }), Ok(()));
    }

    #[test]
    fn every_fault_of_an_identity_is_reported_at_once() {
        let wrong = Identity {
            name: " ".to_owned(),
            age: 0,
            gender: Gender::Male,
            ethnicity: Some("a\u{7}b".to_owned()),
            eye_color: Some("x".repeat(MAX_NAME_CHARS + 1)),
        };
        let problems = identity(&wrong).unwrap_err();
        let fields: Vec<_> = problems.0.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["name", "age", "ethnicity", "eye_color"]);
        assert_eq!(problems.to_string().lines().count(), 4);
    }

    #[test]
    fn a_gender_is_spelt_as_the_vendor_does() {
        assert_eq!(gender("Female"), Ok(Gender::Female));
        assert_eq!(gender("Male"), Ok(Gender::Male));
        let message = gender("female").unwrap_err().message;
        assert_eq!(
            message,
            "`female` is not a gender the vendor knows: write `Female` or `Male`; \
             did you mean `Female`?"
        );
        assert!(gender("MALE").unwrap_err().message.ends_with("did you mean `Male`?"));
        assert!(gender("robot").unwrap_err().message.ends_with("write `Female` or `Male`"));
        assert!(gender("").is_err());
    }

    #[test]
    fn upscaling_takes_an_image_but_no_url() {
        let job = Id(uuid::Uuid::nil());
        assert_eq!(upscale(MediaRef::JobOutput { job, index: 0 }), Ok(()));
        assert_eq!(upscale(MediaRef::Remote(RemoteImageId::from("image_123"))), Ok(()));
        let problems = upscale(MediaRef::Url("https://a.example/x.png".to_owned())).unwrap_err();
        assert_eq!(problems.0[0].field, "image");
        assert!(upscale(MediaRef::Remote(RemoteImageId::from(""))).is_err());
    }
}
