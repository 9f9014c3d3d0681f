//! Looks at a call in doubt: what is asked for, what it proves, what is done about it.

use crate::book::{Outcome, State};
use crate::bugs::Bug;
use crate::daemon::Sim;
use crate::learning::Lesson;
use crate::sending::AHEAD;
use crate::vendor::number;
use judging::clocks::Accepted;
use judging::fit::{Candidate, Ground, ModelIds};
use judging::lag::{Reach, Settle};
use judging::lane::Waited;
use judging::verdict::{Other, Progress, Reading, Scene, Verdict};
use judging::witness::{Heard, Window, Witnesses};
use judging::{DAY, HOUR, MINUTE, Millis, SECOND, lane, list, verdict};

/// How long looking may fail before a person is told (rule 13); the program waits longer so far.
const GIVE_UP: Millis = 2 * HOUR;

/// Looking for a call that has been proven absent has gone on for long enough.
pub(crate) const LONG_ENOUGH: Millis = Millis::MAX / 4;

/// What a whole list showed.
pub(crate) struct Shown {
    pub(crate) window: Window,
    /// Jobs that replies named, as they were before.
    heard: Vec<Accepted>,
    /// By the numbers of jobs.
    jobs: Vec<bool>,
}

impl Shown {
    fn has(&self, id: &str) -> bool {
        self.jobs.get(number(id)).copied().unwrap_or(false)
    }
}

impl Sim {
    /// Reads a list and learns from it; none if it cannot be read whole.
    pub(crate) fn read_list(&mut self, window: &Window) -> Option<Shown> {
        let (entries, requests) = self.vendor.list(self.now, window);
        self.truth.requests += u64::from(requests);
        let entries = entries?;
        let ours = self.book.ours(self.now);
        let heard = self.book.accepted_lately(self.now).to_vec();
        let (now, started) = (self.now, self.started);
        let widening = self.clocks().widening();
        let lesson = Lesson { now, started, window, widening, times: &self.times };
        self.book.learn(&entries, &ours, &lesson);
        let mut jobs = vec![false; self.vendor.jobs.len()];
        entries.iter().for_each(|entry| jobs[number(&entry.id)] = true);
        Some(Shown { window: *window, heard, jobs })
    }

    /// A look at a call in doubt.
    pub(crate) fn look(&mut self, at: usize, nth: u32) {
        let about = &self.book.calls[at];
        if about.outcome != Outcome::Open || about.doubt.looks != nth {
            return;
        }
        let settle = self.settle().millis;
        let (call, doubt) = (&about.call, &about.doubt);
        let pause = self.times.pause(doubt.looking, doubt.took);
        let wide = doubt.failed
            || verdict::wants_wide(doubt.looks == 0, doubt.looking + pause, settle)
            || self.has(Bug::OneLookIsEnough);
        let start = match (wide, call.listed_from) {
            (true, Some(from)) => from,
            (true, None) => call.span.opened_at - 9 * DAY,
            (false, from) => list::narrow(call.span.opened_at, from, &self.clocks()),
        };
        let window = Window { start, end: Some(self.now + AHEAD) };
        let before = self.truth.requests;
        let shown = self.read_list(&window);
        self.place_all();
        let looked = shown.as_ref().map(|shown| self.judge(at, shown));
        let took = 100 * (self.truth.requests - before) as Millis;
        self.truth.looked(self.book.calls[at].number, self.truth.requests - before);
        let doubt = &mut self.book.calls[at].doubt;
        doubt.looks += 1;
        doubt.took = took;
        self.after_look(at, looked);
    }

    pub(crate) fn settle(&self) -> Settle {
        let settle = self.book.lag.settle(&self.times, self.now);
        match self.bug {
            Some(Bug::LagIgnored) => Settle { millis: self.times.least(), ..settle },
            Some(Bug::SettleOfNothing) => Settle { millis: 0, ..settle },
            _ => settle,
        }
    }

    /// What a whole list proves about a call. Time in which the vendor was looked at adds up here.
    pub(crate) fn judge(&mut self, at: usize, shown: &Shown) -> Verdict {
        self.read_records(at);
        let heard = self.heard(at, shown);
        let now = self.now;
        let pause = self.times.pause(self.book.calls[at].doubt.looking, 0).max(10 * MINUTE);
        let doubt = &mut self.book.calls[at].doubt;
        let last = doubt.last_whole.unwrap_or(now);
        doubt.looking += (now - last).min(3 * pause);
        doubt.failed = false;
        doubt.last_whole = Some(now);
        let verdict = self.verdict(at, shown, heard, false);
        let doubt = &mut self.book.calls[at].doubt;
        doubt.ripe_since = match &verdict {
            Verdict::Wait { ripe: true, .. } => doubt.ripe_since.or(Some(doubt.looking)),
            _ => None,
        };
        verdict
    }

