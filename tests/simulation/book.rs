//! What the daemon has written down: rows, calls, everything that any list has shown, and what it has
//! learnt of the vendor.

use crate::numbered::{Claims, Showing};
use crate::vendor::{Entry, Request, number};
use judging::clocks::Accepted;
use judging::fit::{Call, Candidate, ModelIds, Record};
use judging::lag::{Lag, Missing, Reach, Says};
use judging::placing::Place;
use judging::times::Times;
use judging::verdict::Standing;
use judging::witness::{NEWEST, Window, points};
use judging::{DAY, HOUR, Millis};
use std::collections::BTreeSet;

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
    pub(crate) gone: bool,
    missing: Option<Missing>,
}

/// What is known of an accepted job beside [`Accepted`].
#[derive(Clone, Debug)]
pub(crate) struct Acceptance {
    pub(crate) boot: u32,
    missing: Option<Missing>,
}

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) rows: Vec<Row>,
    pub(crate) calls: Vec<CallRow>,
    pub(crate) listed: Vec<Listed>,
    /// Where each job stands in `listed`, by its number.
    index: Vec<Option<usize>>,
    pub(crate) claims: Claims,
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) acceptances: Vec<Acceptance>,
    pub(crate) lag: Lag,
    pub(crate) reach: Reach,
    pub(crate) models: ModelIds,
    pub(crate) exclusive: bool,
    pub(crate) lacks: Option<String>,
    /// The last whole list: when it was read, and from when on.
    pub(crate) last_list: Option<(Millis, Millis)>,
    pub(crate) released_at: Option<Millis>,
}

/// What a list taught, beyond its entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lesson<'a> {
    pub(crate) now: Millis,
    pub(crate) boot: u32,
    pub(crate) window: &'a Window,
    pub(crate) times: &'a Times,
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
            acceptances: Vec::new(),
            lag: Lag::default(),
            reach: Reach::default(),
            models: ModelIds { ours, ..ModelIds::default() },
            exclusive: true,
            lacks: None,
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

    fn place_in_list(&self, id: &str) -> Option<usize> {
        self.index.get(number(id)).copied().flatten()
    }

    /// Jobs accepted lately, in the order of acceptance.
    pub(crate) fn accepted_lately(&self, now: Millis) -> &[Accepted] {
        &self.accepted[self.accepted.partition_point(|job| job.accepted_at < now - MEMORY)..]
    }

    /// What was listed first after `seq` and lately, by no row claimed.
    pub(crate) fn unclaimed_since(&self, seq: i64) -> impl Iterator<Item = &Listed> {
        let from = usize::try_from(seq).unwrap_or(0).min(self.listed.len());
        self.listed[from..].iter().filter(|job| !job.history && !self.claims.hold(&job.id))
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
            .filter(|job| !job.gone)
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

    /// Learns from a whole list.
    pub(crate) fn learn(&mut self, entries: &[Entry], lesson: &Lesson<'_>) {
        let first = self.last_list.is_none();
        let mut shown = Showing::default();
        for entry in entries {
            let at = self.place_in_list(&entry.id).unwrap_or_else(|| {
                let job = Listed::new(entry, self.listed.len(), first, lesson.now);
                self.listed.push(job);
                let number = number(&entry.id);
                self.index.resize(self.index.len().max(number + 1), None);
                self.index[number] = Some(self.listed.len() - 1);
                self.listed.len() - 1
            });
            self.listed[at].missing = None;
            shown.add(entry);
        }
        self.learn_of_ours(&shown, lesson);
        self.learn_of_all(&shown, lesson);
        self.last_list = Some((lesson.now, lesson.window.start));
    }

    fn learn_of_ours(&mut self, shown: &Showing, lesson: &Lesson<'_>) {
        let now = lesson.now;
        let clocks = judging::clocks::Clocks::measure(self.accepted_lately(now), now);
        let from = self.accepted.partition_point(|job| job.accepted_at < now - MEMORY);
        for at in from..self.accepted.len() {
            let (job, about) = (&mut self.accepted[at], &mut self.acceptances[at]);
            let age = now - job.accepted_at;
            if let Some(created_at) = shown.get(&job.remote_id) {
                // A list that had seemed to lack it was only late.
                self.lacks = self.lacks.take().filter(|lacking| *lacking != job.remote_id);
                if !job.shown && about.boot == lesson.boot {
                    self.lag.shown();
                }
                (job.shown, job.created_at, about.missing) = (true, created_at, None);
                self.reach.shown = self.reach.shown.max(age);
                continue;
            }
            // A list that began before the job was accepted, or that may not hold it, says nothing.
            let inside = job.accepted_at + clocks.widening() - HOUR >= lesson.window.start;
            if job.shown || job.gone || !inside {
                continue;
            }
            if about.boot == lesson.boot {
                self.lag.missed(age, now);
            }
            let missing = about.missing.get_or_insert(Missing {
                accepted_at: job.accepted_at,
                ever_shown: false,
                since: now,
                readings: 0,
            });
            missing.readings += u32::from(shown.newest.is_some());
            if judging::lag::says(missing, lesson.times, now) == Says::Lacks {
                self.lacks.get_or_insert_with(|| job.remote_id.clone());
            }
        }
    }

    /// What earlier lists showed and this one does not may have been taken off.
    fn learn_of_all(&mut self, shown: &Showing, lesson: &Lesson<'_>) {
        let now = lesson.now;
        let (from, to) = lesson.window.inner();
        let lately = self.listed.partition_point(|job| job.first_seen < now - MEMORY);
        for job in &mut self.listed[lately..] {
            let Some(created_at) = job.created_at else { continue };
            let newer = shown.newest.is_some_and(|newest| newest > created_at);
            if job.gone || shown.get(&job.id).is_some() || !(from..=to).contains(&created_at) {
                continue;
            }
            let ours = self.accepted.iter_mut().rev().find(|ours| ours.remote_id == job.id);
            let missing = job.missing.get_or_insert(Missing {
                accepted_at: ours.as_ref().map_or(job.first_seen, |ours| ours.accepted_at),
                ever_shown: true,
                since: now,
                readings: 0,
            });
            missing.readings += u32::from(newer);
            if judging::lag::says(missing, lesson.times, now) == Says::TakenOff {
                job.gone = true;
                if let Some(ours) = ours {
                    ours.gone = true;
                    let age = missing.since - ours.accepted_at;
                    self.reach.taken_off =
                        Some(self.reach.taken_off.map_or(age, |least| least.min(age)));
                }
            }
        }
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

    /// The calls that have a possible duplicate.
    pub(crate) fn taken(&self) -> Vec<i64> {
        let duplicates = self.listed.iter().filter(|job| !self.claims.hold(&job.id));
        duplicates
            .filter_map(|job| match job.place {
                Some(Place::Duplicate(intent)) => Some(intent),
                _ => None,
            })
            .collect()
    }
}

impl Listed {
    fn new(entry: &Entry, before: usize, history: bool, first_seen: Millis) -> Self {
        Self {
            id: entry.id.clone(),
            seen: before as i64 + 1,
            created_at: entry.created_at,
            record: None,
            place: None,
            history,
            first_seen,
            gone: false,
            missing: None,
        }
    }
}

impl Acceptance {
    pub(crate) fn new(boot: u32) -> Self {
        Self { boot, missing: None }
    }
}
