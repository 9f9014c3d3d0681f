//! What all submitting commands share: faults collected, keys, storing, and what is said after.
//!
//! The order is the same everywhere: everything is checked, the key is looked up, photos are copied,
//! one transaction stores it all. Nothing is created on disk before the checks are through.

use super::context::TailArgs;
use super::{CliError, Context, out, wait};
use crate::clock::SystemClock;
use crate::config::parse_duration;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::Id;
use crate::domain::validate::{Problem, Problems};
use crate::files::blobs::Source;
use crate::service::keys::{MAX_KEY_CHARS, hash, is_key};
use crate::service::{photos, shown};
use crate::store::Store;
use crate::store::submit::{Key, Submission};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Said when a key brings nothing new.
const ALREADY_SUBMITTED: &str =
    "already_submitted: this key has brought the same before, nothing is added";
/// Everything wrong with a command, so that it is said at once.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    /// Notes one sentence.
    pub(super) fn add(&mut self, sentence: impl Into<String>) {
        self.0.push(sentence.into());
    }

    /// Notes the problems of a checked request, in the spelling of the command line.
    pub(super) fn problems(&mut self, result: Result<(), Problems>) {
        for problem in result.err().into_iter().flat_map(|problems| problems.0) {
            self.problem(&problem);
        }
    }

    /// The same for one.
    pub(super) fn problem(&mut self, problem: &Problem) {
        self.add(format!("{}: {}", flag(&problem.field), problem.message));
    }

    /// Notes bad input and goes on; anything else ends the command.
    pub(super) fn keep<T, E: Into<CliError>>(
        &mut self,
        result: Result<T, E>,
    ) -> Result<Option<T>, CliError> {
        match result.map_err(Into::into) {
            Ok(value) => Ok(Some(value)),
            Err(CliError::Usage(sentence)) => {
                self.add(sentence);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Ends the command if there is anything wrong.
    pub(super) fn done(self) -> Result<(), CliError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            // Printed behind `error: `, so that every fault has its own.
            Err(CliError::Usage(self.0.join("\nerror: ")))
        }
    }
}

/// The flag that a field of a request is given with.
fn flag(field: &str) -> String {
    let name = field.split(['[', '.']).next().unwrap_or(field);
    match name {
        "references" => "--reference".to_owned(),
        "options" => format!("--set {field}"),
        "extra" => format!("--set {}", field.trim_start_matches("extra.")),
        "set" => "--set".to_owned(),
        _ if name.starts_with(|c: char| c.is_ascii_lowercase()) && name == field => {
            format!("--{}", field.replace('_', "-"))
        }
        _ => format!("--set {field}"),
    }
}

/// A request on its way into the database.
pub(super) struct Order<'a> {
    ctx: &'a Context,
    tail: &'a TailArgs,
    store: Option<Store>,
    key: Option<Key>,
}

impl<'a> Order<'a> {
    /// Checks what every submitting command takes and opens the database if there is one.
    pub(super) async fn open(ctx: &'a Context, tail: &'a TailArgs) -> Result<Self, CliError> {
        check_tail(tail)?;
        let store = open_if_there(ctx).await?;
        Ok(Self { ctx, tail, store, key: None })
    }

