//! Sending one side-effecting call: store the intent, call once, store what came back.

use super::gap;
use super::references::Unusable;
use super::{Engine, EngineError, Result};
use crate::domain::event::{Event, Reason};
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::{Id, RemoteModelId, RemoteVideoId};
use crate::domain::request::{JobRequest, UploadPurpose};
use crate::domain::schedule;
use crate::domain::work::{Kind, State, Work};
use crate::store::StoreError;
use crate::store::apply::Facts;
use crate::store::intents::{NewIntent, PAID_LANE, StartSend};
use crate::store::settings::{BY_DAEMON, BY_KEY_CHECK, Switch};
use crate::vendor::{self, ModelStatus, UploadImage};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A paid call needs a complete job listing at most this old (vendor time): without one, a lost
/// reply could not be resolved afterwards.
const LISTING_AT_MOST: i64 = 5 * 60 * 1000;

/// Between an intent and its call (ms, wall clock: it counts a machine's sleep).
const PROMPTLY: i64 = 15_000;
/// Between two tries to store a reply while the database is busy or its disk full.
const STORE_AGAIN: Duration = Duration::from_millis(500);
/// A picture that the vendor does not find (yet) is asked for this often, over some ten minutes.
const TRIES_FOR_A_REFERENCE: u32 = 9;

/// What a call that was taken brings back.
pub(super) struct Taken {
    pub(super) remote_id: String,
    pub(super) facts: Facts,
}

impl Taken {
    fn plain(remote_id: impl Into<String>) -> Self {
        Self { remote_id: remote_id.into(), facts: Facts::default() }
    }
}

