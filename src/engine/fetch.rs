//! Bringing one finished file home: streamed, hashed, written atomically.

use super::storage::Room;
use super::{Engine, Result};
use crate::domain::event::{Event, Reason};
use crate::domain::ids::{Millis, RemoteImageId};
use crate::domain::schedule;
use crate::domain::work::{Kind, Work};
use crate::files::atomic::{AtomicFile, is_full};
use crate::files::disk::free_bytes;
use crate::store::apply::{FileArrived, StoredFile};
use crate::store::queries::OutputRow;
use crate::vendor::{self, AsyncChunkSink, FetchError, SinkFuture};
use std::path::{Path, PathBuf};

/// Enough of a file's start to tell what it is.
const HEAD: usize = 64;
/// A download that did not fit is tried again this often.
const NO_ROOM_AGAIN: Millis = 30 * 1000;
/// How much of a download may come in between two looks at the free space.
const LOOK_AT_DISK: usize = 4 * 1024 * 1024;

/// Why a download did not work out.
enum Problem {
    /// The link is stale: a fresh one may work at once.
    Stale(String),
    /// There is no room for the file here; the link may be as good as ever.
    NoRoom(String),
    /// Anything else, as a sentence.
    Other(String),
}

impl Problem {
    /// A file here could not be written.
    fn writing(error: &std::io::Error) -> Self {
        let problem = format!("cannot write: {error}");
        if is_full(error) { Self::NoRoom(problem) } else { Self::Other(problem) }
    }
}

impl From<FetchError> for Problem {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Expired { .. } => Self::Stale(error.to_string()),
            FetchError::Sink(error) => Self::writing(&error),
            _ => Self::Other(error.to_string()),
        }
    }
}

impl Engine {
    /// Downloads an output.
    pub(super) async fn fetch(&self, work: &Work) -> Result<()> {
        let row = self.store.output(work.id).await?;
        // Nothing is stored for it: the row is due as before, and the loop waits for room.
        if self.measure(true) == Room::None {
            return Ok(());
        }
        // The link the job came with is fresh; after a failure only the record has a fresh one.
        let known = row.remote_url.clone().filter(|_| work.failures == 0 || row.media == "video");
        let mut outcome = match known {
            Some(url) => self.download(work, &row, &url).await,
            None => Err(Problem::Stale("there is no link yet".to_owned())),
        };
        if let (Err(Problem::Stale(_)), "image") = (&outcome, row.media.as_str()) {
            outcome = match self.fresh_link(&row).await {
                Ok(url) => self.download(work, &row, &url).await,
                Err(problem) => Err(problem),
            };
        }
        match outcome {
            Ok(file) => {
                let (id, timing) = (work.id, *self.timing());
                self.store.writer().write(FileArrived { id, file, timing }).await?;
                tracing::info!(id = %work.id, "output {} is home", work.id);
                self.wake();
                Ok(())
            }
            Err(problem) => self.fetch_failed(work, &row, problem).await,
        }
    }

    async fn fresh_link(&self, row: &OutputRow) -> Result<String, Problem> {
        let image = RemoteImageId(row.remote_id.clone());
        match self.call(self.client.get_image(&image)).await {
            Ok(reply) => reply
                .value
                .url
                .ok_or_else(|| Problem::Other("the vendor's record has no link".to_owned())),
            Err(failure) => Err(Problem::Other(failure.message)),
        }
    }

    async fn download(
        &self,
        work: &Work,
        row: &OutputRow,
        url: &str,
    ) -> Result<StoredFile, Problem> {
        let folder = self.data_dir().join("outputs");
        let failed = |error: std::io::Error| Problem::writing(&error);
        let file = AtomicFile::create(&folder).await.map_err(failed)?;
        let reserve = self.download_reserve();
        let mut sink = Sink { file, head: Vec::with_capacity(HEAD), folder, reserve, unseen: 0 };
        self.media.fetch(url, self.config.outputs.max_bytes.0, &mut sink).await?;
        let (media_type, extension) = accepted_type(&sink.head, &row.media)?;
        let path = Path::new("outputs").join(format!("{}.{extension}", work.id));
        let written = sink.file.finish(&self.data_dir().join(&path)).await.map_err(failed)?;
        Ok(StoredFile {
            path: text(path),
            sha256: written.sha256,
            bytes: written.bytes,
            media_type: media_type.to_owned(),
        })
    }

