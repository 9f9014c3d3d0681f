//! Asking about many rows at once: open jobs through `GET /jobs`, trainings through `GET /models`.
//!
//! A list round comes at a whole number of steps after the database's first start, so that a
//! restart brings no extra one, and its pages are spread over a part of the interval: the vendor sees
//! no burst, and what a page shows as ended is read before the next one brings more. The list gives only
//! a job's status, so one that has ended is read once, which is no poll. Nothing of a list is stored
//! and only one page of it is in memory; listings that are evidence are [`super::sweep`]'s.

use super::looks::{Look, Sighting};
use super::watch::{Moment, Remote, Word};
use super::{Engine, Result};
use crate::domain::failure::Failure;
use crate::domain::ids::Millis;
use crate::domain::polling::{self, Plan, Sight};
use crate::domain::schedule;
use crate::domain::work::{Kind, Work};
use crate::store::queries::Ref;
use crate::vendor::{JobPages, ListedJob, ModelStatus, RemoteModel};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Rows that a complete list does not show, asked about by themselves after each.
const MISSING_AT_ONCE: usize = 32;
/// A list that shows less than half of what it should is not used again for so long (ms).
const USELESS_FOR: Millis = 10 * 60 * 1000;
/// Jobs that a list shows as ended, read at the same time: enough for hundreds a second from a vendor
/// that takes a fifth of a second; the limit of requests holds all the same.
const FOLLOW_UPS: usize = 64;
/// A row left to the list is taken up again by its own timer after so many steps, in case no list
/// is read.
const LEFT_FOR: Millis = 4;
/// Longest wait for what is known about durations.
const PLACING: Duration = Duration::from_millis(20);
/// A list is read within this share of the interval. Powers of two of pages keep the pace, so that a
/// job's page comes at the same time in each round although the number of pages varies: what is seen
/// later than the last time is noticed later than an interval.
const SHARE: u32 = 2;
/// Trainings due within this share of the interval are asked about together, as long as none of them
/// is asked about again within its interval.
pub(super) const TOGETHER: Millis = 20;
/// The vendor's clock may be a little ahead of what it told us last (ms).
const AHEAD: Millis = 5 * 60 * 1000;

/// How open work is asked about together.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// When the database was first started; list rounds keep to that grid.
    pub(super) base: Millis,
    sight: Sight,
    /// Jobs accepted from this time on are left to the list; none: every one by itself.
    from: Option<Millis>,
    pages: u32,
    /// When the next list round is due (Unix ms).
    next: Millis,
    /// A list is being read.
    reading: bool,
    /// When each page of the last list was asked for (monotonic ms).
    asked: Vec<Millis>,
    /// When it was last considered whether to list (monotonic ms).
    planned: Option<Millis>,
    /// Not to be listed before this (monotonic ms).
    useless_until: Millis,
    /// Lists in a row that were not read to their end.
    broken: u32,
    /// `GET /models` does not say what is needed; remembered until the next start.
    models_useless: bool,
}

/// How reading a list ended.
enum Read {
    /// To its end.
    Complete,
    /// It costs more than it saves, or the vendor did not answer.
    Broken,
}

impl Engine {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From when on list rounds are counted.
    pub(super) fn count_lists_from(&self, base: Millis) {
        self.lists().base = base;
    }

