//! Lists read to their end. A list that cannot be read completely is a failure, never a shorter
//! list: "there is no such job" rests on these.

use super::calls::ImageFilter;
use super::job_page::JobPage;
use super::reply::{Call, is_the_vendors_no};
use super::transport::{Client, Reply};
use super::wire::ListedJob;
use super::wire_media::RemoteImage;
use crate::domain::failure::Failure;
use crate::domain::ids::{Millis, RemoteModelId};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// `end - start` must not exceed 7 days (vendor-api.md 2.15); an hour less leaves room for the
/// rounding to whole seconds and for a vendor that counts differently. Milliseconds.
const JOB_WINDOW: Millis = (7 * 24 - 1) * 60 * 60 * 1000;

/// How far after the present a list that proves something ends at least: two days, in milliseconds.
const AHEAD: Millis = 2 * 24 * 60 * 60 * 1000;

/// How far the vendor's clocks may be apart from what is taken for the present: twelve hours, the
/// most for which anything is concluded from a list (evidence.md, rule 2). Milliseconds.
const APART: Millis = 12 * 60 * 60 * 1000;

/// Start and end of what one request may ask for; without an end it reaches to the present.
type Window = (Millis, Option<Millis>);

/// The page size in the vendor's example (vendor-api.md 2.6); the maximum is undocumented.
const IMAGE_PAGE: u32 = 20;

/// A model has at most 20 training photos (vendor-api.md section 5); this only ends a list that
/// never ends.
const MAX_IMAGE_PAGES: u32 = 100;

/// Only ends a list that never ends, in pages per window.
const MAX_JOB_PAGES: usize = 10_000;

impl Client {
    /// All training photos of a model (vendor-api.md 2.6). There is neither a total nor a token:
    /// the end is an empty page, a page shorter than the vendor says its pages are, or a page that
    /// brings nothing new (a server that ignores `pageNum` repeats the first one).
    pub async fn all_input_images(
        &self,
        model: &RemoteModelId,
    ) -> Result<Reply<Vec<RemoteImage>>, Failure> {
        let (mut images, mut seen) = (Vec::new(), HashSet::new());
        let mut vendor_time = None;
        for number in 1..=MAX_IMAGE_PAGES {
            let filter = ImageFilter::Input;
            let page = self.list_model_images(model, filter, number, IMAGE_PAGE).await?;
            vendor_time = vendor_time.or(page.vendor_time);
            let entries = page.value.images;
            // Without the vendor's own word for the size, a short page proves nothing: the vendor
            // may allow fewer than we have asked for.
            let short = page.value.page_size.is_some_and(|size| (entries.len() as u64) < size);
            let before = images.len();
            images.extend(entries.into_iter().filter(|image| seen.insert(image.id.clone())));
            if short || images.len() == before {
                return Ok(Reply { value: images, vendor_time });
            }
        }
        let call = Call::read("Listing the model's images");
        Err(call.senseless(&format!("did not end after {MAX_IMAGE_PAGES} pages")))
    }

    /// All jobs created from `start` to `end` (Unix milliseconds), in windows of less than 7 days
    /// and page after page, each id once in its latest version (vendor-api.md 2.15). To be shown,
    /// not to prove anything: a blank page counts as an empty one.
    pub async fn all_jobs(
        &self,
        start: Millis,
        end: Millis,
    ) -> Result<Reply<Vec<ListedJob>>, Failure> {
        let mut found = FoundJobs::default();
        let mut vendor_time = None;
        let mut pages = JobPages::closed(start, end);
        while !pages.is_over() {
            let page = pages.next(self).await?;
            vendor_time = vendor_time.or(page.vendor_time);
            page.value.jobs.into_iter().for_each(|job| found.put(job));
        }
        Ok(Reply { value: found.jobs, vendor_time })
    }
}

/// Where a list that reaches to the present ends. The vendor may filter by a clock that is hours
/// ahead of the one that we see, so a window that ends "now" may end before its newest job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListEnd {
    /// Days ahead.
    #[default]
    Ahead,
    /// Nowhere: for a vendor that refuses an end in the future.
    Open,
}

/// The job list from a time to another, page by page: only one page is in memory, and each is a
/// request of its own. An entry at the border of two windows comes twice.
#[derive(Debug)]
pub struct JobPages {
    /// All windows in their order; the last one may have no end.
    windows: Vec<Window>,
    /// How many of them have been read to their end.
    read: usize,
    /// What counts as the present; `None` when a closed range was asked for.
    now: Option<Millis>,
    /// Where the window being read goes on.
    token: Option<String>,
    /// Tokens seen in that window, to notice a list that runs in circles.
    tokens: HashSet<String>,
}

impl JobPages {
    /// The list of the jobs created from `start` on (Unix milliseconds), whatever clock the vendor
    /// filters by, within what `end` allows for; asks nothing yet.
    pub fn new(start: Millis, now: Millis, end: ListEnd) -> Self {
        let windows = match end {
            ListEnd::Ahead => windows_ahead(start, now),
            ListEnd::Open => windows_open(start, now),
        };
        Self { now: Some(now), ..Self::of(windows) }
    }

