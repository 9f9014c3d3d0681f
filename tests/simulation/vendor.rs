//! The vendor: it keeps the truth and shows it badly.

use crate::dice::{About, Dice};
use crate::trouble::{Usage, Ways, Whose};
use judging::fit::{Media, Record};
use judging::witness::Window;
use judging::{DAY, HOUR, MINUTE, Millis, SECOND};

/// What somebody ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) hash: String,
    pub(crate) model: Option<String>,
    pub(crate) media: Media,
    pub(crate) count: u32,
}

/// Who made a job, in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    /// A call of ours: the row, and the call's own number, which no restored database repeats.
    Ours { row: usize, call: u64 },
    /// Somebody else.
    Stranger,
}

/// A job as it is. It may lie in the future: a late effect.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) maker: Maker,
    pub(crate) request: Request,
    pub(crate) made_at: Millis,
    /// When a list shows it first, the lateness of the whole list aside; never, or then.
    pub(crate) listed_at: Option<Millis>,
    /// The second job of one request.
    pub(crate) double: bool,
    number: u64,
    created_at: Option<Millis>,
    pub(crate) filtered_at: Millis,
    ends_at: Millis,
}

/// An entry of a list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) created_at: Option<Millis>,
}

/// The vendor.
#[derive(Clone, Debug)]
pub(crate) struct Vendor {
    pub(crate) ways: Ways,
    /// All jobs, by their numbers.
    pub(crate) jobs: Vec<Job>,
    /// The same in the order in which they are made.
    in_order: Vec<usize>,
    dice: Dice,
    readings: u64,
}

/// How many entries a page holds.
const PAGE: usize = 20;

impl Vendor {
    pub(crate) fn new(ways: Ways, usage: Usage, dice: Dice) -> Self {
        let mut vendor = Self { ways, jobs: Vec::new(), in_order: Vec::new(), dice, readings: 0 };
        vendor.strangers(usage.lasts());
        vendor
    }

    /// What strangers will order; they come in sessions of three or so.
    fn strangers(&mut self, until: Millis) {
        for (from, whose) in self.ways.strangers.clone() {
            // What looks like ours is placed around ours, by `orders::twins`.
            if whose == Whose::Twins {
                continue;
            }
            let mut at = from * DAY;
            for nth in 0.. {
                let session = nth % 3 == 0;
                let mean = if session { 5 * HOUR } else { 4 * MINUTE };
                at += self.dice.waiting(mean, About::Stranger, (nth, 0));
                if at > until {
                    break;
                }
                let throw = |least, most, name| {
                    self.dice.between((least, most), About::Stranger, (nth, name))
                };
                let model = throw(0, 2, 1);
                let request = Request {
                    hash: format!("stranger {nth}"),
                    model: Some(match whose {
                        Whose::Theirs => format!("s{model}"),
                        Whose::Ours | Whose::Twins => format!("m{model}"),
                    }),
                    media: if throw(0, 3, 2) == 0 { Media::Videos } else { Media::Images },
                    count: 1,
                };
                self.make(Maker::Stranger, request, at, false);
            }
        }
    }

    /// Makes a job.
    pub(crate) fn make(
        &mut self,
        maker: Maker,
        request: Request,
        made_at: Millis,
        double: bool,
    ) -> String {
        let number = self.jobs.len() as u64;
        // A stranger's throws do not depend on how much we order.
        let name = (number, made_at as u64);
        let (dice, ways) = (self.dice, &self.ways);
        let stepped = |by: Millis| if made_at >= 5 * DAY { by } else { 0 };
        let disorder = dice.between((-ways.disorder, ways.disorder), About::Created, name);
        let mut created = made_at + ways.created_off + stepped(ways.created_step) + disorder;
        if ways.whole_seconds {
            created = created.div_euclid(SECOND) * SECOND;
        }
        let late = match ways.late_mean {
            0 => 0,
            mean => dice.waiting(mean, About::Late, name),
        };
        let never = dice.happens(ways.never_listed, About::Listed, name);
        let lasts = match request.media {
            Media::Images => (20 * SECOND, 3 * MINUTE),
            Media::Videos => (3 * MINUTE, 25 * MINUTE),
        };
        let id = format!("j{number}");
        let job = Job {
            id: id.clone(),
            maker,
            made_at,
            listed_at: (!never).then_some(made_at + late),
            double,
            number,
            created_at: (!ways.created_missing).then_some(created),
            filtered_at: created + ways.filter_off + stepped(ways.filter_step),
            ends_at: made_at + dice.between(lasts, About::Record, name),
            request,
        };
        let jobs = &self.jobs;
        let at = self.in_order.partition_point(|other| jobs[*other].made_at <= made_at);
        self.in_order.insert(at, self.jobs.len());
        self.jobs.push(job);
        id
    }

    /// The list shows this job later than it would.
    pub(crate) fn list_later(&mut self, id: &str, by: Millis) {
        if let Some(job) = self.jobs.get_mut(number(id)) {
            job.listed_at = job.listed_at.map(|at| at + by);
        }
    }

