//! Looking: the job list (`src/engine/sweep.rs`) and calls in doubt (`src/engine/resolve.rs`,
//! `resolve/paid.rs`), cut into steps.

use super::bugs::Bug;
use super::check::Listed;
use super::daemon::{Step, Task};
use super::db::{Facts, Intent, Look as Noted};
use super::plan::{Fault, HOUR, MINUTE};
use super::vendor::{ModelStatus, model_id};
use super::world::World;
use crate::domain::event::{Event, Reason};
use crate::domain::ids::Millis;
use crate::domain::reconcile::lag::Moment;
use crate::domain::reconcile::{self, Candidate, Doubt, Effect, SKEW, Sight, Verdict};
use crate::domain::schedule;
use crate::domain::work::State;

/// `WINDOW` of `src/engine/sweep.rs`; `REACH` of `src/engine/resolve/paid.rs`.
const WINDOW: Millis = 24 * HOUR;
/// `AHEAD` of `src/engine/sweep.rs`.
const AHEAD: Millis = 5 * MINUTE;

/// A listing on its way back.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Places in the vendor's jobs; none: it failed.
    jobs: Option<Vec<usize>>,
    start: Millis,
    /// The `Date` of its first page.
    at: Millis,
    /// In truth some of it is missing.
    half: bool,
}

/// A look at what became of a call.
#[derive(Clone, Debug)]
pub(super) struct Look {
    before_resending: bool,
    open: Intent,
    /// When the first question was asked: by the clocks, and in truth.
    at: Option<(Moment, Listed)>,
    /// How many jobs the list had ever shown when its candidates were chosen.
    known: usize,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Begin,
    List,
    Listed(Page, bool, Option<String>),
    Evidence(Vec<(String, Option<Millis>)>, bool, bool),
    Judge(Vec<Candidate>, bool, bool),
}

impl Look {
    pub(super) fn resolve(open: Intent) -> Self {
        Self { before_resending: false, open, at: None, known: 0, stage: Stage::Begin }
    }

    pub(super) fn before_resending(open: Intent) -> Self {
        Self { before_resending: true, open, at: None, known: 0, stage: Stage::Begin }
    }

    pub(super) fn is_before_resending(&self) -> bool {
        self.before_resending
    }
}

impl World {
    pub(super) fn list_is_busy(&self) -> bool {
        self.daemon.as_ref().is_some_and(|daemon| daemon.listing)
    }

    fn lock_list(&mut self, busy: bool) {
        if let Some(daemon) = &mut self.daemon {
            daemon.listing = busy;
        }
    }

    /// `list_since`, the question; the lock is held until [`World::save`].
    fn list_since(&mut self, start: Millis) -> Page {
        self.lock_list(true);
        let timely = self.knows_the_time();
        let end = self.vendor_now() + AHEAD;
        let failed = !timely || !self.answers(Fault::ReadFails);
        let (at, mut all) = (self.vendor.date(), self.vendor.list(start, end));
        let half = !all.is_empty() && self.strikes(Fault::PageFails);
        if half {
            all.truncate(all.len() / 2);
        }
        let counts = !failed && (!half || self.plan.has(Bug::HalfAListIsWhole));
        Page { jobs: counts.then_some(all), start, at, half: half || end < self.vendor.now }
    }

    /// The list of the usual window, or since the last listing if that is longer ago.
    pub(super) fn list_window(&mut self) -> Page {
        let timely = self.knows_the_time();
        let usual = self.vendor_now() - WINDOW;
        let covered = self.db.covered.filter(|_| !self.plan.has(Bug::SweepOfADay));
        let start = covered.map_or(usual, |at| usual.min(at - HOUR));
        let page = self.list_since(start);
        Page { jobs: page.jobs.filter(|_| timely), ..page }
    }