    /// Starts a list round if one is due; answers when the next one is. It ends early at `stop`.
    pub(super) fn keep_listing(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Option<Millis> {
        let at = self.both_clocks();
        let mut lists = self.lists();
        if lists.from.is_none() || lists.reading {
            return None;
        }
        if at.now < lists.next && lists.next - at.now <= 2 * self.list_step() {
            return Some(lists.next);
        }
        self.plan_lists(&mut lists, at);
        if let Some(from) = lists.from {
            lists.reading = true;
            let round = Round::new(self.clone(), from, lists.pages, at);
            tasks.spawn(round.run(stop.clone()));
        }
        None
    }

    /// Whether a job that is due is left to the list.
    pub(super) fn leave_to_the_list(&self, row: Ref) -> bool {
        let at = self.both_clocks();
        let (interval, step) = (self.timing().poll_job, self.list_step());
        let mut lists = self.lists();
        let considered = lists.planned.is_some_and(|planned| at.steady - planned < interval);
        if lists.from.is_none() && !considered && at.steady >= lists.useless_until {
            self.plan_lists(&mut lists, at);
            // Right after a start only the grid knows when the last list was read, unless it is known
            // that nobody has asked for an interval.
            let just_started = at.steady < 2 * step;
            lists.next = match just_started {
                true => {
                    let grid = schedule::grid_next(lists.base, step, at.now);
                    self.watch().unasked(Kind::Job, grid, at)
                }
                false => at.now,
            };
        }
        let Some(from) = lists.from else { return false };
        drop(lists);
        let mut watch = self.watch();
        let left = watch.get(row).is_some_and(|entry| {
            entry.plain && !entry.missing && !entry.left && entry.accepted >= from
        });
        if left {
            watch.leave(row, at.now + LEFT_FOR * step);
        }
        left
    }

    fn list_step(&self) -> Millis {
        schedule::step(self.timing().poll_job)
    }

    /// Considers anew whether open jobs are listed.
    fn plan_lists(&self, lists: &mut Lists, at: Moment) {
        let (interval, soon) = (self.timing().poll_job, at.now + self.list_step());
        lists.planned = Some(at.steady);
        let mut watch = self.watch();
        let asked = |fresh: bool, due: Millis| !fresh || due <= soon;
        let mut accepted: Vec<Millis> = watch
            .of(Kind::Job)
            .filter(|(_, entry)| entry.plain && asked(entry.is_fresh(), entry.at))
            .map(|(_, entry)| entry.accepted)
            .collect();
        accepted.sort_unstable();
        let listing = lists.from.is_some();
        (lists.from, lists.pages) = match polling::plan(at.now, &accepted, &lists.sight, listing) {
            Plan::Direct => (None, 0),
            Plan::List { from, pages } => (Some(from), pages),
        };
        if listing && lists.from.is_none() {
            watch.back_to_single(Kind::Job, interval, at);
        }
    }

    /// The times of a row that the vendor has just accepted: its first look comes when its like have
    /// ended, and a training joins the grid of those that run, so that one question serves all.
    pub(super) async fn placed(&self, work: &Work) -> schedule::Timing {
        let asked = self.store.first_look(work.kind, work.id);
        // What the vendor has just said is still to be stored: nothing here is worth waiting for.
        let first_look = match tokio::time::timeout(PLACING, asked).await {
            Ok(Ok(wait)) => wait,
            Ok(Err(error)) => {
                tracing::debug!("how long the vendor takes is not known: {error}");
                0
            }
            Err(_) => 0,
        };
        let watch = self.watch();
        let join = match work.kind {
            Kind::Training => watch.of(Kind::Training).min_by_key(|(row, _)| *row),
            _ => None,
        };
        let join = join.map(|(_, entry)| entry.anchor);
        schedule::Timing { first_look, join, ..*self.timing() }
    }

    /// Asks about a training or an imported model, together with others that are due.
    pub(super) fn look_together(
        self: &Arc<Self>,
        row: Ref,
        slot: OwnedSemaphorePermit,
        tasks: &TaskTracker,
    ) {
        let useful = !self.lists().models_useless;
        let (at, interval) = (self.both_clocks(), self.timing().poll_training);
        let until = at.now + interval / TOGETHER;
        let rows = self.watch().due_by(&[Kind::Training, Kind::Model], until, interval, at);
        if !useful || rows.len() < 2 {
            return self.look_at(row, slot, tasks);
        }
        let mut looks = Vec::new();
        for row in rows {
            let taken = self.watch().take(row);
            looks.extend(taken.map(|entry| Look::new(self.clone(), row, entry)));
        }
        let engine = self.clone();
        tasks.spawn(async move {
            engine.look_at_models(looks).await;
            drop(slot);
        });
    }

    async fn look_at_models(&self, looks: Vec<Look>) {
        self.governor.patient_turn().await;
        for kind in [Kind::Training, Kind::Model] {
            self.note_question(kind).await;
        }
        let steady = self.both_clocks().steady;
        let models = match self.called(self.client.list_models()).await {
            Ok(reply) => reply.value,
            Err(failure) if goes_for_all(&failure) => {
                for look in looks {
                    // Whether the vendor heard the question nobody knows.
                    self.watch().asked(look.row, steady);
                    look.end(Sighting::Failed(failure.clone())).await;
                }
                return;
            }
            Err(failure) => {
                tracing::info!("this time models are read one by one: {}", failure.message);
                Vec::new()
            }
        };
        let mut known: HashMap<&str, &RemoteModel> = HashMap::new();
        let said = |model: &&RemoteModel| model.status != ModelStatus::default();
        known.extend(models.iter().filter(said).map(|model| (model.id.as_str(), model)));
        let mut shown = 0;
        for look in looks {
            let model = known.get(look.entry.remote.text().as_str()).copied();
            shown += u32::from(model.is_some());
            let seen = match model {
                Some(model) if goes_on_as_listed(&look, model) => {
                    self.watch().asked(look.row, steady);
                    Sighting::Model(model.clone())
                }
                // The model's own record is the source of truth (vendor-api.md 2.4): whatever
                // would move the row is read there.
                _ => look.ask().await,
            };
            look.end(seen).await;
        }
        // Whether its records carry id and status is undocumented.
        self.lists().models_useless |= shown == 0 && !models.is_empty();
    }
}

/// Whether the list shows a training that simply goes on: it is `training`, or as it was.
fn goes_on_as_listed(look: &Look, model: &RemoteModel) -> bool {
    let word = Word::new(Some(&super::poll::model_word(&model.status)));
    look.row.0 == Kind::Training
        && (model.status == ModelStatus::Training
            || (model.status == ModelStatus::New && word == look.entry.word))
}

/// Whether a failed question says nothing about what was asked: nobody answered, or everything
/// slows down or pauses.
pub(super) fn goes_for_all(failure: &Failure) -> bool {
    matches!(failure.http_status, None | Some(401 | 429))
}

/// How long the page `count` of a list has to wait, because the last list's was asked for at `before`
/// (monotonic ms): the pages follow each other faster when there are more of them, and the ids on
/// them must not be asked about sooner than an interval after the last time for that. (In which order
/// the vendor lists is undocumented, vendor-api.md U11: an id that moves to an earlier page comes up
/// sooner by the pace of the pages.)
fn rest(before: &[Millis], count: usize, interval: Millis, now: Millis) -> Duration {
    let last = before.get(count).or(before.last());
    let wait = last.map_or(0, |last| last.saturating_add(interval).saturating_sub(now));
    Duration::from_millis(u64::try_from(wait.min(interval)).unwrap_or(0))
}

/// One reading of the job list.
struct Round {
    engine: Arc<Engine>,
    from: Millis,
    pages: u32,
    at: Moment,
    begun: Instant,
    open: HashMap<Remote, Ref>,
    follow_ups: Arc<Semaphore>,
    /// Reads of jobs that have ended.
    tasks: TaskTracker,
    ended: bool,
}

impl Round {
    fn new(engine: Arc<Engine>, from: Millis, pages: u32, at: Moment) -> Self {
        Self {
            engine,
            from,
            pages,
            at,
            begun: Instant::now(),
            open: HashMap::new(),
            follow_ups: Arc::new(Semaphore::new(FOLLOW_UPS)),
            tasks: TaskTracker::new(),
            ended: false,
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        {
            let watch = self.engine.watch();
            self.open =
                watch.of(Kind::Job).map(|(row, entry)| (entry.remote.clone(), row)).collect();
        }
        let read = match self.read(&stop).await {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!("a list of the open jobs was not read to its end: {error}");
                Read::Broken
            }
        };
        self.end(&read);
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn read(&mut self, stop: &CancellationToken) -> Result<Read> {
        let engine = self.engine.clone();
        engine.know_the_time().await?;
        let (ours, theirs) = (engine.now(), engine.vendor_now());
        let start = self.from + (theirs - ours) - polling::REACH;
        let mut pages = JobPages::closed(start, theirs + AHEAD);
        let interval = u32::try_from(engine.timing().poll_job).unwrap_or(u32::MAX);
        let pace = interval / SHARE / (self.pages + 1).next_power_of_two();
        // A few more than expected are no harm; far more, and single reads are cheaper after all.
        let most = 2 * self.pages as usize + self.open.len() / 2 + 4;
        let before = std::mem::take(&mut engine.lists().asked);
        let (mut count, mut entries, mut fullest) = (0usize, 0usize, 0usize);
        while !pages.is_over() {
            let turn = u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(pace);
            let turn = self.begun + Duration::from_millis(turn.into());
            let rest = rest(&before, count, interval.into(), engine.both_clocks().steady);
            tokio::select! {
                () = stop.cancelled() => return Ok(Read::Broken),
                () = tokio::time::sleep_until(turn.max(Instant::now() + rest)) => {}
            }
            // Before the looks at single rows: the fewer requests must not wait behind the many.
            engine.governor.turn().await;
            if !engine.may_look() || count >= most {
                break;
            }
            engine.note_question(Kind::Job).await;
            let steady = engine.both_clocks().steady;
            engine.lists().asked.push(steady);
            let page = engine.called(pages.next(&engine.client)).await?.value.jobs;
            (count, entries, fullest) = (count + 1, entries + page.len(), fullest.max(page.len()));
            self.take_in(page, steady).await;
        }
        let window = theirs - start;
        // What was broken off for another reason says nothing about the list's length.
        if pages.is_over() || count >= most {
            engine.lists().sight.learn(entries, fullest, count, window, pages.is_over());
        }
        Ok(if pages.is_over() { Read::Complete } else { Read::Broken })
    }

    /// What a page shows of open jobs; those that have ended are read by themselves at once.
    async fn take_in(&self, page: Vec<ListedJob>, steady: Millis) {
        for job in page {
            let Some(row) = self.open.get(&Remote::new(job.job_id.as_str())).copied() else {
                continue;
            };
            let text = super::poll::job_word(&job.status);
            let word = Word::new(Some(&text));
            let goes_on = super::poll::job_goes_on(&job.status);
            let taken = {
                let mut watch = self.engine.watch();
                let known = watch.get(row).map(|entry| (entry.plain, entry.may_ignore(word)));
                match known {
                    // In trouble (not found, no media): its own looks settle that.
                    None | Some((false, _)) => None,
                    Some((true, true)) if goes_on => {
                        watch.asked(row, steady);
                        watch.found_open(row, word);
                        None
                    }
                    Some(_) => {
                        // Whoever looks at it right now notes that by itself.
                        let taken = watch.take(row);
                        if taken.is_some() {
                            watch.asked(row, steady);
                        }
                        taken
                    }
                }
            };
            let Some(entry) = taken else { continue };
            let look = Look::new(self.engine.clone(), row, entry);
            let Ok(slot) = self.follow_ups.clone().acquire_owned().await else { return };
            self.tasks.spawn(async move {
                if goes_on {
                    look.note_word(&text).await;
                } else {
                    look.read_ended().await;
                }
                drop(slot);
            });
        }
    }

    /// What a complete list does not show is asked about by itself, those first that were not seen
    /// for longest; one that does not show half of what it should is of no use.
    fn end(&mut self, read: &Read) {
        self.ended = true;
        let engine = self.engine.clone();
        let (interval, step) = (engine.timing().poll_job, engine.list_step());
        let at = engine.both_clocks();
        let mut lists = engine.lists();
        lists.reading = false;
        lists.next = schedule::grid_next(lists.base, step, at.now.min(self.at.now + interval - 1))
            .max(self.at.now + interval);
        let mut watch = engine.watch();
        let mut missing: Vec<(Millis, Ref)> = Vec::new();
        let mut covered = 0;
        for (row, entry) in watch.of(Kind::Job) {
            // What is being looked at is not missing, whatever the list says.
            let due = entry.plain && !entry.is_busy() && entry.accepted >= self.from;
            // A job that was accepted just now may not be listed yet.
            if due && entry.accepted + interval <= self.at.now {
                covered += 1;
                if entry.seen().is_none_or(|seen| seen < self.at.steady) {
                    missing.push((entry.seen().unwrap_or(Millis::MIN), row));
                }
            }
        }
        let useless = missing.len() * 2 > covered && missing.len() > 2;
        match read {
            Read::Complete if !useless => {
                lists.broken = 0;
                missing.sort_unstable();
                for (_, row) in missing.into_iter().take(MISSING_AT_ONCE) {
                    watch.miss(row, interval, at);
                }
            }
            _ => {
                let (rest, broken) = match read {
                    Read::Complete => (USELESS_FOR, 0),
                    Read::Broken => (
                        (interval << lists.broken.min(16)).min(USELESS_FOR),
                        lists.broken.saturating_add(1),
                    ),
                };
                lists.broken = broken;
                lists.useless_until = at.steady + rest.max(interval);
                lists.from = None;
                watch.back_to_single(Kind::Job, interval, at);
            }
        }
        drop((watch, lists));
        engine.look_sooner();
    }
}

impl Drop for Round {
    /// However it ends, there is a next one.
    fn drop(&mut self) {
        if !self.ended {
            self.end(&Read::Broken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_not_asked_for_sooner_than_an_interval_after_the_last_time() {
        let ms = |before: &[Millis], count| rest(before, count, 500, 1_000).as_millis();
        assert_eq!(ms(&[], 0), 0, "the first list");
        assert_eq!(ms(&[400, 600], 0), 0, "long ago");
        assert_eq!(ms(&[400, 600], 1), 100);
        assert_eq!(ms(&[400, 600], 7), 100, "what was on the last page may be on a further one");
        assert_eq!(ms(&[9_999], 0), 500, "never longer than an interval");
    }
}
