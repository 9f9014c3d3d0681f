//! What a whole list teaches, as the program's store learns it.

use crate::book::{Book, Listed};
use crate::numbered::Showing;
use crate::vendor::{Entry, number};
use judging::clocks::{Accepted, Clocks};
use judging::lag::{self, Missing, Says};
use judging::missing::{self, Missed};
use judging::times::Times;
use judging::witness::Window;
use judging::{HOUR, Millis};

/// The reach is noted anew when it has grown by this much.
const REACH_STEP: Millis = HOUR;

/// A whole list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lesson<'a> {
    pub(crate) now: Millis,
    /// When the daemon was started.
    pub(crate) started: Millis,
    pub(crate) window: &'a Window,
    /// How much further back than the clocks say the window begins.
    pub(crate) widening: Millis,
    pub(crate) times: &'a Times,
}

impl Book {
    /// Learns from a whole list; `ours` as it was before.
    pub(crate) fn learn(&mut self, entries: &[Entry], ours: &[Accepted], lesson: &Lesson<'_>) {
        let mut shown = Showing::default();
        entries.iter().for_each(|entry| shown.add(entry));
        self.hear(&shown, ours, lesson);
        self.note(entries, &shown, lesson.now);
        let since = lesson.window.start - lesson.widening;
        // A gap that this list does not close stays open for the sweep.
        self.covered = match self.covered {
            Some(covered) if since > covered => Some(covered),
            covered => covered.max(Some(lesson.now)),
        };
        self.last_list = Some((lesson.now, lesson.window.start));
    }

    /// What the list says about itself, by what it shows of our own jobs.
    fn hear(&mut self, shown: &Showing, ours: &[Accepted], lesson: &Lesson<'_>) {
        let now = lesson.now;
        self.missing.retain(|id, (_, says)| *says == Says::TakenOff || shown.get(id).is_none());
        let has = |id: &str| shown.get(id).is_some();
        let clocks = Clocks::measure(self.accepted_lately(now), now);
        let missed = missing::missed(lesson.window, now, ours, &clocks, has);
        let lag = missing::lateness(&missed, lesson.started, lesson.times);
        let first = ours.iter().filter(|job| !job.shown && has(&job.remote_id)).count();
        (0..first).for_each(|_| self.lag.shown());
        if let Some(age) = lag {
            self.lag.missed(age, now);
        }
        for job in &missed {
            self.note_missed(job, lesson);
        }
        let ages = ours.iter().filter(|job| has(&job.remote_id)).map(|job| now - job.accepted_at);
        if let Some(age) = ages.max().filter(|age| *age >= self.reach.shown + REACH_STEP) {
            self.reach.shown = age;
        }
    }

    fn note_missed(&mut self, job: &Missed, lesson: &Lesson<'_>) {
        let missing = Missing {
            accepted_at: job.accepted_at,
            ever_shown: job.ever_shown,
            since: lesson.now,
            readings: 0,
        };
        let id = &job.remote_id;
        let noted = self.missing.entry(id.clone()).or_insert((missing, Says::Late));
        noted.0.readings += u32::from(job.newer_shown);
        let (missing, said) = *noted;
        noted.1 = lag::says(&missing, lesson.times, lesson.now);
        if noted.1 == Says::TakenOff && said != Says::TakenOff {
            let least = self.reach.taken_off.map_or(missing.age(), |age| age.min(missing.age()));
            self.reach.taken_off = Some(least);
            for ours in self.accepted.iter_mut().chain(&mut self.adopted) {
                ours.gone |= ours.remote_id == *id;
            }
        }
    }

    /// Notes what no list has shown before.
    fn note(&mut self, entries: &[Entry], shown: &Showing, now: Millis) {
        let first = self.last_list.is_none();
        for entry in entries {
            if self.place_in_list(&entry.id).is_none() {
                let job = Listed::new(entry, self.listed.len(), first, now);
                self.listed.push(job);
                let number = number(&entry.id);
                self.index.resize(self.index.len().max(number + 1), None);
                self.index[number] = Some(self.listed.len() - 1);
            }
        }
        let unshown = |ours: &&mut Accepted| !ours.shown;
        for ours in self.accepted.iter_mut().chain(&mut self.adopted).filter(unshown) {
            if let Some(created_at) = shown.get(&ours.remote_id) {
                (ours.shown, ours.created_at) = (true, created_at);
            }
        }
    }
}