    async fn fetch_failed(&self, work: &Work, row: &OutputRow, problem: Problem) -> Result<()> {
        let (stale, note) = match problem {
            Problem::Stale(note) => (true, note),
            Problem::Other(note) => (false, note),
            // Says nothing about the file: the day after which a person has to look goes on
            // counting only what the vendor does.
            Problem::NoRoom(note) => {
                let event = Event::LookAgain { at: self.now() + NO_ROOM_AGAIN, note };
                return self.apply(Kind::Output, work.id, event).await.map(drop);
            }
        };
        let event = if let Some(event) = self.unfetched(work, &note) {
            event
        } else if stale && row.media == "video" && !self.account_is_undecided() {
            Event::PrepareAgain { note }
        } else {
            let until = self.now() + schedule::backoff(work.id, work.failures);
            Event::LookFailed { until, note }
        };
        self.apply(Kind::Output, work.id, event).await.map(drop)
    }

    /// After a day without success a person has to look.
    pub(super) fn unfetched(&self, work: &Work, note: &str) -> Option<Event> {
        if self.account_is_undecided() {
            return None;
        }
        let since = work.trouble_since?.max(self.room_since());
        let limit = self.timing().give_up_after;
        let tries = schedule::witnesses(limit, |tries| schedule::backoff(work.id, tries));
        let over = self.now() - since >= limit && work.failures >= tries;
        over.then(|| Event::NeedsPerson {
            reason: Reason::Unfetched,
            message: format!(
                "the file could not be downloaded for {} hours ({note}); `darkroom retry {}` tries \
                 again",
                (self.now() - since) / 3_600_000,
                work.id
            ),
        })
    }
}

fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

/// The type by the first bytes, if it is one that such an output can have.
fn accepted_type(head: &[u8], media: &str) -> Result<(&'static str, &'static str), Problem> {
    match vendor::sniff_media_type(head) {
        Some((kind, extension)) if kind.starts_with(&format!("{media}/")) => Ok((kind, extension)),
        Some((kind, _)) => {
            Err(Problem::Other(format!("the link delivers {kind} where {media} is wanted")))
        }
        None => Err(Problem::Other(format!("the link delivers something that is no {media}"))),
    }
}

/// Writes what arrives, keeps the start of it, and leaves the database its room.
struct Sink {
    file: AtomicFile,
    head: Vec<u8>,
    folder: PathBuf,
    /// How much has to stay free.
    reserve: u64,
    /// Bytes since the last look at the free space.
    unseen: usize,
}

impl Sink {
    fn look_at_disk(&mut self, more: usize) -> std::io::Result<()> {
        self.unseen += more;
        if self.unseen < LOOK_AT_DISK {
            return Ok(());
        }
        self.unseen = 0;
        // A disk that does not say how much is free is no reason to give a file up.
        match free_bytes(&self.folder) {
            Ok(free) if free < self.reserve => Err(std::io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl AsyncChunkSink for Sink {
    fn write<'a>(&'a mut self, chunk: &'a [u8]) -> SinkFuture<'a> {
        if let Err(error) = self.look_at_disk(chunk.len()) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let room = HEAD.saturating_sub(self.head.len()).min(chunk.len());
        self.head.extend_from_slice(chunk.get(..room).unwrap_or_default());
        Box::pin(self.file.write_chunk(chunk.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_download_stops_before_it_takes_the_room_of_the_database() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_path_buf();
        let file = AtomicFile::create(&folder).await.unwrap();
        let mut sink = Sink { file, head: Vec::new(), folder, reserve: u64::MAX, unseen: 0 };
        sink.write(&[1; 1000]).await.unwrap();
        let error = sink.write(&vec![1; LOOK_AT_DISK]).await.unwrap_err();
        assert!(matches!(Problem::writing(&error), Problem::NoRoom(_)));
        let other = std::io::Error::from_raw_os_error(5);
        assert!(matches!(Problem::writing(&other), Problem::Other(_)));
    }
}