    /// `list_since`, the answer: the ids, if the list is whole.
    pub(super) fn save(&mut self, page: Page) -> Option<Vec<String>> {
        self.lock_list(false);
        let dates = self.plan.dates;
        let jobs: Vec<(String, Option<Millis>)> = page
            .jobs?
            .into_iter()
            .map(|at| &self.vendor.jobs[at])
            .map(|job| (job.remote.clone(), dates.then_some(job.created_at)))
            .collect();
        let (settle, now) = (self.settle_time(), self.now());
        self.before_listing(&jobs);
        self.db.save_listing(&jobs, page.start, page.at, settle, now);
        if let Some(daemon) = &mut self.daemon {
            daemon.listed_at = Some(page.at);
        }
        Some(jobs.into_iter().map(|(remote, _)| remote).collect())
    }

    pub(super) fn sweep(&mut self, task: &Task) {
        if self.list_is_busy() {
            return self.go_on(task, Step::Sweep);
        }
        let page = self.list_window();
        self.go_on(task, Step::Swept(page));
    }

    pub(super) fn swept(&mut self, page: Page) {
        let saved = self.save(page);
        self.say(|w| format!("sweep: {saved:?}; shared: {}", w.db.shared));
    }

    /// Makes sure that the vendor's clock is known, with one free question: every window rests on it.
    fn knows_the_time(&mut self) -> bool {
        self.is_dated() || self.plan.has(Bug::OurClockForTheirs) || self.answers(Fault::ReadFails)
    }

    /// The sweep of a daemon that lives on when everything else is over.
    pub(super) fn sweep_at_the_end(&mut self) {
        if self.daemon.is_none() {
            self.boot();
        }
        self.note_date();
        let page = self.list_window();
        self.swept(page);
    }

    pub(super) fn settle_time(&self) -> Millis {
        self.plan.settle.unwrap_or_else(|| self.db.lag.settle())
    }

    fn is_exclusive(&self) -> bool {
        self.plan.has(Bug::NobodyElseEver) || !self.db.shared
    }

    fn moment(&self) -> Moment {
        let boot = self.daemon.as_ref().map(|daemon| daemon.boot);
        Moment { vendor: self.vendor_now(), local: self.now(), boot }
    }

    pub(super) fn look(&mut self, task: &Task, row: usize, mut look: Look) {
        let stage = std::mem::replace(&mut look.stage, Stage::List);
        match stage {
            Stage::Begin => self.look_begins(task, row, look),
            Stage::List => {
                if self.list_is_busy() {
                    return self.go_on(task, Step::Look(Box::new(look)));
                }
                if !self.knows_the_time() {
                    return self.look_failed(row, &look);
                }
                let since = look.open.vendor_time - SKEW - self.db.lag.skew;
                let recent = self.vendor_now() - since <= WINDOW;
                let witness = if recent { None } else { self.db.known_before(since) };
                let start = witness.as_ref().map_or(since, |(_, at)| (*at).min(since));
                let page = self.list_since(start - SKEW);
                look.at = look.at.or(Some((self.moment(), self.listed_now())));
                look.stage = Stage::Listed(page, recent, witness.map(|(remote, _)| remote));
                self.go_on(task, Step::Look(Box::new(look)));
            }
            Stage::Listed(page, recent, witness) => {
                let half = page.half;
                let Some(ids) = self.save(page) else { return self.look_failed(row, &look) };
                let seen = witness.is_some_and(|remote| ids.contains(&remote));
                let reaches = recent || seen || self.plan.has(Bug::ReachIgnored);
                let unclaimed = self.db.unclaimed(&look.open);
                look.known = self.db.listed.len();
                look.stage = Stage::Evidence(unclaimed, reaches, half);
                self.go_on(task, Step::Look(Box::new(look)));
            }
            Stage::Evidence(unclaimed, reaches, half) => {
                self.checks.evidence_at = self.vendor.now;
                let mut candidates = Vec::new();
                for (remote, created_at) in unclaimed {
                    match self.evidence(&remote, created_at) {
                        Some(candidate) => candidates.push(candidate),
                        None => return self.look_failed(row, &look),
                    }
                }
                look.stage = Stage::Judge(candidates, reaches, half);
                self.go_on(task, Step::Look(Box::new(look)));
            }
            Stage::Judge(candidates, reaches, half) => {
                let verdict = self.judge(&look, &candidates, reaches);
                let verdict = self.unless_overtaken(&look, verdict);
                self.look_ends(task, row, &look, verdict, half);
            }
        }
    }

