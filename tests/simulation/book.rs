//! What the daemon has written down: rows, calls, everything that any list has shown, and what it has
//! learnt of the vendor.

use crate::numbered::Claims;
use crate::vendor::{Entry, Request, number};
use judging::clocks::Accepted;
use judging::fit::{Call, Candidate, ModelIds, Record};
use judging::lag::{Lag, Missing, Reach, Says};
use judging::placing::{Place, Taken};
use judging::verdict::Standing;
use judging::witness::{NEWEST, Window, points};
use judging::{DAY, Millis};
use std::collections::{BTreeMap, BTreeSet};

/// So long jobs and calls stay in mind.
pub(crate) const MEMORY: Millis = 8 * DAY;

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Queued,
    /// Its call is out.
    Out(usize),
    InDoubt(usize),
    /// A person was asked about its call.
    Parked(usize),
    /// A person was asked before it was sent, after a release.
    HeldBack,
    /// Absent twice: a person was asked.
    AbsentTwice(usize),
    Running(String),
    Refused,
    GivenUp,
}

impl State {
    pub(crate) fn is_in_doubt(&self) -> bool {
        matches!(self, Self::InDoubt(_))
    }
}

/// An order.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its number in truth, which no restored database gives away again.
    pub(crate) number: usize,
    pub(crate) request: Request,
    pub(crate) state: State,
    /// Calls found absent since a person last ordered it.
    pub(crate) absences: u32,
    pub(crate) last_call: Option<usize>,
    /// A person has let it go although a job fits it.
    pub(crate) cleared: bool,
    /// It is not sent before.
    pub(crate) due: Millis,
    pub(crate) ordered_at: Millis,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Out,
    Open,
    Accepted,
    Refused,
    Absent { fresh: bool },
    Parked,
    GivenUp,
}

impl Outcome {
    /// Where the call stands if it has no job.
    pub(crate) fn standing(self) -> Option<Standing> {
        match self {
            Self::Out | Self::Open => Some(Standing::Open),
            Self::Absent { fresh } => Some(Standing::Absent { fresh }),
            Self::Parked => Some(Standing::Parked),
            Self::GivenUp => Some(Standing::GivenUp),
            Self::Accepted | Self::Refused => None,
        }
    }
}

/// How the looking for a call goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubt {
    pub(crate) looking: Millis,
    pub(crate) looks: u32,
    pub(crate) last_whole: Option<Millis>,
    pub(crate) ripe_since: Option<Millis>,
    pub(crate) failed: bool,
    pub(crate) failing_since: Option<Millis>,
    pub(crate) took: Millis,
    pub(crate) asked: bool,
}

/// A paid call.
#[derive(Clone, Debug)]
pub(crate) struct CallRow {
    /// Its number in truth.
    pub(crate) number: u64,
    pub(crate) row: usize,
    pub(crate) call: Call,
    pub(crate) outcome: Outcome,
    /// It was found absent once, whatever became of it since.
    pub(crate) was_absent: bool,
    pub(crate) doubt: Doubt,
    /// Jobs that a person has said are not this one's.
    pub(crate) not_this: BTreeSet<String>,
    /// The job it has.
    pub(crate) remote: Option<String>,
}

/// A job that some list has shown.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) seen: i64,
    pub(crate) created_at: Option<Millis>,
    pub(crate) record: Option<Record>,
    pub(crate) place: Option<Place>,
    /// It was there before us.
    pub(crate) history: bool,
    pub(crate) first_seen: Millis,
    /// Nobody could explain it at a start, or at the release after that.
    pub(crate) gap: bool,
}

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) rows: Vec<Row>,
    pub(crate) calls: Vec<CallRow>,
    pub(crate) listed: Vec<Listed>,
    /// Where each job stands in `listed`, by its number.
    pub(crate) index: Vec<Option<usize>>,
    pub(crate) claims: Claims,
    /// Jobs that the vendor's replies named.
    pub(crate) accepted: Vec<Accepted>,
    /// Jobs that were found, or that a person named.
    pub(crate) adopted: Vec<Accepted>,
    /// Jobs of ours that whole lists have missed, and what that says.
    pub(crate) missing: BTreeMap<String, (Missing, Says)>,
    pub(crate) lag: Lag,
    pub(crate) reach: Reach,
    pub(crate) models: ModelIds,
    pub(crate) exclusive: bool,
    /// Until when everything has been listed, without a gap.
    pub(crate) covered: Option<Millis>,
    /// The last whole list: when it was read, and from when on.
    pub(crate) last_list: Option<(Millis, Millis)>,
    pub(crate) released_at: Option<Millis>,
}

impl Book {
    pub(crate) fn new(models: &[&str]) -> Self {
        let ours = models.iter().map(|id| (*id).to_owned()).collect();
        Self {
            rows: Vec::new(),
            calls: Vec::new(),
            listed: Vec::new(),
            index: Vec::new(),
            claims: Claims::default(),
            accepted: Vec::new(),
            adopted: Vec::new(),
            missing: BTreeMap::new(),
            lag: Lag::default(),
            reach: Reach::default(),
            models: ModelIds { ours, ..ModelIds::default() },
            exclusive: true,
            covered: None,
            last_list: None,
            released_at: None,
        }
    }

    pub(crate) fn newest_seen(&self) -> i64 {
        self.listed.len() as i64
    }