    pub(crate) fn read_records(&mut self, at: usize) {
        let seq = self.book.calls[at].call.listed_seq;
        let ended = |record: &Option<judging::fit::Record>| {
            record.as_ref().is_some_and(|record| record.ended)
        };
        let unread = self.book.unclaimed_since(seq).filter(|job| !ended(&job.record));
        for id in unread.map(|job| job.id.clone()).collect::<Vec<_>>() {
            self.truth.requests += 1;
            let record = self.vendor.record(&id, self.now);
            self.book.note_record(&id, record);
        }
    }

    pub(crate) fn heard(&self, at: usize, shown: &Shown) -> Heard {
        let span = self.book.calls[at].call.span;
        let before = match self.bug {
            Some(Bug::CutListBelieved) => Vec::new(),
            _ => self.book.shown_before(&shown.window, self.now),
        };
        let witnesses = Witnesses::of(
            &shown.window,
            (span.opened_at, span.ended_at),
            &shown.heard,
            before,
            (self.settle().millis, self.now),
        );
        let mut heard = witnesses.heard(|id| shown.has(id));
        match self.bug {
            Some(Bug::WitnessesIgnored) => heard.missing.clear(),
            Some(Bug::EmptyListBelieved) => heard.before += 1,
            Some(Bug::OldWitnessesSuffice) => heard.since += 1,
            _ => {}
        }
        heard
    }

    pub(crate) fn candidates(&self, at: usize) -> Vec<Candidate> {
        let about = &self.book.calls[at];
        let candidate = |job| self.book.candidate(job, about.not_this.contains(&job.id));
        let mut all: Vec<Candidate> = match self.bug {
            Some(Bug::ClaimNotUnique) => {
                let from = about.call.listed_seq as usize;
                self.book.listed[from..].iter().map(candidate).collect()
            }
            Some(Bug::KnownIdsIgnored) => {
                let known = self.book.listed.iter();
                known.filter(|job| !self.book.claims.hold(&job.id)).map(candidate).collect()
            }
            _ => self.book.unclaimed_since(about.call.listed_seq).map(candidate).collect(),
        };
        for job in &mut all {
            self.twist(about.call.span.opened_at, job);
        }
        all
    }

    /// What some planted bugs make of a candidate.
    fn twist(&self, opened_at: Millis, job: &mut Candidate) {
        let before = |at: Millis| at < opened_at - 5 * SECOND;
        match (self.bug, &mut job.record) {
            (Some(Bug::ClocksCompared), _) => {
                job.not_this |= job.created_at.is_some_and(before);
            }
            (Some(Bug::StillsTrusted), Some(record)) => record.ended = true,
            (Some(Bug::ConflictsIgnored), Some(record)) => {
                (record.model, record.media, record.outputs) = (None, None, 0);
            }
            _ => {}
        }
    }

    /// Other calls without a job. One that is out this very moment counts as well, however far apart
    /// the two went out: its job is listed before its reply is here.
    fn others(&self, at: usize) -> Vec<Other> {
        if self.has(Bug::OthersIgnored) {
            return Vec::new();
        }
        self.calls_lately()
            .filter(|other| *other != at)
            .filter_map(|other| {
                let about = &self.book.calls[other];
                let standing = self.book.standing(other)?;
                let mut call = about.call.clone();
                // An identical request is interchangeable, but not while its own reply may still
                // name the job: then two calls would hold it.
                if about.outcome == Outcome::Out {
                    call.request_hash.push_str(", out");
                }
                Some(Other { call, standing })
            })
            .collect()
    }

    pub(crate) fn model_ids(&self) -> ModelIds {
        match self.bug {
            Some(Bug::IdsTrusted) => ModelIds { same: 9, other: 0, ..self.book.models.clone() },
            _ => self.book.models.clone(),
        }
    }

    pub(crate) fn verdict(&self, at: usize, shown: &Shown, heard: Heard, resend: bool) -> Verdict {
        let about = &self.book.calls[at];
        let (call, doubt) = (&about.call, &about.doubt);
        let (clocks, models) = (self.clocks(), self.model_ids());
        let accepted = self.book.accepted_lately(self.now);
        let (others, ours) = (self.others(at), self.book.ours(self.now));
        let released = self.book.released_at.is_some_and(|at| call.span.opened_at < at);
        let forgetful = self.paused || released;
        let scene = Scene {
            ground: Ground { accepted, clocks: &clocks, models: &models },
            ours: &ours,
            others: &others,
            exclusive: self.book.exclusive || self.has(Bug::NobodyElseEver),
            settle: self.settle(),
            reach: match self.bug {
                Some(Bug::ReachIgnored) => Reach { shown: Millis::MAX, taken_off: None },
                _ => self.book.reach,
            },
            lacks: self.book.lacks().filter(|_| !self.has(Bug::LacksIgnored)),
            forgetful,
        };
        let parked = about.outcome == Outcome::Parked;
        let wide = call.listed_from.is_none_or(|from| shown.window.start <= from);
        let mut progress = Progress {
            parked,
            absent: about.was_absent && !self.has(Bug::AbsenceForgotten),
            looking: doubt.looking,
            ripe_since: doubt.ripe_since,
            age: self.now - call.span.opened_at,
        };
        if resend {
            (progress.looking, progress.ripe_since) = (LONG_ENOUGH, Some(0));
        }
        let mut reading = Reading { wide, heard };
        match self.bug {
            Some(Bug::SettleOfNothing) => {
                reading.heard.since += 1;
            }
            Some(Bug::OneLookIsEnough) => {
                progress.looking = progress.looking.max(HOUR);
                progress.ripe_since = Some(0);
            }
            _ => {}
        }
        verdict::judge(call, &progress, &reading, &self.candidates(at), &scene, &self.times)
    }