    /// The database, if there is one already.
    pub(super) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// The public models.
    pub(super) fn catalogue(&self) -> &'a Catalogue {
        &self.ctx.catalogue
    }

    /// Ties the key to the request, and answers what it was used for before.
    ///
    /// `request` is what the user asked for, without any id made on the way.
    pub(super) async fn earlier(
        &mut self,
        command: &str,
        request: &Value,
    ) -> Result<Option<Id>, CliError> {
        let Some(key) = &self.tail.key else {
            return Ok(None);
        };
        let request_hash = hash(command, request);
        let used = match &self.store {
            Some(store) => store.used_key(key).await?,
            None => None,
        };
        self.key = Some(Key { key: key.clone(), request_hash: request_hash.clone() });
        match used {
            None => Ok(None),
            Some(used) if used.request_hash == request_hash => Ok(Some(used.subject)),
            // The store would refuse it too, but only after the photos are copied.
            Some(used) => Err(CliError::Refused(format!(
                "the key {} was used before for something else ({}): take another key",
                shown(key),
                used.subject
            ))),
        }
    }

    /// Copies the photos, then stores everything or nothing.
    pub(super) async fn place(
        mut self,
        mut submission: Submission,
        sources: Vec<Source>,
    ) -> Result<Placed<'a>, CliError> {
        let paths = &self.ctx.paths;
        photos::keep(paths.data_dir(), paths.blobs(), sources).await?;
        let store = match self.store.take() {
            Some(store) => store,
            None => self.ctx.store().await?,
        };
        submission.key = self.key.take();
        let kind = submission.subject.0;
        let submitted = store.writer().write(submission).await?;
        Ok(Placed {
            ctx: self.ctx,
            tail: self.tail,
            store,
            kind,
            id: submitted.subject,
            note: submitted.existed.then_some(ALREADY_SUBMITTED),
            is_new: !submitted.existed,
        })
    }

    /// What an earlier use of the key stored.
    pub(super) fn existing(self, kind: &'static str, id: Id) -> Result<Placed<'a>, CliError> {
        self.found(kind, id, Some(ALREADY_SUBMITTED))
    }

    /// Something that is there already; `note` says why nothing is added.
    pub(super) fn found(
        self,
        kind: &'static str,
        id: Id,
        note: Option<&'static str>,
    ) -> Result<Placed<'a>, CliError> {
        let Some(store) = self.store else {
            return Err(CliError::Error("the database went away meanwhile".to_owned()));
        };
        Ok(Placed { ctx: self.ctx, tail: self.tail, store, kind, id, note, is_new: false })
    }
}

/// A request that is stored.
pub(super) struct Placed<'a> {
    ctx: &'a Context,
    tail: &'a TailArgs,
    /// The database.
    pub(super) store: Store,
    kind: &'static str,
    /// The row that the caller gets.
    pub(super) id: Id,
    /// What there is to say about it.
    note: Option<&'static str>,
    is_new: bool,
}

impl Placed<'_> {
    /// Prints the id, and waits if asked to.
    pub(super) async fn end(self, mut extra: Map<String, Value>) -> Result<u8, CliError> {
        if self.note == Some(ALREADY_SUBMITTED) {
            extra.insert("already_submitted".to_owned(), json!(true));
        }
        if let Some(note) = self.note.filter(|_| !self.ctx.global.quiet) {
            out::talk(note);
        }
        let (ctx, subject) = (self.ctx, (self.kind, self.id));
        wait::tail(ctx, &self.store, subject, extra, self.tail, self.is_new).await
    }
}

/// Opens the database if there is one; creates nothing.
pub(super) async fn open_if_there(ctx: &Context) -> Result<Option<Store>, CliError> {
    let clock = Arc::new(SystemClock::new());
    Ok(Store::open_existing(ctx.paths.data_dir(), clock, ctx.timing()).await?)
}

fn check_tail(tail: &TailArgs) -> Result<(), CliError> {
    let mut faults = Faults::default();
    if let Some(text) = &tail.timeout
        && let Err(problem) = parse_duration(text)
    {
        faults.add(format!("--timeout: {problem}"));
    }
    if let Some(key) = &tail.key
        && !is_key(key)
    {
        faults.add(format!(
            "--key: {} is no key: write 1 to {MAX_KEY_CHARS} characters on one line",
            shown(key)
        ));
    }
    faults.done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_they_are_given() {
        assert_eq!(flag("num_images"), "--num-images");
        assert_eq!(flag("references[3]"), "--reference");
        assert_eq!(flag("options.veo.duration"), "--set options.veo.duration");
        assert_eq!(flag("extra.steps"), "--set steps");
        assert_eq!(flag("first_frame"), "--first-frame");
    }
}
