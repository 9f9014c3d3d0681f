//! Lists read to their end. A list that cannot be read completely is a failure, never a shorter
//! list: "there is no such job" rests on these.

use super::calls::ImageFilter;
use super::reply::Call;
use super::transport::{Client, Reply};
use super::wire::ListedJob;
use super::wire_media::RemoteImage;
use crate::domain::failure::Failure;
use crate::domain::ids::{Millis, RemoteModelId};
use std::collections::{HashMap, HashSet};

/// `end - start` must not exceed 7 days (vendor-api.md 2.15); an hour less leaves room for the
/// rounding to whole seconds and for a vendor that counts differently. Milliseconds.
const JOB_WINDOW: Millis = (7 * 24 - 1) * 60 * 60 * 1000;

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
    /// and page after page, each id once in its latest version (vendor-api.md 2.15).
    pub async fn all_jobs(
        &self,
        start: Millis,
        end: Millis,
    ) -> Result<Reply<Vec<ListedJob>>, Failure> {
        let mut found = FoundJobs::default();
        let mut vendor_time = None;
        let mut pages = JobPages::new(start, end);
        while !pages.is_over() {
            let page = pages.next(self).await?;
            vendor_time = vendor_time.or(page.vendor_time);
            page.value.into_iter().for_each(|job| found.put(job));
        }
        Ok(Reply { value: found.jobs, vendor_time })
    }
}

/// The job list from a time to another, page by page: only one page is in memory, and each is a
/// request of its own. An entry at the border of two windows comes twice.
#[derive(Debug)]
pub struct JobPages {
    /// Windows that are still to be read, the next one last.
    windows: Vec<(Millis, Millis)>,
    /// Where the window being read goes on.
    token: Option<String>,
    /// Tokens seen in that window, to notice a list that runs in circles.
    tokens: HashSet<String>,
}

impl JobPages {
    /// The list of the jobs created from `start` to `end` (Unix milliseconds); asks nothing yet.
    pub fn new(start: Millis, end: Millis) -> Self {
        let mut windows: Vec<_> = windows(start, end).collect();
        windows.reverse();
        Self { windows, token: None, tokens: HashSet::new() }
    }

    /// The next page, by one request; after the last one an empty page, by none.
    ///
    /// # Errors
    /// When the page cannot be read, or the list does not end.
    pub async fn next(&mut self, client: &Client) -> Result<Reply<Vec<ListedJob>>, Failure> {
        let Some((from, to)) = self.windows.last().copied() else {
            return Ok(Reply { value: Vec::new(), vendor_time: None });
        };
        let call = Call::read("Listing the jobs");
        let page = client.list_jobs(from, to, self.token.as_deref()).await?;
        self.token = page.value.next_page_token.clone();
        match &self.token {
            None => {
                self.windows.pop();
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
        Ok(page.map(|page| page.jobs))
    }

    /// Whether the list has been read to its end: only then is it complete.
    pub fn is_over(&self) -> bool {
        self.windows.is_empty()
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