    fn look_begins(&mut self, task: &Task, row: usize, mut look: Look) {
        if !look.before_resending {
            let State::InDoubt { intent, due } = self.db.work(row).state else { return };
            if due > self.now() {
                return;
            }
            look.open = self.db.intent(intent).clone();
        }
        if self.db.rows[row].is_training() {
            if !self.answers(Fault::ReadFails) {
                return self.look_failed(row, &look);
            }
            look.at = Some((self.moment(), self.listed_now()));
            let model = self.db.rows[row].model;
            if self.vendor.model_status(model) != ModelStatus::New {
                let why = "the model's status is past new".to_owned();
                let verdict = Verdict::Adopt { remote_id: model_id(model), why };
                return self.look_ends(task, row, &look, verdict, false);
            }
        }
        look.stage = Stage::List;
        self.go_on(task, Step::Look(Box::new(look)));
    }

    /// `Engine::evidence`: what a listed job is; none: the question stayed unanswered.
    fn evidence(&mut self, remote: &str, created_at: Option<Millis>) -> Option<Candidate> {
        if !self.answers(Fault::ReadFails) {
            return None;
        }
        let now = self.vendor.now;
        let job = self.vendor.job(remote)?;
        let unreadable = now < job.unreadable_until;
        let done = now >= job.done_at && !unreadable;
        let made = done && !job.fails;
        let shows = !self.plan.has(Bug::ConflictsIgnored);
        Some(Candidate {
            remote_id: remote.to_owned(),
            created_at,
            model: job.model.clone().filter(|_| !unreadable && shows),
            media: Some(job.media).filter(|_| made && shows),
            outputs: if made { job.outputs } else { 0 },
            failed: done && job.fails,
            unreadable,
        })
    }

    /// A list that was read meanwhile, by a sweep, may show what this one does not.
    fn unless_overtaken(&self, look: &Look, verdict: Verdict) -> Verdict {
        let overtaken = self.db.listed.len() > look.known;
        match verdict {
            Verdict::Absent { .. } if overtaken && !self.plan.has(Bug::OvertakenVerdict) => {
                let why = "a newer list shows more".to_owned();
                Verdict::Wait { why, empty: false }
            }
            verdict => verdict,
        }
    }

    /// When the look was: when its list was asked for, not when its verdict is stored.
    fn dated(&self, look: &Look) -> (Moment, Listed) {
        match look.at {
            Some((_, listed)) if self.plan.has(Bug::LookDatedAtItsEnd) => (self.moment(), listed),
            Some(at) => at,
            None => (self.moment(), self.listed_now()),
        }
    }

    fn listed_now(&self) -> Listed {
        Listed { at: self.vendor.now, jumps: self.checks.jumps }
    }

    /// `Engine::doubt`.
    fn doubt(&self, open: &Intent, at: &Moment, reaches_back: bool) -> Doubt {
        let row = &self.db.rows[open.row];
        Doubt {
            intent: open.seq,
            request_hash: row.hash.to_string(),
            effect: row.effect.clone(),
            sent_at: open.vendor_time,
            dated: true,
            healthy: open.healthy_at(at, self.plan.bug),
            looked: open.looked_boot.is_some(),
            looks: open.looks,
            first_look: open.first_look,
            reaches_back,
        }
    }

    fn judge(&mut self, look: &Look, candidates: &[Candidate], reaches_back: bool) -> Verdict {
        let (open, (at, _)) = (&look.open, self.dated(look));
        let settle = self.settle_time();
        let mine = self.doubt(open, &at, reaches_back);
        // What it was given when it was taken for absent is enough.
        let enough = if look.before_resending { settle.min(mine.healthy) } else { settle };
        let sight = Sight {
            vendor_now: at.vendor,
            exclusive: self.is_exclusive(),
            trainings: self.db.trainings_that_may_show(open, settle, self.now()),
            skew: SKEW + self.db.lag.skew,
            settle: if self.plan.has(Bug::SettleOfZero) { 0 } else { enough },
            relist: self.plan.relist,
        };
        let mut doubts = vec![mine];
        if self.plan.has(Bug::AbsentAfterOneLook) && doubts[0].looks == 0 {
            (doubts[0].looks, doubts[0].first_look) = (1, Some(Millis::MIN / 2));
        }
        for other in self.db.other_doubts(open.seq) {
            doubts.push(self.doubt(&other, &at, reaches_back));
        }
        reconcile::judge(&doubts, candidates, &sight).swap_remove(0)
    }