    pub(crate) fn listed(&self, id: &str) -> Option<&Listed> {
        self.place_in_list(id).map(|at| &self.listed[at])
    }

    pub(crate) fn place_in_list(&self, id: &str) -> Option<usize> {
        self.index.get(number(id)).copied().flatten()
    }

    /// Jobs accepted lately, in the order of acceptance.
    pub(crate) fn accepted_lately(&self, now: Millis) -> &[Accepted] {
        &self.accepted[self.accepted.partition_point(|job| job.accepted_at < now - MEMORY)..]
    }

    /// All jobs of lately that the vendor has from us.
    pub(crate) fn ours(&self, now: Millis) -> Vec<Accepted> {
        let adopted = self.adopted.iter().filter(|job| job.accepted_at >= now - MEMORY);
        self.accepted_lately(now).iter().chain(adopted).cloned().collect()
    }

    /// A job of ours.
    pub(crate) fn ours_now(&self, id: &str, now: Millis) -> Accepted {
        Accepted {
            remote_id: id.to_owned(),
            accepted_at: now,
            created_at: self.listed(id).and_then(|job| job.created_at),
            shown: self.listed(id).is_some(),
            gone: false,
        }
    }

    /// What was listed first after `seq`, and of which nobody knows whose it is.
    pub(crate) fn unclaimed_since(&self, seq: i64) -> impl Iterator<Item = &Listed> {
        let from = usize::try_from(seq).unwrap_or(0).min(self.listed.len());
        self.listed[from..].iter().filter(|job| !job.history && self.is_nobodys(job))
    }

    /// Whether no row claims it and nobody has found out what it is.
    pub(crate) fn is_nobodys(&self, job: &Listed) -> bool {
        let placed =
            matches!(job.place, Some(Place::Duplicate(_) | Place::Entry(_) | Place::Foreign));
        !placed && !self.claims.hold(&job.id)
    }

    /// A job of ours that the list has never shown, long after its acceptance.
    pub(crate) fn lacks(&self) -> Option<&str> {
        let mut missing = self.missing.iter();
        missing.find(|(_, (_, says))| *says == Says::Lacks).map(|(id, _)| id.as_str())
    }

    fn is_taken_off(&self, id: &str) -> bool {
        self.missing.get(id).is_some_and(|(_, says)| *says == Says::TakenOff)
    }

    /// Where a call stands that has no job: looked for once more it is open.
    pub(crate) fn standing(&self, at: usize) -> Option<Standing> {
        let about = &self.calls[at];
        let row = &self.rows[about.row];
        let waits = row.state == State::Queued && row.absences > 0 && row.last_call == Some(at);
        match about.outcome.standing()? {
            Standing::Absent { .. } if waits => Some(Standing::Open),
            standing => Some(standing),
        }
    }

    pub(crate) fn candidate(&self, job: &Listed, not_this: bool) -> Candidate {
        Candidate {
            remote_id: job.id.clone(),
            seen: job.seen,
            created_at: job.created_at,
            record: job.record.clone(),
            not_this,
        }
    }

    /// Jobs that earlier whole lists showed and that bear witness against a cut one.
    pub(crate) fn shown_before(&self, window: &Window, now: Millis) -> Vec<String> {
        let (from, to) = window.inner();
        let lately = self.listed.partition_point(|job| job.first_seen < now - MEMORY);
        let mut inside: Vec<(Millis, &String)> = self.listed[lately..]
            .iter()
            .filter(|job| !self.is_taken_off(&job.id))
            .filter_map(|job| Some((job.created_at?, &job.id)))
            .filter(|(at, _)| (from..=to).contains(at))
            .collect();
        inside.sort_unstable();
        let rest = inside.len().saturating_sub(NEWEST);
        let (rest, newest) = inside.split_at(rest);
        let spread: Vec<&String> = match rest {
            [(first, _), .., (last, _)] => points(*first, *last)
                .into_iter()
                .filter_map(|point| {
                    rest[..rest.partition_point(|(at, _)| *at <= point)].last().map(|(_, id)| *id)
                })
                .collect(),
            few => few.iter().map(|(_, id)| *id).collect(),
        };
        newest.iter().map(|(_, id)| *id).chain(spread).cloned().collect()
    }

    /// Whether the vendor surely took it from us.
    pub(crate) fn was_accepted(&self, id: &str) -> bool {
        self.accepted.iter().rev().any(|job| job.remote_id == id)
    }

    /// Reads a record into the book.
    pub(crate) fn note_record(&mut self, id: &str, record: Option<Record>) {
        if let Some(at) = self.place_in_list(id) {
            self.listed[at].record = record;
        }
    }

    /// The possible duplicates that calls have.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        let of = |job: &Listed| match job.place {
            Some(Place::Duplicate(intent)) => {
                Some(Taken { intent, job: self.candidate(job, false) })
            }
            _ => None,
        };
        self.listed.iter().filter_map(of).collect()
    }
}

impl Listed {
    pub(crate) fn new(entry: &Entry, before: usize, history: bool, first_seen: Millis) -> Self {
        Self {
            id: entry.id.clone(),
            seen: before as i64 + 1,
            created_at: entry.created_at,
            record: None,
            place: None,
            history,
            first_seen,
            gap: false,
        }
    }
}