    fn after_look(&mut self, at: usize, looked: Option<Verdict>) {
        let quiet = looked.as_ref().is_some_and(
            |verdict| matches!(verdict, Verdict::Wait { candidates, .. } if candidates.is_empty()),
        );
        match looked {
            Some(verdict) => {
                self.carry_out(at, verdict);
            }
            None => self.look_failed(at),
        }
        let now = self.now;
        let about = &mut self.book.calls[at];
        let failing = about.doubt.failing_since.get_or_insert(now);
        let failing = match about.doubt.failed {
            true => now - *failing,
            false => {
                about.doubt.failing_since = None;
                0
            }
        };
        let age = now - about.call.span.opened_at;
        let open = about.outcome == Outcome::Open;
        let doubt = &about.doubt;
        let looking = doubt.looking;
        let waited = Waited { looking: doubt.looking, looks: doubt.looks, quiet, age };
        let since = if doubt.failed { doubt.looking.max(age) } else { doubt.looking };
        // What would be absent had an earlier look said so needs only one more.
        let ripe = doubt.ripe_since.is_some();
        let pause = match ripe {
            _ if self.bug == Some(Bug::LooksSeldom) && since > 2 * MINUTE => HOUR,
            true => self.times.relist.max(4 * doubt.took),
            false => self.times.pause(since, doubt.took),
        };
        if !open || (lane::opens(&waited, &self.times) && !self.has(Bug::LaneWaits)) {
            self.free_lane(at);
        }
        if open {
            if looking >= self.times.stuck() || failing >= GIVE_UP {
                self.ask(at);
            }
            self.look_at(at, now + pause);
        }
    }

    pub(crate) fn look_failed(&mut self, at: usize) {
        let doubt = &mut self.book.calls[at].doubt;
        doubt.failed = true;
        doubt.ripe_since = None;
        doubt.last_whole = None;
    }

    /// A person is asked about a call, which is looked for further.
    pub(crate) fn ask(&mut self, at: usize) {
        let about = &mut self.book.calls[at];
        if about.doubt.asked || self.bug == Some(Bug::NobodyAsked) {
            return;
        }
        about.doubt.asked = true;
        let (number, row) = (about.number, about.row);
        self.truth.asked(number);
        self.tell(|| format!("a person is asked about call {number}"));
        self.person_soon(row);
    }

    /// Does what a verdict says. Whether the call is settled.
    pub(crate) fn carry_out(&mut self, at: usize, verdict: Verdict) -> bool {
        let about = &self.book.calls[at];
        let (number, row) = (about.number, about.row);
        match verdict {
            Verdict::Found { remote_id, why } => {
                self.tell(|| format!("call {number}: found {remote_id}: {why}"));
                self.adopt(at, &remote_id);
                true
            }
            Verdict::Absent { why, fresh } => {
                self.tell(|| format!("call {number}: absent: {why}"));
                self.truth.absent(number, (self.settle().millis, self.now));
                let call = &mut self.book.calls[at];
                (call.outcome, call.was_absent) = (Outcome::Absent { fresh }, true);
                let about = &mut self.book.rows[row];
                about.absences += 1;
                if about.absences > 1 && self.bug != Some(Bug::ResendForEver) {
                    about.state = State::AbsentTwice(at);
                    self.ask(at);
                } else {
                    about.state = State::Queued;
                }
                self.turn_soon();
                true
            }
            Verdict::Park { why, candidates } => {
                self.tell(|| format!("call {number}: parked: {why} {candidates:?}"));
                self.book.calls[at].outcome = Outcome::Parked;
                self.book.rows[row].state = State::Parked(at);
                self.ask(at);
                true
            }
            Verdict::Wait { .. } => false,
        }
    }

    pub(crate) fn adopt(&mut self, at: usize, id: &str) {
        let number = self.book.calls[at].number;
        let request = self.book.rows[self.book.calls[at].row].request.clone();
        let in_force = (self.settle().millis, self.now);
        self.truth.check_adoption(&self.vendor, &self.book, (number, id), &request, in_force);
        self.truth.settled(number, self.now);
        self.learn_late_effect(at, id);
        self.adopted(at, id);
    }
}