    /// Up to when the list is true at `now`.
    fn shown_until(&self, now: Millis) -> Millis {
        let growing = self.ways.late_per_day * now.max(0) / DAY;
        let until = now - self.ways.late - growing;
        self.freeze(until).unwrap_or(until)
    }

    /// Since when the list stands still, if it does.
    fn freeze(&self, now: Millis) -> Option<Millis> {
        // Nine to nine is when people order; the first standstill begins at half past ten.
        let begin = 10 * HOUR + 30 * MINUTE;
        self.ways.frozen.iter().find_map(|(long, every)| {
            let into = (now - begin).rem_euclid(*every);
            (into < *long).then(|| now - into)
        })
    }

    /// Since when the list at `now` stands still, if it does.
    pub(crate) fn frozen_since(&self, now: Millis) -> Option<Millis> {
        self.freeze(now - self.ways.late - self.ways.late_per_day * now.max(0) / DAY)
    }

    /// Whether a list at `now` does not reach back to this job.
    pub(crate) fn is_beyond_reach(&self, job: &Job, now: Millis) -> bool {
        self.ways.reaches.is_some_and(|back| now - job.made_at > back)
    }

    /// Whether a list shows this job at `now` if it is asked for the time and nothing else happens.
    pub(crate) fn would_list(&self, job: &Job, now: Millis) -> bool {
        job.listed_at.is_some_and(|at| at <= self.shown_until(now))
            && !self.is_on_the_lost_page(job, now)
            && !self.is_beyond_reach(job, now)
    }

    /// When the page that `now` is without began to be lost.
    fn hole(&self, now: Millis) -> Option<Millis> {
        let begins = [10, 14, 19].map(|hour| now - (now - hour * HOUR).rem_euclid(DAY));
        begins.into_iter().find(|begin| now - begin < self.ways.hole)
    }

    /// Whether a list at `now` lacks the page on which this job is.
    pub(crate) fn is_on_the_lost_page(&self, job: &Job, now: Millis) -> bool {
        self.hole(now).is_some_and(|begin| (job.made_at - begin).abs() <= 15 * MINUTE)
    }

    fn is_down(&self, now: Millis) -> bool {
        (now - 15 * HOUR).rem_euclid(DAY) < self.ways.list_down
    }

    /// A list, or none if it cannot be read whole. Also how many requests it took.
    pub(crate) fn list(&mut self, now: Millis, window: &Window) -> (Option<Vec<Entry>>, u32) {
        self.readings += 1;
        let reading = self.readings;
        let (dice, ways) = (self.dice, &self.ways);
        if self.is_down(now) || dice.happens(ways.fails, About::Fails, (reading, 0)) {
            return (None, 1);
        }
        // Clocks are off by days at most; whatever was made long before the window is not in it.
        let slack = 4 * DAY;
        let made_at = |job: &usize| self.jobs[*job].made_at;
        let first = self.in_order.partition_point(|job| made_at(job) < window.start - slack);
        let mut shown: Vec<&Job> = self.in_order[first..]
            .iter()
            .map(|job| &self.jobs[*job])
            .take_while(|job| job.made_at <= now)
            .filter(|job| {
                job.filtered_at >= window.start
                    && window.end.is_none_or(|end| job.filtered_at <= end)
                    && self.would_list(job, now)
                    && !dice.happens(ways.missing, About::Missing, (reading, job.number))
            })
            .collect();
        if dice.happens(ways.cut, About::Cut, (reading, 0)) {
            let newest = dice.between((1, 5), About::Cut, (reading, 1)) as usize;
            shown.truncate(shown.len().saturating_sub(newest));
        }
        let requests = 1 + shown.len() / PAGE;
        let entry = |job: &Job| Entry { id: job.id.clone(), created_at: job.created_at };
        (Some(shown.into_iter().map(entry).collect()), requests as u32)
    }

    /// A job's record.
    pub(crate) fn record(&self, id: &str, now: Millis) -> Option<Record> {
        let job = self.job(id)?;
        let ended = now >= job.ends_at;
        let name = (job.number, 7);
        let failed = ended && self.dice.happens(0.03, About::Record, name);
        // A video has a still before it has a video.
        let still = job.request.media == Media::Videos;
        let media = match (ended, failed) {
            (true, true) => None,
            (true, false) => Some(job.request.media),
            (false, _) => still.then_some(Media::Images),
        };
        let outputs = if media.is_some() { job.request.count } else { 0 };
        let model = job.request.model.as_ref().map(|id| match self.ways.other_ids {
            true => format!("models/{id}"),
            false => id.clone(),
        });
        let model = model.or_else(|| Some("flux-dev".to_owned()));
        Some(Record { model, media, outputs, ended, failed })
    }

    pub(crate) fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.get(number(id))
    }
}

/// The number in an id, by which this simulation keeps what it knows of jobs.
pub(crate) fn number(id: &str) -> usize {
    id.trim_start_matches('j').parse().unwrap_or(usize::MAX)
}
