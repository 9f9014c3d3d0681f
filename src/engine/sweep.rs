//! Reading the vendor's whole job list: the base of every verdict on a lost reply, the source of
//! credits, and the audit that reports what no row claims.

use super::{Engine, EngineError, Result, no_list, useless_list};
use crate::config::Auto;
use crate::domain::failure::Failure;
use crate::domain::ids::Millis;
use crate::store::doubt::OurJobs;
use crate::store::intents::Moment;
use crate::store::listing::{END, Heard, LAST, LastListing, Listed, SaveListing};
use crate::store::settings::PutSetting;
use crate::vendor::{FoundJobs, JobPage, JobPages, ListEnd, ListedJob, PageForm, Reply};
use judging::clocks::{Accepted, Clocks};
use judging::missing::Shown;
use judging::witness::Window;
use judging::{DAY, HOUR, list, missing};
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A sweep after a long rest begins so much before the last list, in case that one came too early
/// for what lagged.
const OVERLAP: Millis = HOUR;
/// And never further back than this.
pub(super) const FURTHEST: Millis = 30 * DAY;
/// Our jobs of so long are what a list is held against.
pub(super) const REMEMBERED: Millis = 2 * DAY;
/// Once the list's lag is known, one acceptance in so many is measured still.
const ONE_IN: u64 = 10;
/// Lists after an acceptance until the job shows up, the pauses between them doubling from a second.
const TRIES: u32 = 7;
/// How often in a row a page that came too soon (429) is asked for again.
const TOO_SOON: u32 = 3;

/// A whole list that counts before a paid call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broad {
    /// When it began, by the time since the daemon's start (ms).
    uptime: Millis,
    /// From when on it was asked for (vendor's).
    start: Millis,
}

/// A whole list, read and remembered.
pub(super) struct ListRead {
    /// What was asked for.
    pub(super) window: Window,
    /// How long reading it took (ms).
    pub(super) took: Millis,
    /// Which of the wanted ids it showed.
    pub(super) shown: HashSet<String>,
}

/// What a list is held against, as it was before the list was asked for.
pub(super) struct Before {
    pub(super) ours: OurJobs,
    pub(super) clocks: Clocks,
    missing: Vec<String>,
}

impl Broad {
    /// When it began (ms since the daemon's start).
    pub(super) fn uptime(&self) -> Millis {
        self.uptime
    }
}

impl Engine {
    /// What a list that is asked for now is held against.
    pub(super) async fn before_a_list(&self) -> Result<Before> {
        self.before_a_list_about(self.now()).await
    }

    /// The same, for a list about what happened since then (ours).
    pub(super) async fn before_a_list_about(&self, since: Millis) -> Result<Before> {
        let ours = self.store.our_jobs(since.min(self.now() - REMEMBERED)).await?;
        let clocks = ours.clocks(self.now());
        Ok(Before { clocks, ours, missing: self.store.missing_jobs().await? })
    }

    /// Makes sure that a whole list which reaches back far enough is at most `age` old; answers from
    /// when on (vendor's) it was asked for.
    ///
    /// # Errors
    /// When the list could not be read completely.
    pub(super) async fn listing_not_older_than(&self, age: Millis) -> Result<Millis> {
        let fresh = || {
            let broad = *self.broad.lock().unwrap_or_else(PoisonError::into_inner);
            broad.filter(|list| self.uptime() - list.uptime <= age).map(|list| list.start)
        };
        if let Some(start) = fresh().filter(|_| self.is_compared()) {
            return Ok(start);
        }
        let start = {
            let _one_at_a_time = self.listing.lock().await;
            if let Some(start) = fresh().filter(|_| self.is_compared()) {
                return Ok(start);
            }
            match self.list_before_a_call().await {
                Ok(start) => start,
                Err(error) => {
                    self.note_unreadable(&error).await?;
                    return Err(error);
                }
            }
        };
        self.place_unclaimed().await?;
        if !self.is_compared() {
            return Err(too_soon().into());
        }
        Ok(start)
    }

    /// The list before a paid call; the caller holds `listing`.
    async fn list_before_a_call(&self) -> Result<Millis> {
        let before = self.before_a_list().await?;
        let back = self.compare_from(&before.clocks).await?;
        let hidden = before
            .ours
            .heard
            .iter()
            .any(|job| !job.shown && !job.gone && before.missing.contains(&job.remote_id));
        let now = self.early_now(&before.clocks);
        let start = list::before_a_call(now, &before.ours.heard, &before.clocks, hidden);
        let start = back.map_or(start, |back| start.min(back));
        self.read_list(start, &before, &[], true).await?;
        self.compare(back).await?;
        Ok(start)
    }

