//! Video records and the preparation of downloads.

use super::ledger::What;
use super::{Caller, UserId, World};
use crate::simulator::clock::{Progress, Wall};
use crate::simulator::fault::Value as Given;
use crate::simulator::fault_table::Kind;
use crate::simulator::reply::Refusal;
use serde_json::{Value, json};
use std::sync::Arc;

/// Preparing a download, in simulated seconds. The documentation gives no figure.
const PREPARATION_SECONDS: (f64, f64) = (5.0, 15.0);

/// Where `download-stuck` stops when it is not told.
const STUCK_PERCENT: u64 = 40;

/// One video of one user.
#[derive(Debug)]
pub(crate) struct Video {
    pub(crate) owner: UserId,
    pub(crate) job: String,
    pub(crate) model: Arc<str>,
    pub(crate) created_at: Wall,
    download: Option<Download>,
}

#[derive(Debug)]
struct Download {
    begun: Progress,
    length: Progress,
    /// The percentage it never exceeds.
    stuck_at: Option<u64>,
    /// The word it ends in.
    end: String,
}

impl Download {
    fn percent(&self, now: Progress) -> u64 {
        let share = (now - self.begun) as f64 / self.length.max(1) as f64;
        let percent = (share * 100.0).clamp(0.0, 100.0) as u64;
        self.stuck_at.map_or(percent, |stuck| percent.min(stuck.min(99)))
    }
}

impl World {
    /// One video of this caller.
    pub(crate) fn video(&self, caller: &Caller, id: &str) -> Result<&Video, Refusal> {
        let mine = |video: &&Video| video.owner == caller.user;
        self.videos.get(id).filter(mine).ok_or_else(|| Refusal::unknown("Video"))
    }

    /// Adds a video record to its owner.
    pub(crate) fn add_video(&mut self, owner: UserId, job: String, model: Arc<str>) -> String {
        let id = self.new_id("video");
        let created_at = self.clock.wall();
        self.videos.insert(id.clone(), Video { owner, job, model, created_at, download: None });
        if let Some(user) = self.users.get_mut(owner) {
            user.videos.push(id.clone());
        }
        id
    }

    /// Deletes a video for good.
    pub(crate) fn delete_video(&mut self, caller: &Caller, id: &str) -> Result<u64, Refusal> {
        self.video(caller, id)?;
        self.videos.remove(id);
        if let Some(user) = self.users.get_mut(caller.user) {
            user.videos.retain(|video| video != id);
        }
        Ok(self.record(caller, What::Delete, id))
    }

    /// A video record.
    pub(crate) fn video_json(&mut self, caller: &Caller, id: &str) -> Value {
        let file = match self.strike(Kind::Mp4Url, caller.op) {
            Some(_) => "video.mp4",
            None => "video.m3u8",
        };
        let Some(video) = self.videos.get(id) else {
            return Value::Null;
        };
        json!({
            "id": id, "jobId": video.job, "url": self.link(caller, &video_path(id, file)),
            "type": "output", "modelID": &*video.model,
            "createdAt": self.stamp(video.created_at), "updatedAt": self.stamp(video.created_at),
            "data": {}, "folderID": null, "liked": false, "publicMediaID": null,
        })
    }

    /// Asks for a downloadable file; asking again while there is one, or one on its way, changes
    /// nothing. A preparation that ended badly is begun anew.
    pub(crate) fn create_download(
        &mut self,
        caller: &Caller,
        id: &str,
    ) -> Result<Option<u64>, Refusal> {
        let now = self.clock.progress();
        if let Some(known) = &self.video(caller, id)?.download
            && (known.percent(now) < 100 || known.end == "ready")
        {
            return Ok(None);
        }
        if self.strike(Kind::HlsOnly, caller.op).is_some() {
            return Err(Refusal::invalid("This video cannot be downloaded"));
        }
        let (low, high) = PREPARATION_SECONDS;
        let seconds = self.dice().between(low, high);
        let stuck = self.strike(Kind::DownloadStuck, caller.op);
        let end = match self.strike(Kind::DownloadError, caller.op) {
            Some(Given::Text(word)) => word,
            _ => "ready".to_owned(),
        };
        let download = Download {
            begun: self.clock.progress(),
            length: self.clock.scaled(seconds),
            stuck_at: stuck.map(|percent| percent.number().unwrap_or(STUCK_PERCENT)),
            end,
        };
        if let Some(video) = self.videos.get_mut(id) {
            video.download = Some(download);
        }
        Ok(Some(self.record(caller, What::Download, id)))
    }

    /// How far the downloadable file is.
    pub(crate) fn download_json(&mut self, caller: &Caller, id: &str) -> Result<Value, Refusal> {
        let now = self.clock.progress();
        let Some(download) = &self.video(caller, id)?.download else {
            return Err(Refusal::unknown("Download"));
        };
        let percent = download.percent(now);
        let word = if percent < 100 { "inprogress" } else { &download.end }.to_owned();
        let ready = word == "ready";
        let mut record =
            json!({ "percentComplete": percent, "status": self.spelled(&word, caller.op) });
        if ready {
            record["url"] = self.link(caller, &video_path(id, "video.mp4")).into();
        }
        Ok(record)
    }

    /// Ends all preparations under way.
    pub(crate) fn finish_downloads(&mut self) {
        for video in self.videos.values_mut() {
            if let Some(download) = &mut video.download {
                download.length = 0;
                download.stuck_at = None;
                download.begun = 0;
            }
        }
    }
}

/// The path of one of a video's files.
pub(crate) fn video_path(id: &str, file: &str) -> String {
    format!("/media/videos/{id}/{file}")
}