impl Engine {
    /// Sends the call of a queued row.
    pub(super) async fn send(&self, work: &Work) -> Result<()> {
        let sent = match (self.look_before_resending(work).await, work.kind) {
            (Ok(Some((event, facts))), _) => {
                self.apply_with(work.kind, work.id, event, facts).await.map(drop)
            }
            (Err(error), _) => Err(error),
            (_, Kind::Model) => self.send_model(work).await,
            (_, Kind::Upload) => self.send_upload(work).await,
            (_, Kind::Training) => self.send_training(work).await,
            (_, Kind::Job) => self.send_job(work).await,
            (_, Kind::Output) => self.send_prepare(work).await,
            (_, Kind::Change) => self.send_change(work).await,
        };
        match sent {
            // A question on the way to the call stayed unanswered: nothing went out.
            Err(EngineError::Vendor(failure)) => self.postpone(work, &failure.message).await,
            Err(EngineError::Store(StoreError::Refused(why))) => {
                tracing::debug!("{} {} is not sent now: {why}", work.kind, work.id);
                Ok(())
            }
            // Where nothing can be stored, neither can a later time; the loop looks at the disk.
            Err(EngineError::Store(error)) if error.fault().is_some() => Err(error.into()),
            // Nor did anything go out if the row still waits to be sent; the others may go first.
            Err(error) => match self.store.load(work.kind, work.id).await?.work.state {
                State::Queued { .. } => self.postpone(work, &error.to_string()).await,
                _ => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }

    async fn postpone(&self, work: &Work, note: &str) -> Result<()> {
        let until = self.now().saturating_add(schedule::backoff(work.id, work.failures));
        let event = Event::Postponed { until, note: note.to_owned() };
        self.apply(work.kind, work.id, event).await.map(drop)
    }

    pub(super) async fn start(
        &self,
        work: &Work,
        lane: String,
        request: Value,
        expects: Value,
        listed_from: Option<i64>,
    ) -> Result<Work> {
        // Free effects are dated by the vendor's clock.
        if lane != PAID_LANE {
            self.know_the_time().await?;
        }
        let request_hash = hex::encode(Sha256::digest(request.to_string()));
        let intent = NewIntent {
            lane,
            boot: self.boot,
            opened_uptime: self.uptime(),
            request_hash,
            request,
            vendor_time: self.vendor_now(),
            listed_from,
            expects,
            looked_seq: self.take_last_look(work.id),
        };
        let (kind, id, timing) = (work.kind, work.id, *self.timing());
        let paid = intent.lane == PAID_LANE;
        let opened = self.now();
        let started = self.store.writer().write(StartSend { kind, id, intent, timing }).await?;
        if paid && let Err(problem) = self.mark_high_water().await {
            return self.not_sent(&started, problem).await;
        }
        // A machine that slept in between: the intent's time is no time of the call's any more.
        if !(0..=PROMPTLY).contains(&(self.now() - opened)) {
            let problem = "the call was not made promptly, so it is made anew".to_owned();
            return self.not_sent(&started, problem).await;
        }
        Ok(started)
    }

    /// Takes the intent back: nothing has left. The row is tried again later.
    async fn not_sent(&self, work: &Work, message: String) -> Result<Work> {
        tracing::error!("{} {}: {message}", work.kind, work.id);
        let failure = Failure {
            class: FailureClass::NotSent,
            message: message.clone(),
            http_status: None,
            reply: None,
            retry_after: None,
        };
        self.settle(work, Err(failure)).await?;
        Err(StoreError::Refused(message).into())
    }

    /// Stores how the call went.
    pub(super) async fn settle(&self, work: &Work, result: Result<Taken, Failure>) -> Result<()> {
        let (event, facts) = match result {
            Ok(taken) => (Event::Accepted { remote_id: taken.remote_id }, taken.facts),
            Err(failure) => {
                let facts = Facts { pause: pauses(work.kind, &failure), ..Facts::default() };
                (Event::CallFailed { failure }, facts)
            }
        };
        let timing = match &event {
            Event::Accepted { .. } => self.placed(work).await,
            _ => *self.timing(),
        };
        let (mut kept, mut tried) = (None, false);
        // What the vendor said is worth more than any patience: without it there is only doubt.
        let settled = loop {
            let (news, learnt) = (event.clone(), facts.clone());
            let stored = self.apply_timed(work.kind, work.id, news, learnt, timing).await;
            match stored {
                Err(EngineError::Store(error)) if error.is_passing() || error.is_final() => {
                    // Before any patience: a crash may come first.
                    if !tried {
                        tried = true;
                        kept = self.keep(work, &event).await;
                    }
                    if error.is_final() {
                        return Err(error.into());
                    }
                    tracing::warn!(
                        "{} {}: the reply is not stored yet: {error}",
                        work.kind,
                        work.id
                    );
                    self.wake();
                    tokio::time::sleep(STORE_AGAIN).await;
                }
                Err(EngineError::Store(error)) if error.is_taken() => {
                    let event = id_is_taken(event.remote_id().unwrap_or("none"));
                    break self.apply(work.kind, work.id, event).await.map(drop);
                }
                other => break other.map(drop),
            }
        };
        if let (Ok(()), Some((spill, slot))) = (&settled, kept) {
            self.free(&spill, slot).await;
        }
        settled
    }

    async fn send_model(&self, work: &Work) -> Result<()> {
        let row = self.store.model(work.id).await?;
        let Some(identity) = row.identity() else {
            let message = "the model has no identity to create it from".to_owned();
            return self.apply(work.kind, work.id, Event::Unsendable { message }).await.map(drop);
        };
        let body = vendor::create_model_body(&identity);
        let work = &self
            .start(work, "models".to_owned(), body, json!({ "name": identity.name }), None)
            .await?;
        let result = self.call(self.client.create_model(&identity)).await;
        let taken = result.map(|reply| Taken {
            remote_id: reply.value.id.0,
            facts: Facts {
                model_status: Some(super::poll::model_word(&reply.value.status)),
                ..Facts::default()
            },
        });
        self.settle(work, taken).await
    }

    async fn send_upload(&self, work: &Work) -> Result<()> {
        let row = self.store.upload(work.id).await?;
        let model = self.remote_model(&row.model_id).await?;
        let path = self.data_dir().join("blobs").join(&row.sha256[..2.min(row.sha256.len())]);
        let path = path.join(&row.sha256);
        if let Err(source) = tokio::fs::metadata(&path).await {
            if source.kind() != std::io::ErrorKind::NotFound {
                return Err(EngineError::Io { path, source });
            }
            let message = format!(
                "the copy of the photo {:?} is gone from the data directory",
                row.file_name
            );
            return self.apply(work.kind, work.id, Event::Unsendable { message }).await.map(drop);
        }
        let purpose = match row.purpose.as_str() {
            "reference" => UploadPurpose::Reference,
            _ => UploadPurpose::Training,
        };
        let request = json!({
            "model": model.as_str(), "purpose": row.purpose,
            "file_name": row.file_name, "sha256": row.sha256,
        });
        let expects = json!({ "model": model.as_str(), "sha256": row.sha256 });
        let work =
            &self.start(work, format!("uploads:{}", row.model_id), request, expects, None).await?;
        let upload = UploadImage {
            model: &model,
            purpose,
            file_name: &row.file_name,
            media_type: &row.media_type,
            path: &path,
        };
        let result = self.call(self.client.upload_image(upload)).await;
        let taken = result.map(|reply| Taken {
            remote_id: reply.value.id.0,
            facts: Facts { url: reply.value.url, ..Facts::default() },
        });
        self.settle(work, taken).await
    }

    async fn send_training(&self, work: &Work) -> Result<()> {
        let model_id = self.store.training_model(work.id).await?;
        let model = self.remote_model(&model_id.to_string()).await?;
        if let Some(event) = self.training_obstacle(work, model_id, &model).await? {
            return self.apply(work.kind, work.id, event).await.map(drop);
        }
        let listed_from = Some(self.ready_to_spend().await?);
        let request = json!({ "train": model.as_str() });
        let expects = json!({ "model": model.as_str() });
        let work = &self.start(work, PAID_LANE.to_owned(), request, expects, listed_from).await?;
        let result = self.call(self.client.train(&model)).await;
        let result = match result {
            // Past `new`, a conflict means that the training has been accepted.
            Err(failure) if failure.http_status == Some(409) => {
                match self.call(self.client.get_model(&model)).await {
                    Ok(reply) if super::poll::is_past_new(&reply.value.status) => {
                        Ok(Taken::plain(model.as_str()))
                    }
                    _ => Err(failure),
                }
            }
            other => other.map(|_| Taken::plain(model.as_str())),
        };
        self.settle(work, result).await
    }

    /// What forbids triggering the training: its model must be `new` and hold just our photos.
    async fn training_obstacle(
        &self,
        work: &Work,
        model_id: Id,
        model: &RemoteModelId,
    ) -> Result<Option<Event>> {
        let status = self.call(self.client.get_model(model)).await?.value.status;
        let park = |message: String| Some(Event::NeedsPerson { reason: Reason::Mismatch, message });
        match status {
            ModelStatus::New => {}
            ModelStatus::Deleted => {
                let message = "the model was deleted at the vendor".to_owned();
                return Ok(Some(Event::Unsendable { message }));
            }
            other => {
                return Ok(park(format!(
                    "the vendor says that the model is {:?} already; training it again could be a \
                     second purchase. `darkroom retry {}` asks again",
                    super::poll::model_word(&other),
                    work.id
                )));
            }
        }
        let theirs = self.call(self.client.all_input_images(model)).await?.value;
        let ours = self.store.training_photos(model_id).await?;
        let known = |id: &str| ours.iter().any(|photo| photo == id);
        let surplus = theirs.iter().filter(|image| !known(image.id.as_str())).count();
        let found = theirs.len() - surplus;
        if surplus > 0 {
            return Ok(park(format!(
                "the model holds {surplus} training photos at the vendor that this database does \
                 not know; remove them there, then `darkroom retry {}`",
                work.id
            )));
        }
        if found < ours.len() {
            return Ok(park(format!(
                "the vendor lists {found} of the {} training photos that were uploaded; when all \
                 are there, `darkroom retry {}`",
                ours.len(),
                work.id
            )));
        }
        Ok(None)
    }

    async fn send_job(&self, work: &Work) -> Result<()> {
        let request = self.store.job_request(work.id).await?;
        let body = match self.job_body(&request).await {
            Ok(body) => body,
            Err(Unusable::Never(message)) => {
                let event = Event::Unsendable { message };
                return self.apply(work.kind, work.id, event).await.map(drop);
            }
            Err(Unusable::Missing(message))
                if work.failures >= TRIES_FOR_A_REFERENCE
                    && work.note.as_deref() == Some(message.as_str()) =>
            {
                let event = Event::Unsendable { message };
                return self.apply(work.kind, work.id, event).await.map(drop);
            }
            Err(Unusable::Missing(note)) => return self.postpone(work, &note).await,
            Err(Unusable::Now(error)) => return Err(error),
        };
        let listed_from = Some(self.ready_to_spend().await?);
        let expected = gap::expected(&self.store, &request).await?;
        if self.parked_as_fitting(work.id, &expected).await? {
            return Ok(());
        }
        let expects = serde_json::to_value(&expected).unwrap_or_default();
        let work =
            &self.start(work, PAID_LANE.to_owned(), body.clone(), expects, listed_from).await?;
        let result = match request {
            JobRequest::Image(_) => self.call(self.client.generate_image(&body)).await,
            JobRequest::Upscale(_) => self.call(self.client.upscale_image(&body)).await,
            JobRequest::Video(_) => self.call(self.client.generate_video(&body)).await,
        };
        self.settle(work, result.map(|reply| Taken::plain(reply.value.job_id.0))).await
    }

    /// Asks the vendor to prepare a video's file.
    async fn send_prepare(&self, work: &Work) -> Result<()> {
        let note = work.note.as_deref().unwrap_or("the vendor does not prepare it");
        if let Some(event) = self.unfetched(work, note) {
            return self.apply(Kind::Output, work.id, event).await.map(drop);
        }
        let row = self.store.output(work.id).await?;
        let video = RemoteVideoId(row.remote_id.clone());
        let request = json!({ "create_download": row.remote_id });
        let work =
            &self.start(work, format!("download:{}", work.id), request, json!({}), None).await?;
        let result = self.call(self.client.create_download(&video)).await;
        self.settle(work, result.map(|_| Taken::plain(row.remote_id))).await
    }

    /// The vendor's id of a model of ours that a row behind it waits for no longer.
    pub(super) async fn remote_model(&self, id: &str) -> Result<RemoteModelId> {
        let known = Id::parse(id).ok_or_else(|| StoreError::NotFound("model", id.to_owned()))?;
        let row = self.store.model(known).await?;
        let remote = row.remote_id.ok_or_else(|| StoreError::Corrupt {
            table: "models",
            row: id.to_owned(),
            problem: "something that needs its remote id is queued, and it has none".to_owned(),
        })?;
        Ok(RemoteModelId(remote))
    }

    /// Sees to what spending needs: a recent whole list, and room on disk for the result. Answers
    /// from when on (vendor's) the list was asked for.
    ///
    /// The loop looked at the disk before it came here, but that may be minutes ago; the row stays
    /// as it is, and the loop pauses.
    async fn ready_to_spend(&self) -> Result<i64> {
        let listed_from = self.listing_not_older_than(LISTING_AT_MOST).await?;
        match self.disk_obstacle() {
            Some(why) => Err(StoreError::Refused(why).into()),
            None => Ok(listed_from),
        }
    }
}

/// What becomes of a row whose id at the vendor another row holds.
pub(super) fn id_is_taken(remote_id: &str) -> Event {
    let message = format!(
        "the vendor answered with an id that another row holds already ({remote_id}); compare the \
         two at the vendor"
    );
    Event::NeedsPerson { reason: Reason::IdTaken, message }
}

/// The switches that a failure sets, in the transaction that stores it.
fn pauses(kind: Kind, failure: &Failure) -> Vec<(Switch, &'static str, String)> {
    match failure.class {
        // Preparing a file is not spending, whatever the vendor calls its refusal.
        FailureClass::InsufficientCredits if kind == Kind::Output => Vec::new(),
        FailureClass::Unauthorized => {
            let reason = super::key::key_refused(&failure.message);
            Switch::ALL.map(|switch| (switch, BY_KEY_CHECK, reason.clone())).to_vec()
        }
        FailureClass::InsufficientCredits => vec![(
            Switch::Spending,
            BY_DAEMON,
            format!(
                "the account has too few credits ({}); buy some, then `darkroom resume spending`",
                failure.message
            ),
        )],
        _ => Vec::new(),
    }
}