    /// Our time, or an earlier one if the vendor's `Date` speaks for it: a window that begins too
    /// early costs a page, one that begins too late shows nothing.
    pub(super) fn early_now(&self, clocks: &Clocks) -> Millis {
        let offset = clocks.offset.map_or(0, |(least, _)| least);
        let date = self.client.vendor_now().map(|date| date - offset);
        date.map_or(self.now(), |date| date.min(self.now()))
    }

    /// The next page of a list, in its turn. One that came too soon for the vendor is asked for
    /// again, more slowly.
    async fn next_page(&self, pages: &mut JobPages) -> Result<Reply<JobPage>, Failure> {
        let mut refused = 0;
        loop {
            match self.call(pages.next(&self.client)).await {
                Err(failure) if failure.http_status == Some(429) && refused < TOO_SOON => {
                    refused += 1;
                }
                page => return page,
            }
        }
    }

    /// Reads the list from `start` (vendor's) to days ahead, completely, and remembers it. One at a
    /// time: the caller holds `listing`.
    ///
    /// # Errors
    /// When any page of it could not be read: half a list proves nothing.
    pub(super) async fn read_list(
        &self,
        start: Millis,
        before: &Before,
        wanted: &[Shown],
        broad: bool,
    ) -> Result<ListRead> {
        let end = self.store.setting::<ListEnd>(END).await?.unwrap_or_default();
        match self.read_to(start, end, before, wanted, broad).await {
            Ok(read) => Ok(read),
            Err((_, true)) if end == ListEnd::Ahead => {
                tracing::info!("the vendor refuses lists that end in the future");
                let read = self.read_to(start, ListEnd::Open, before, wanted, broad).await;
                let read = read.map_err(|(error, _)| error)?;
                let value = serde_json::json!(ListEnd::Open);
                self.store.writer().write(PutSetting { name: END, value }).await?;
                Ok(read)
            }
            Err((error, _)) => Err(error),
        }
    }

    /// The same with this end; the error says whether it was the end that was refused.
    async fn read_to(
        &self,
        start: Millis,
        end: ListEnd,
        before: &Before,
        wanted: &[Shown],
        broad: bool,
    ) -> Result<ListRead, (EngineError, bool)> {
        let began = self.moment();
        let latest = self.now().max(self.client.vendor_now().unwrap_or(Millis::MIN));
        let mut pages = JobPages::new(start, latest, end);
        let mut entries = Entries::of_interest(wanted, before);
        while let Some(asked) = pages.window() {
            let page = match self.next_page(&mut pages).await {
                Ok(page) => page.value,
                Err(failure) => {
                    let refused = pages.refuses_end(&failure);
                    return Err((failure.into(), refused));
                }
            };
            let taken = async {
                if page.form == PageForm::Blank {
                    self.may_be_empty(asked, before).await?;
                }
                let listed = page.jobs.iter().map(entry).collect();
                entries.take(&self.store.new_in_listing(listed).await?, page.jobs);
                Ok(())
            };
            taken.await.map_err(|error: EngineError| (error, false))?;
        }
        let (start, end) = pages.covers();
        let window = Window { start, end };
        let Entries { listed, news, shown, .. } = entries;
        let heard = self.heard(&window, &began, before, (wanted, &shown));
        let save = SaveListing {
            jobs: news.jobs.iter().map(entry).collect(),
            listed,
            start,
            since: start - before.clocks.widening(),
            began_at: began.at,
            heard,
            times: self.times(),
        };
        self.store.writer().write(save).await.map_err(|error| (error.into(), false))?;
        if broad {
            let list = Broad { uptime: began.uptime, start };
            *self.broad.lock().unwrap_or_else(PoisonError::into_inner) = Some(list);
            self.list_is_readable().await.map_err(|error| (error, false))?;
        }
        Ok(ListRead { window, took: self.uptime() - began.uptime, shown })
    }

    /// An answer without a list is an empty list only if nothing that we know of belongs into the
    /// window that was asked for.
    async fn may_be_empty(&self, asked: (Millis, Option<Millis>), before: &Before) -> Result<()> {
        match self.store.something_belongs(asked, &before.ours.all).await? {
            false => Ok(()),
            true => Err(no_list().into()),
        }
    }

    /// What a whole list says about our own jobs.
    fn heard(
        &self,
        window: &Window,
        began: &Moment,
        before: &Before,
        (wanted, shown): (&[Shown], &HashSet<String>),
    ) -> Heard {
        let ours = &before.ours.all;
        let shows = |id: &str| shown.contains(id);
        let missed = missing::missed(window, began.at, ours, &before.clocks, shows);
        // How late a list is can only be told of what was accepted since this daemon's start.
        let started = began.at - began.uptime;
        let lag = missing::lateness(&missed, started, &self.times());
        // Those of ours are among what was missed.
        let mut gone = missing::gone(wanted, began.at, shows);
        gone.retain(|job| ours.iter().all(|own| own.remote_id != job.remote_id));
        let deleted = gone.iter().filter(|job| missing::shows_older(job, wanted, shows));
        let deleted = deleted.map(|job| job.remote_id.clone()).collect();
        let first = |job: &&Accepted| !job.shown && shows(&job.remote_id);
        let ages = ours.iter().filter(|job| shows(&job.remote_id));
        Heard {
            first_shown: u32::try_from(ours.iter().filter(first).count()).unwrap_or(u32::MAX),
            missed,
            lag,
            gone,
            deleted,
            again: before.missing.iter().filter(|id| shown.contains(*id)).cloned().collect(),
            oldest: ages.map(|job| began.at - job.accepted_at).max(),
        }
    }

