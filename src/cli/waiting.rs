//! What `wait` waits for, and when that is over.

use super::{CliError, exit};
use crate::domain::ids::Id;
use crate::domain::quarantine::Quarantine;
use crate::domain::work::Kind;
use crate::service::find;
use crate::store::Store;
use crate::store::report::{Item, Noun};
use crate::store::settings::{Pause, Pauses};

/// Rows to wait for. Runs and models are looked up again each time: retries replace their members.
#[derive(Clone, Debug)]
pub struct Target {
    subjects: Vec<(Noun, Id)>,
    /// Everything seen so far, so that a model's uploads still count once they have ended.
    seen: Vec<(Kind, Id)>,
}

/// How things stand at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Everything waited for.
    pub items: Vec<Item>,
    /// What is paused.
    pub pauses: Pauses,
    /// Why nothing is sent until a person releases it.
    pub quarantine: Option<Quarantine>,
    /// Rows that only a person sets going again, and why.
    pub stuck: Vec<(Id, String)>,
}

/// Whether waiting is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something still goes on by itself.
    Running,
    /// Everything succeeded.
    Done,
    /// Everything has ended, some of it without success.
    Failed,
    /// Nothing goes on without a person.
    Person,
}

impl Verdict {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Running => exit::RUNNING,
            Self::Done => exit::DONE,
            Self::Failed => exit::FAILED,
            Self::Person => exit::PERSON,
        }
    }
}

impl Target {
    /// Waits for these.
    pub fn new(subjects: Vec<(Noun, Id)>) -> Self {
        Self { subjects, seen: Vec::new() }
    }

    /// The rows that were asked for, or those that took their place.
    pub fn subjects(&self) -> &[(Noun, Id)] {
        &self.subjects
    }

    /// Looks at everything once.
    ///
    /// # Errors
    /// A database error.
    pub async fn look(&mut self, store: &Store) -> Result<Snapshot, CliError> {
        for subject in &mut self.subjects {
            *subject = newest(store, *subject).await?;
        }
        let mut rows = Vec::new();
        for (noun, id) in &self.subjects {
            rows.extend(find::expand(store, *noun, *id).await?);
        }
        // Uploads leave a model's list when they end; everything else is found again.
        let uploads = self.seen.iter().filter(|(kind, _)| *kind == Kind::Upload).copied();
        rows.extend(uploads.collect::<Vec<_>>());
        rows.sort_unstable();
        rows.dedup();
        let mut items = Vec::new();
        for kind in Kind::ALL {
            let ids: Vec<Id> = rows.iter().filter(|row| row.0 == kind).map(|row| row.1).collect();
            items.extend(store.items(kind, &ids).await?.into_iter().rev());
        }
        // The retry of an upload is a member of its own.
        items.retain(|item| item.kind != Noun::Work(Kind::Upload) || item.retried_by.is_none());
        self.seen = rows;
        let pauses = store.pauses().await?;
        let quarantine = store.quarantine().await?;
        let mut stuck = Vec::new();
        for item in &items {
            if let Some(why) = stuck_because(store, item, &pauses, quarantine.as_ref()).await? {
                stuck.push((item.id, why));
            }
        }
        Ok(Snapshot { items, pauses, quarantine, stuck })
    }
}

/// Follows retries to the row that counts now.
async fn newest(store: &Store, subject: (Noun, Id)) -> Result<(Noun, Id), CliError> {
    let (noun @ Noun::Work(kind), mut id) = subject else {
        return Ok(subject);
    };
    while let Some(item) = store.items(kind, &[id]).await?.into_iter().next() {
        match item.retried_by.as_deref().and_then(Id::parse) {
            Some(newer) => id = newer,
            None => break,
        }
    }
    Ok((noun, id))
}

/// A pause that the daemon set itself: the key was refused, or the credits are gone.
fn by_daemon(pause: &Option<Pause>) -> Option<&str> {
    pause.as_ref().filter(|pause| pause.is_automatic()).map(|pause| pause.reason.as_str())
}

/// Why a row in this state does not move without a person.
fn stuck_in(state: &str, pauses: &Pauses, quarantine: Option<&Quarantine>) -> Option<String> {
    if let Some(quarantine) = quarantine
        && (state == "queued"
            || state == "in_doubt" && quarantine.doubts_the_account()
            || quarantine.stops_watching()
                && matches!(state, "running" | "in_doubt" | "collecting"))
    {
        return Some(format!(
            "the database is in quarantine: {}; `darkroom release` opens it",
            quarantine.reason
        ));
    }
    match state {
        "queued" => by_daemon(&pauses.spending).map(|why| format!("spending is paused: {why}")),
        "running" | "in_doubt" | "collecting" => {
            by_daemon(&pauses.watching).map(|why| format!("watching is paused: {why}"))
        }
        _ => None,
    }
}

async fn stuck_because(
    store: &Store,
    item: &Item,
    pauses: &Pauses,
    quarantine: Option<&Quarantine>,
) -> Result<Option<String>, CliError> {
    match item.state.as_str() {
        "attention" => Ok(Some(item.why.clone())),
        "waiting" => {
            let parents = store.parents(item.id).await?;
            // One that still moves may fail, which would settle this one too; but it can never
            // succeed before the person has acted, so that is what to say.
            Ok(parents.iter().find_map(|parent| {
                if parent.state == "attention" {
                    return Some(format!("waits for the {}, which {}", parent.label, parent.why));
                }
                stuck_in(&parent.state, pauses, quarantine)
            }))
        }
        state => Ok(stuck_in(state, pauses, quarantine)),
    }
}

impl Snapshot {
    /// Whether waiting is over.
    pub fn verdict(&self) -> Verdict {
        let stuck = |item: &Item| self.stuck.iter().any(|(id, _)| *id == item.id);
        if self.items.iter().any(|item| !item.is_finished() && !stuck(item)) {
            return Verdict::Running;
        }
        if !self.stuck.is_empty() {
            return Verdict::Person;
        }
        if self.items.iter().all(|item| item.state == "succeeded") {
            return Verdict::Done;
        }
        Verdict::Failed
    }

    /// Whether the daemon stopped something because it has to be mended.
    pub fn is_paused(&self) -> bool {
        self.quarantine.is_some()
            || by_daemon(&self.pauses.spending).or(by_daemon(&self.pauses.watching)).is_some()
    }

    /// What to tell a person at the end, each thing once.
    pub fn reasons(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let mut say = |text: String| {
            if !out.contains(&text) {
                out.push(text);
            }
        };
        for item in &self.items {
            if let Some((_, why)) = self.stuck.iter().find(|(id, _)| *id == item.id) {
                match item.state.as_str() {
                    "attention" => say(format!("{} ({}) {why}", item.label, item.id)),
                    _ => say(why.clone()),
                }
            } else if matches!(item.state.as_str(), "failed" | "cancelled") {
                let word = if item.state == "failed" { "failed" } else { "was cancelled" };
                let why = match item.why.as_str() {
                    "" | "cancelled" => String::new(),
                    why => format!(": {why}"),
                };
                say(format!("{} ({}) {word}{why}", item.label, item.id));
            }
        }
        out
    }
}