    /// The list of the jobs created from `start` to `end` by the vendor's clock: for those who want
    /// the jobs that they find, and conclude nothing from what is missing.
    pub fn closed(start: Millis, end: Millis) -> Self {
        Self::of(windows(start, end).map(|(from, to)| (from, Some(to))).collect())
    }

    fn of(windows: Vec<Window>) -> Self {
        Self { windows, read: 0, now: None, token: None, tokens: HashSet::new() }
    }

    /// The next page, by one request; after the last one an empty page, by none. Whether a blank
    /// page may be taken for an empty one is the caller's to decide.
    ///
    /// # Errors
    /// When the page cannot be read, or the list does not end.
    pub async fn next(&mut self, client: &Client) -> Result<Reply<JobPage>, Failure> {
        let Some((from, to)) = self.window() else {
            return Ok(Reply { value: JobPage::none(), vendor_time: None });
        };
        let call = Call::read("Listing the jobs");
        let page = client.list_jobs(from, to, self.token.as_deref()).await?;
        self.token = page.value.next_page_token.clone();
        match &self.token {
            None => {
                self.read += 1;
                self.tokens.clear();
            }
            Some(next) if !self.tokens.insert(next.clone()) => {
                return Err(call.senseless("got the same page token twice"));
            }
            Some(_) if self.tokens.len() >= MAX_JOB_PAGES => {
                return Err(call.senseless(&format!("did not end after {MAX_JOB_PAGES} pages")));
            }
            Some(_) => {}
        }
        Ok(page)
    }

    /// Whether the list has been read to its end: only then is it complete.
    pub fn is_over(&self) -> bool {
        self.window().is_none()
    }

    /// Where the first window begins.
    pub fn start(&self) -> Millis {
        self.covers().0
    }

    /// What all the windows ask for: the start of the first, and the end of the last if it has one.
    pub fn covers(&self) -> (Millis, Option<Millis>) {
        let start = self.windows.first().map_or(Millis::MAX, |window| window.0);
        (start, self.windows.last().and_then(|window| window.1))
    }

    /// Whether the page that was asked for last failed because, it seems, the vendor lists up to
    /// the present only: then [`ListEnd::Open`] is worth a try. A proxy's "no" says nothing about
    /// the vendor, and what refuses a later page has accepted the window before.
    pub fn refuses_end(&self, failure: &Failure) -> bool {
        let in_future = match (self.window(), self.now) {
            (Some((_, Some(end))), Some(now)) => end > now,
            _ => false,
        };
        in_future
            && self.token.is_none()
            && matches!(failure.http_status, Some(400 | 422))
            && is_the_vendors_no(failure)
    }

    /// The window that the next page is asked for in.
    pub fn window(&self) -> Option<Window> {
        self.windows.get(self.read).copied()
    }
}

/// Jobs in the order of their first appearance, each once in its latest version.
#[derive(Default)]
pub struct FoundJobs {
    /// What has been found so far.
    pub jobs: Vec<ListedJob>,
    places: HashMap<String, usize>,
}

impl FoundJobs {
    /// Whether another entry of this job is here.
    pub fn holds(&self, job: &ListedJob) -> bool {
        self.places.contains_key(job.job_id.as_str())
    }

    /// Adds an entry of a page.
    pub fn put(&mut self, job: ListedJob) {
        match self.places.get(job.job_id.as_str()).and_then(|place| self.jobs.get_mut(*place)) {
            Some(known) => *known = job,
            None => {
                self.places.insert(job.job_id.as_str().to_owned(), self.jobs.len());
                self.jobs.push(job);
            }
        }
    }
}

/// Whole windows, the last of which ends at least [`AHEAD`] after `now`.
fn windows_ahead(start: Millis, now: Millis) -> Vec<Window> {
    let reach = now.saturating_add(AHEAD).saturating_sub(start).max(1);
    let count = (reach - 1) / JOB_WINDOW + 1;
    let end = start.saturating_add(count.saturating_mul(JOB_WINDOW));
    windows(start, end).map(|(from, to)| (from, Some(to))).collect()
}

/// Windows of which the last has no end, and begins so late that neither it is too long nor an
/// earlier one ends in the future, even by a clock that is [`APART`] from ours.
fn windows_open(start: Millis, now: Millis) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut from = start;
    while now.saturating_sub(from) >= JOB_WINDOW - APART {
        let to = from.saturating_add(JOB_WINDOW).min(now.saturating_sub(APART));
        windows.push((from, Some(to)));
        from = to;
    }
    windows.push((from, None));
    windows
}

/// Windows that share their borders: whether a border is inside is undocumented, so it is asked
/// for twice. There is always at least one window.
pub(super) fn windows(start: Millis, end: Millis) -> impl Iterator<Item = (Millis, Millis)> {
    let mut next = Some(start);
    std::iter::from_fn(move || {
        let from = next?;
        let to = from.saturating_add(JOB_WINDOW).min(end).max(from);
        next = (to < end && to > from).then_some(to);
        Some((from, to))
    })
}