    /// A look that failed proves nothing.
    fn look_failed(&mut self, row: usize, look: &Look) {
        if look.before_resending {
            return self.postpone(row, "the last look failed");
        }
        let work = self.db.work(row);
        let until = self.now() + schedule::backoff(work.id, work.failures);
        let event = Event::LookFailed { until, note: "the vendor did not answer".to_owned() };
        let facts = Facts { look: Some(Noted::Failed), ..Facts::default() };
        if self.apply(row, &event, &facts) {
            self.looked(look.open.seq, None);
        }
    }

    fn look_ends(&mut self, task: &Task, row: usize, look: &Look, verdict: Verdict, half: bool) {
        if look.before_resending {
            return self.last_look_ends(task, row, verdict, look.known);
        }
        let (at, listed) = self.dated(look);
        let healthy = look.open.healthy_at(&at, self.plan.bug);
        let empty = matches!(verdict, Verdict::Wait { empty: true, .. } | Verdict::Absent { .. });
        let reserve = match &verdict {
            Verdict::Park { candidates, .. } => candidates.clone(),
            _ => Vec::new(),
        };
        let facts = Facts { look: Some(Noted::Complete { at, healthy, empty }), reserve };
        let event = self.event_of(verdict);
        // Whoever else moved the row meanwhile has the better claim; it is looked at again.
        let before = self.open_intent(row).map(|open| open.seq);
        self.checks.looking(look.open.seq, half, empty, listed);
        if before == Some(look.open.seq) {
            self.looked(look.open.seq, Some((healthy, matches!(event, Event::LookAgain { .. }))));
        }
        if !self.apply(row, &event, &facts) {
            self.rest(task);
        }
    }

    fn last_look_ends(&mut self, task: &Task, row: usize, verdict: Verdict, known: usize) {
        if let Some(daemon) = &mut self.daemon {
            daemon.last_looks.insert(row, known);
        }
        let event = match verdict {
            Verdict::Absent { .. } | Verdict::Wait { empty: true, .. } => {
                return self.send_at_last(task, row);
            }
            Verdict::Park { ref candidates, .. } if candidates.is_empty() => {
                return self.send_at_last(task, row);
            }
            Verdict::Wait { why, .. } => {
                let at = self.now() + self.plan.relist;
                Event::LookAgain { at, note: format!("it came to light late: {why}") }
            }
            verdict => self.event_of(verdict),
        };
        if !self.apply(row, &event, &Facts::default()) {
            self.rest(task);
        }
    }

    /// `Engine::event_of`.
    fn event_of(&self, verdict: Verdict) -> Event {
        match verdict {
            Verdict::Adopt { remote_id, why } => Event::Found { remote_id, note: why },
            Verdict::Absent { why } => Event::Absent { note: why },
            Verdict::Wait { why, .. } => {
                Event::LookAgain { at: self.now() + self.plan.relist, note: why }
            }
            Verdict::Park { why, candidates } => Event::NeedsPerson {
                reason: Reason::Undecidable,
                message: format!("{why}: {}", candidates.join(", ")),
            },
        }
    }

    /// Whether an automatic verdict about a job rests on something that it plainly is not.
    pub(super) fn conflicts(&self, row: usize, remote: &str) -> Option<&'static str> {
        let Effect::Job(expected) = &self.db.rows[row].effect else { return None };
        let job = self.vendor.job(remote)?;
        // It may have ended between the evidence and the verdict.
        let done = self.checks.evidence_at >= job.done_at && !job.fails;
        let done = done && self.checks.evidence_at >= job.unreadable_until;
        if done && job.media != expected.media {
            return Some("makes something else");
        }
        match (&job.model, &expected.model) {
            (Some(theirs), Some(ours)) if theirs != ours => Some("belongs to another model"),
            _ => None,
        }
    }
}
