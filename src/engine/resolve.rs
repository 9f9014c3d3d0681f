//! Calls in doubt: only looking is allowed. Reads only, so it can be killed anywhere and run again.

use super::{Engine, Result};
use crate::config::Auto;
use crate::domain::event::{Event, Reason};
use crate::domain::ids::{Millis, RemoteJobId, RemoteModelId};
use crate::domain::reconcile::{self, Candidate, Doubt, Expected, Media, SKEW, Verdict};
use crate::domain::schedule;
use crate::domain::work::{Kind, Work};
use crate::store::intents::{NoteLook, OpenIntent, Reserve, Unclaimed};
use crate::vendor::{ImageFilter, ModelStatus, RemoteImage};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Pages of a model's images that are read at most; the vendor allows 20 of each type.
const IMAGE_PAGES: u32 = 10;
/// An upload is at most this large (vendor-api.md section 5).
const PHOTO_BYTES: u64 = 20 * 1024 * 1024;

impl Engine {
    /// Looks once at what became of a call.
    pub(super) async fn resolve(&self, work: &Work, intent: i64) -> Result<()> {
        let open = self.store.intent(intent).await?;
        let looked = match work.kind {
            Kind::Model => self.resolve_model(work, &open).await,
            Kind::Upload => self.resolve_upload(work, &open).await,
            Kind::Training => self.resolve_training(work, &open).await,
            Kind::Job => self.resolve_job(work, &open).await,
            // These two are never in doubt.
            Kind::Output | Kind::Change => return Ok(()),
        };
        match looked {
            Ok(event) => self.apply(work.kind, work.id, event).await.map(drop),
            // A look that failed proves nothing.
            Err(super::EngineError::Vendor(failure)) => {
                let until = self.now() + schedule::backoff(work.id, work.failures);
                let event = Event::LookFailed { until, note: failure.message };
                self.apply(work.kind, work.id, event).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// A free effect that left no trace: absent after its settle time, else another look.
    async fn nothing_yet(&self, open: &OpenIntent, note: &str) -> Result<Event> {
        let vendor_now = self.vendor_now();
        self.store.writer().write(NoteLook { intent: open.seq, vendor_now }).await?;
        let since = open.doubt_vendor.unwrap_or(open.vendor_time);
        let settle = self.timing().free_settle;
        if vendor_now - since >= settle && open.looks > 0 {
            let note = format!("{note} {} s after the call", (vendor_now - since) / 1000);
            return Ok(Event::Absent { note });
        }
        let at = self.now() + (settle / 4).clamp(100, 5_000);
        Ok(Event::LookAgain { at, note: note.to_owned() })
    }

    async fn resolve_model(&self, work: &Work, open: &OpenIntent) -> Result<Event> {
        let name = expected(open, "name");
        let all = self.call(self.client.list_models()).await?.value;
        let ids: Vec<String> = all.iter().map(|model| model.id.0.clone()).collect();
        let claimed = self.store.claimed(Kind::Model, &ids).await?;
        let found: Vec<String> = all
            .into_iter()
            .filter(|model| !claimed.contains(&model.id.0))
            .filter(|model| match (&model.name, &name) {
                (Some(theirs), Some(ours)) => theirs == ours,
                _ => true,
            })
            // Without a creation time only the name can prove anything.
            .filter(|model| match model.created_at {
                Some(at) => at >= open.vendor_time - SKEW,
                None => model.name.is_some(),
            })
            .map(|model| model.id.0)
            .collect();
        match found.as_slice() {
            [] => self.nothing_yet(open, "the vendor lists no such model").await,
            [one] => Ok(Event::Found {
                remote_id: one.clone(),
                note: "the only new model at the vendor that no row claims".to_owned(),
            }),
            many => Ok(undecidable(work, "models", many)),
        }
    }

    async fn resolve_upload(&self, work: &Work, open: &OpenIntent) -> Result<Event> {
        let row = self.store.upload(work.id).await?;
        let model = self.remote_model(&row.model_id).await?;
        let images = match row.purpose.as_str() {
            "reference" => self.reference_images(&model).await?,
            _ => self.call(self.client.all_input_images(&model)).await?.value,
        };
        let ids: Vec<String> = images.iter().map(|image| image.id.0.clone()).collect();
        let claimed = self.store.claimed(Kind::Upload, &ids).await?;
        let mut found: Vec<RemoteImage> = images
            .into_iter()
            .filter(|image| !claimed.contains(&image.id.0))
            .filter(|image| image.created_at.is_none_or(|at| at >= open.vendor_time - SKEW))
            .collect();
        if found.len() > 1 {
            // More than one new image: the bytes tell.
            found = self.same_bytes(found, &row.sha256).await;
            found.truncate(1);
            if found.is_empty() {
                return Ok(undecidable(work, "images", &ids));
            }
        }
        match found.first() {
            None => self.nothing_yet(open, "the vendor lists no new image of the model").await,
            Some(one) => Ok(Event::Found {
                remote_id: one.id.0.clone(),
                note: "the only new image of the model that no row claims".to_owned(),
            }),
        }
    }

    async fn reference_images(&self, model: &RemoteModelId) -> Result<Vec<RemoteImage>> {
        let mut images: Vec<RemoteImage> = Vec::new();
        for page in 1..=IMAGE_PAGES {
            let filter = ImageFilter::Reference;
            let reply = self.call(self.client.list_model_images(model, filter, page, 100)).await?;
            let before = images.len();
            for image in reply.value.images {
                if !images.iter().any(|known| known.id == image.id) {
                    images.push(image);
                }
            }
            if images.len() == before {
                break;
            }
        }
        Ok(images)
    }

    async fn same_bytes(&self, images: Vec<RemoteImage>, sha256: &str) -> Vec<RemoteImage> {
        let mut same = Vec::new();
        for image in images {
            let Some(url) = image.url.as_deref() else {
                continue;
            };
            let mut bytes: Vec<u8> = Vec::new();
            let fetched = self.media.fetch(url, PHOTO_BYTES, &mut bytes).await;
            if fetched.is_ok() && hex::encode(Sha256::digest(&bytes)) == sha256 {
                same.push(image);
            }
        }
        same
    }

    async fn resolve_training(&self, work: &Work, open: &OpenIntent) -> Result<Event> {
        let model = RemoteModelId(expected(open, "model").unwrap_or_default());
        let status = self.call(self.client.get_model(&model)).await?.value.status;
        if super::poll::is_past_new(&status) {
            return Ok(Event::Found {
                remote_id: model.0,
                note: format!("the model's status is {:?}", super::poll::model_word(&status)),
            });
        }
        if status == ModelStatus::Deleted {
            return Ok(Event::NeedsPerson {
                reason: Reason::Undecidable,
                message: "the reply to the training's call was lost and the model has been \
                          deleted since"
                    .to_owned(),
            });
        }
        // Still `new`. A job that could be the training forbids "absent".
        let unclaimed = self.unclaimed_since(open).await?;
        self.settle_by_looks(work, open, &unclaimed, None).await
    }

    async fn resolve_job(&self, work: &Work, open: &OpenIntent) -> Result<Event> {
        let unclaimed = self.unclaimed_since(open).await?;
        let expected: Expected = serde_json::from_str(&open.expects)
            .unwrap_or(Expected { model: None, media: Media::Images });
        self.settle_by_looks(work, open, &unclaimed, Some(expected)).await
    }

    /// A complete, new listing, and what of it could be this call's.
    async fn unclaimed_since(&self, open: &OpenIntent) -> Result<Vec<Unclaimed>> {
        let _one_at_a_time = self.listing.lock().await;
        self.list_since(open.vendor_time - SKEW).await?;
        Ok(self.store.unclaimed_jobs(open).await?)
    }

    async fn settle_by_looks(
        &self,
        work: &Work,
        open: &OpenIntent,
        unclaimed: &[Unclaimed],
        expected: Option<Expected>,
    ) -> Result<Event> {
        let is_training = expected.is_none();
        let vendor_now = self.vendor_now();
        let mut candidates = Vec::new();
        for job in unclaimed {
            candidates.push(self.evidence(job).await?);
        }
        let doubt = Doubt {
            expected: expected.unwrap_or(Expected { model: None, media: Media::Images }),
            sent_at: open.vendor_time,
            doubt_since: open.doubt_vendor.unwrap_or(open.vendor_time),
            vendor_now,
            looks: u32::try_from(open.looks).unwrap_or(u32::MAX),
            first_look: open.first_look,
            exclusive: self.account_is_exclusive().await?,
            training_may_show: self.a_training_may_show().await?,
        };
        let verdict = if is_training {
            reconcile::judge_training(&doubt, &candidates, self.timing())
        } else {
            reconcile::judge(&doubt, &candidates, self.timing())
        };
        self.event_of(work, open, verdict, vendor_now).await
    }

    async fn event_of(
        &self,
        work: &Work,
        open: &OpenIntent,
        verdict: Verdict,
        vendor_now: Millis,
    ) -> Result<Event> {
        Ok(match verdict {
            Verdict::Adopt { remote_id, why } => Event::Found { remote_id, note: why },
            Verdict::Absent { why } => Event::Absent { note: why },
            Verdict::Park { why, candidates } => {
                let reserve = Reserve { intent: open.seq, remote_ids: candidates.clone() };
                self.store.writer().write(reserve).await?;
                let message = format!(
                    "the reply was lost and {why}: {}; decide with `darkroom resolve {}` and \
                     --adopt, --resubmit or --abandon",
                    candidates.join(", "),
                    work.id
                );
                Event::NeedsPerson { reason: Reason::Undecidable, message }
            }
            Verdict::Wait { why, empty } => {
                if empty {
                    let look = NoteLook { intent: open.seq, vendor_now };
                    self.store.writer().write(look).await?;
                }
                Event::LookAgain { at: self.now() + self.timing().relist, note: why }
            }
        })
    }

    /// What a listed job is, as far as the vendor tells.
    async fn evidence(&self, job: &Unclaimed) -> Result<Candidate> {
        let remote_id = RemoteJobId(job.remote_id.clone());
        let record = match self.call(self.client.get_job(&remote_id)).await {
            Ok(reply) => reply.value,
            // Nothing more to be learnt of it: it stays a candidate that cannot be ruled out.
            Err(failure) if matches!(failure.http_status, Some(200 | 404)) => {
                let (remote_id, created_at) = (job.remote_id.clone(), job.created_at);
                let (model, media) = (None, None);
                return Ok(Candidate { remote_id, created_at, model, media, unreadable: true });
            }
            Err(failure) => return Err(failure.into()),
        };
        let media = match (record.images.is_empty(), record.videos.is_empty()) {
            (false, _) => Some(Media::Images),
            (true, false) => Some(Media::Videos),
            (true, true) => None,
        };
        Ok(Candidate {
            remote_id: job.remote_id.clone(),
            created_at: job.created_at.or(record.created_at),
            model: record.model_id.map(|model| model.0),
            media,
            unreadable: false,
        })
    }

    /// The docs contradict themselves on whether trainings are listed as jobs (vendor-api.md C3).
    async fn a_training_may_show(&self) -> Result<bool> {
        let since = self.now() - self.timing().settle;
        Ok(self.store.a_training_was_accepted_since(since).await?)
    }

    async fn account_is_exclusive(&self) -> Result<bool> {
        Ok(match self.config.account.exclusive {
            Auto::Set(exclusive) => exclusive,
            Auto::Auto => self.store.setting::<Value>("account.shared").await?.is_none(),
        })
    }
}

fn expected(open: &OpenIntent, field: &str) -> Option<String> {
    let expects: Value = serde_json::from_str(&open.expects).ok()?;
    Some(expects.get(field)?.as_str()?.to_owned())
}

fn undecidable(work: &Work, what: &str, ids: &[String]) -> Event {
    Event::NeedsPerson {
        reason: Reason::Undecidable,
        message: format!(
            "the reply was lost and several {what} at the vendor could be it: {}; decide with \
             `darkroom resolve {}` and --adopt, --resubmit or --abandon",
            ids.join(", "),
            work.id
        ),
    }
}