    /// The recurring sweep: a day back, and further if nobody has looked for longer.
    pub(super) async fn sweep(self: &Arc<Self>) {
        if let Err(error) = self.sweep_once().await {
            tracing::warn!("the inventory sweep did not get through: {error}");
        }
        self.look_at_stalled().await;
    }

    async fn sweep_once(self: &Arc<Self>) -> Result<()> {
        let parked = self.parked_to_judge().await?;
        {
            let _one_at_a_time = self.listing.lock().await;
            let before = self.before_a_list().await?;
            let last: Option<LastListing> = self.store.setting(LAST).await?;
            let now = self.early_now(&before.clocks);
            let since = last.map_or(now, |last| last.covered - OVERLAP).max(now - FURTHEST);
            let start = since.min(now - DAY) + before.clocks.widening();
            let back = self.compare_from(&before.clocks).await?;
            self.read_list(start, &before, &[], true).await?;
            self.compare(back).await?;
        }
        self.place_unclaimed().await?;
        for intent in parked {
            // One that cannot be judged now keeps no other one from it.
            if let Err(error) = self.judge_parked(&intent).await {
                tracing::debug!("{} {} is not judged now: {error}", intent.kind, intent.subject);
            }
        }
        Ok(())
    }

    /// After an acceptance: lists until the job shows up, to learn how late the vendor's list is.
    pub(super) async fn measure_lag(self: Arc<Self>, remote_id: String) {
        // A fixed settle time wants no measuring.
        if !matches!(self.config.doubt.settle, Auto::Auto) {
            return;
        }
        let worth_it = match self.store.lag().await {
            Ok(lag) => lag.is_untried() || one_in(&remote_id),
            Err(_) => false,
        };
        let mut pause = Duration::from_secs(1);
        for _ in 0..TRIES {
            if !worth_it || matches!(self.store.was_listed(&remote_id).await, Ok(true)) {
                return;
            }
            if let Err(error) = self.list_the_last_hour().await {
                tracing::debug!("how late the list is could not be measured: {error}");
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn list_the_last_hour(&self) -> Result<()> {
        {
            let _one_at_a_time = self.listing.lock().await;
            let before = self.before_a_list().await?;
            let start = list::narrow(self.early_now(&before.clocks), None, &before.clocks);
            self.read_list(start, &before, &[], false).await?;
        }
        self.place_unclaimed().await
    }
}

/// Why nothing is bought right after a start where lists come late.
fn too_soon() -> Failure {
    useless_list(
        "the vendor's list has been late, so it may not show yet what was bought last, and with that \
         this database is compared before anything is bought",
    )
}

/// What is kept of a list while it is read: of a long one only what is not stored as it is.
struct Entries<'a> {
    of_interest: HashSet<&'a String>,
    listed: u64,
    news: FoundJobs,
    /// Which ids of interest it showed.
    shown: HashSet<String>,
}

impl<'a> Entries<'a> {
    fn of_interest(wanted: &'a [Shown], before: &'a Before) -> Self {
        let ours = before.ours.all.iter().map(|job| &job.remote_id);
        let wanted = wanted.iter().map(|job| &job.remote_id);
        let of_interest = wanted.chain(ours).chain(&before.missing).collect();
        Self { of_interest, listed: 0, news: FoundJobs::default(), shown: HashSet::new() }
    }

    /// A page, of which `new` is not stored as it is.
    fn take(&mut self, new: &HashSet<String>, jobs: Vec<ListedJob>) {
        self.listed += jobs.len() as u64;
        for job in jobs {
            let id = &job.job_id.0;
            if self.of_interest.contains(id) {
                self.shown.insert(id.clone());
            }
            // The last word of a list that shows a job twice counts.
            if new.contains(id) || self.news.holds(&job) {
                self.news.put(job);
            }
        }
    }
}

fn entry(job: &ListedJob) -> Listed {
    Listed {
        remote_id: job.job_id.0.clone(),
        created_at: job.created_at,
        status: super::poll::job_word(&job.status),
        credits: job.credits,
    }
}

/// A share of all ids, spread evenly.
fn one_in(remote_id: &str) -> bool {
    remote_id.bytes().map(u64::from).sum::<u64>() % ONE_IN == 0
}
