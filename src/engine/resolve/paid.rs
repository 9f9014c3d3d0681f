//! Looking for jobs: what costs credits is never sent again on a guess.

use super::ended::EndedJobs;
use super::{Engine, EngineError, Proof, Result, Seen};
use crate::config::Auto;
use crate::domain::event::Event;
use crate::domain::ids::{Id, Millis, RemoteJobId};
use crate::domain::work::{Kind, State};
use crate::engine::lists::goes_for_all;
use crate::engine::poll::MEDIA_MAY_LAG;
use crate::engine::sweep::Before;
use crate::store::apply::Facts;
use crate::store::doubt::{Known, Unclaimed, call_of};
use crate::store::intents::{Look, NoteLook, OpenIntent};
use crate::vendor::{JobStatus, RemoteJob};
use judging::clocks::{self, Accepted, Clocks};
use judging::fit::{self, Call, Candidate, Effect, Fit, Ground, Media, ModelIds, Record};
use judging::lag::Settle;
use judging::list;
use judging::missing::Shown;
use judging::verdict::{self, Other, Progress, Reading, Scene, Standing, Verdict};
use judging::witness::{Heard, Window, Witnesses};
use judging::{DAY, HOUR, MINUTE};
use serde_json::{Value, json};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// How often a look asks for one record before it counts as failed.
const TRIES: u32 = 3;
/// Between two of them.
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// A parked call is judged again for so long.
const PARKED_FOR: Millis = 7 * DAY;
/// Looking for a call that has been proven absent has gone on for long enough.
pub(super) const LONG_ENOUGH: Millis = Millis::MAX / 4;

/// Words of the vendor's with which a job ends, beside `failed` that the vendor does not document.
const ENDS: [&str; 7] = ["cancel", "fail", "error", "abort", "expire", "timed", "reject"];

/// How a call is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quest {
    /// It is in doubt.
    Doubt,
    /// It has been proven absent, and this is the look before it is sent again.
    Resend,
    /// It is parked; `absent`: its row had a call that was found absent.
    Parked { absent: bool },
}

/// What is known about a call beside the list.
struct Around {
    call: Call,
    known: Known,
    settle: Settle,
    others: Vec<Other>,
    accepted: Vec<Accepted>,
    ours: Vec<Accepted>,
    clocks: Clocks,
    models: ModelIds,
    exclusive: bool,
    forgetful: bool,
}

impl Around {
    fn ground(&self) -> Ground<'_> {
        Ground { accepted: &self.accepted, clocks: &self.clocks, models: &self.models }
    }
}

impl Engine {
    /// Looks for a job: a new whole list, its witnesses, what of it could be this call's, and what
    /// that proves.
    pub(super) async fn look_for_job(&self, open: &OpenIntent, quest: Quest) -> Result<Seen> {
        // The look is as old as the question for the list, however long the rest of it takes.
        let at = self.moment();
        let times = self.times();
        let looking = match quest {
            Quest::Resend => LONG_ENOUGH,
            _ => open.looking_at(&at),
        };
        let settle = self.store.lag().await?.settle(&times, at.at).millis;
        let wide = quest != Quest::Doubt
            || verdict::wants_wide(open.looks == 0 || open.missed, looking, settle);
        let list = match quest {
            Quest::Parked { absent } => !absent && self.a_list_may_settle(open).await?,
            Quest::Doubt | Quest::Resend => true,
        };
        let (heard, took) = match list {
            true => self.read_about(open, wide).await?,
            false => (Heard::default(), 0),
        };
        let listed_seq = Some(self.store.newest_listed().await?);
        let candidates = self.candidates(open).await?;
        // Read last: what came into doubt meanwhile may explain a job of the list as well.
        let around = self.around(open).await?;
        let progress = Progress {
            parked: matches!(quest, Quest::Parked { .. }),
            absent: matches!(quest, Quest::Resend | Quest::Parked { absent: true }),
            looking,
            ripe_since: match quest {
                Quest::Resend => Some(0),
                _ => open.ripe_since,
            },
            age: open.age_at(&at),
        };
        let scene = Scene {
            ground: around.ground(),
            ours: &around.ours,
            others: &around.others,
            exclusive: around.exclusive,
            settle: around.settle,
            reach: around.known.reach,
            lacks: around.known.lacks.as_deref(),
            forgetful: around.forgetful,
        };
        let (fresh, discredited) = (heard.since > 0, !heard.missing.is_empty());
        let evidence = evidence(&candidates, &heard, wide, &around, looking);
        let reading = Reading { wide, heard };
        let jobs: Vec<Candidate> = candidates.iter().map(Unclaimed::candidate).collect();
        let verdict = verdict::judge(&around.call, &progress, &reading, &jobs, &scene, &times);
        let late_effect = match &verdict {
            Verdict::Found { remote_id, .. } => {
                let found = jobs.iter().find(|job| job.remote_id == *remote_id);
                found.filter(|job| came_late(job, &around)).map(|job| job.remote_id.clone())
            }
            _ => None,
        };
        let (proof, ripe) = self.proof_of(verdict, for_a_video(&around.call));
        let again = match ripe {
            true => times.relist.max(took.saturating_mul(4)),
            false => times.pause(looking, took),
        };
        Ok(Seen {
            proof,
            evidence,
            at,
            listed_seq,
            looking,
            ripe,
            fresh,
            discredited,
            late_effect,
            again,
            hole: false,
            settles: true,
        })
    }

    fn proof_of(&self, verdict: Verdict, videos: bool) -> (Proof, bool) {
        match verdict {
            // Nothing is taken over by what was read a while ago.
            Verdict::Found { remote_id, .. }
                if self.ended().lasting(&remote_id, videos).is_some() =>
            {
                self.ended().forget(&remote_id);
                let why = format!("the job {remote_id} is read once more before it is taken over");
                (Proof::None { why, candidates: vec![remote_id] }, false)
            }
            Verdict::Found { remote_id, why } => (Proof::Found { remote_id, why }, false),
            Verdict::Absent { why, .. } => (Proof::Absent { why }, true),
            Verdict::Wait { why, candidates, ripe } => (Proof::None { why, candidates }, ripe),
            Verdict::Park { why, candidates } => (Proof::Person { why, candidates }, false),
        }
    }

    /// Reads the list about a call; answers what its witnesses said and how long it took (ms).
    async fn read_about(&self, open: &OpenIntent, wide: bool) -> Result<(Heard, Millis)> {
        let read = {
            let _one_at_a_time = self.listing.lock().await;
            let before = self.before_a_list_about(open.opened_at - DAY).await?;
            let start = self.start_about(open, wide, &before);
            let window = Window { start, end: None };
            let shown_before = self.store.shown_before(window.inner()).await?;
            let read = self.read_list(start, &before, &shown_before, wide).await?;
            let witnesses = self.witnesses(open, &read.window, &before, shown_before).await?;
            let heard = witnesses.heard(|id| read.shown.contains(id));
            (heard, read.took)
        };
        self.place_unclaimed().await?;
        Ok(read)
    }

    /// Whether a list of its own may settle a parked call: nothing that could be its job is left, and
    /// a job was accepted later than it. Otherwise the sweeps' lists serve.
    async fn a_list_may_settle(&self, open: &OpenIntent) -> Result<bool> {
        if self.store.unclaimed_since(open).await?.iter().any(|job| !job.not_this) {
            return Ok(false);
        }
        let ours = self.store.our_jobs(open.opened_at).await?;
        Ok(ours.all.iter().any(|job| job.accepted_at > open.ended_at()))
    }

    fn start_about(&self, open: &OpenIntent, wide: bool, before: &Before) -> Millis {
        let narrow = list::narrow(open.opened_at, open.listed_from, &before.clocks);
        match open.listed_from.filter(|_| wide) {
            Some(from) => from,
            // A call of an older database: as wide as the vendor's own window.
            None if wide => narrow - DAY + HOUR,
            None => narrow,
        }
    }

    async fn witnesses(
        &self,
        open: &OpenIntent,
        window: &Window,
        before: &Before,
        shown_before: Vec<Shown>,
    ) -> Result<Witnesses> {
        let settle = self.store.lag().await?.settle(&self.times(), self.now()).millis;
        let call = (open.opened_at, open.ended_at());
        let shown_before = shown_before.into_iter().map(|job| job.remote_id);
        Ok(Witnesses::of(window, call, &before.ours.all, shown_before, (settle, self.now())))
    }

    /// What no row claims since the call, each with its record as it is now.
    async fn candidates(&self, open: &OpenIntent) -> Result<Vec<Unclaimed>> {
        let mut jobs = self.store.unclaimed_since(open).await?;
        for job in &mut jobs {
            match self.read_record(job).await {
                // One record that the vendor never shows must not keep every look from counting: it
                // stays a candidate as it was last seen.
                Err(EngineError::Vendor(failure)) if !goes_for_all(&failure) => {}
                read => read?,
            }
        }
        Ok(jobs)
    }

    async fn around(&self, open: &OpenIntent) -> Result<Around> {
        let now = self.now();
        let call = call_of(open);
        let ours = self.store.our_jobs(open.opened_at - DAY).await?;
        let clocks = ours.clocks(now);
        let mut others =
            self.store.calls_without_a_job(Some(open.seq), open.opened_at - DAY).await?;
        let trainings = self.store.trainings_without_an_entry().await?;
        others.extend(trainings.into_iter().map(|call| Other { call, standing: Standing::Open }));
        let model = match &call.effect {
            Effect::Job(expected) => expected.model.clone(),
            Effect::Training(model) => Some(model.clone()),
        };
        let known = self.store.known().await?;
        Ok(Around {
            settle: known.lag.settle(&self.times(), now),
            models: self.store.model_ids(model.as_deref()).await?,
            exclusive: self.is_exclusive(&known),
            forgetful: self.store.may_have_forgotten(open.seq).await?,
            call,
            known,
            others,
            accepted: ours.heard,
            ours: ours.all,
            clocks,
        })
    }

    fn is_exclusive(&self, known: &Known) -> bool {
        match self.config.account.exclusive {
            Auto::Set(exclusive) => exclusive,
            Auto::Auto => known.nobody_else,
        }
    }

    /// Parked calls that the next sweep judges again.
    pub(in crate::engine) async fn parked_to_judge(&self) -> Result<Vec<OpenIntent>> {
        Ok(self.store.parked_calls(self.now() - PARKED_FOR).await?)
    }

    /// What the lists of sweeps prove about a parked call settles it, until a person decides.
    pub(in crate::engine) async fn judge_parked(&self, open: &OpenIntent) -> Result<()> {
        let Some(id) = Id::parse(&open.subject) else { return Ok(()) };
        let loaded = self.store.load(Kind::Job, id).await?;
        let parked = matches!(loaded.work.state, State::Attention { .. });
        if !parked || !loaded.work.is_undecided() {
            return Ok(());
        }
        let seen =
            self.look_for_job(open, Quest::Parked { absent: loaded.work.absences > 0 }).await?;
        let look = Look::Whole {
            at: seen.at,
            looking: seen.looking,
            pause: super::super::millis(self.config.sweep.every),
            ripe: seen.ripe,
            fresh: seen.fresh,
            opens_lane: false,
            asked: None,
            listed_seq: seen.listed_seq,
            hole: false,
        };
        let event = match seen.proof {
            Proof::Found { remote_id, why } => Event::Found { remote_id, note: why },
            Proof::Absent { why } if loaded.work.absences == 0 => Event::Absent { note: why },
            proof => {
                let candidates = match proof {
                    Proof::None { candidates, .. } | Proof::Person { candidates, .. } => candidates,
                    _ => Vec::new(),
                };
                let note = NoteLook { intent: open.seq, look, candidates };
                return Ok(self.store.writer().write(note).await?);
            }
        };
        let facts = Facts {
            look: Some(look),
            parked_of: Some(open.seq),
            evidence: Some(seen.evidence),
            late_effect: seen.late_effect,
            version: Some(loaded.version),
            ..Facts::default()
        };
        self.apply_with(Kind::Job, id, event, facts).await.map(drop)
    }

    /// What a listed job is, as far as the vendor tells; none if it lists it and cannot show it.
    pub(in crate::engine) async fn record_of(&self, job: &Unclaimed) -> Result<Option<Record>> {
        let known = self.ended().lasting(&job.remote_id, true).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let remote_id = RemoteJobId(job.remote_id.clone());
        let mut tries = 0;
        let (record, asked) = loop {
            tries += 1;
            let asked = self.clock.monotonic();
            match self.call(self.client.get_job(&remote_id)).await {
                Ok(reply) => break (reply.value, asked),
                // Nothing more to be learnt of it: it stays a candidate that cannot be ruled out.
                Err(failure) if matches!(failure.http_status, Some(200 | 404)) => return Ok(None),
                // One bad answer among many would spoil the whole look.
                Err(failure) if tries < TRIES && failure.http_status >= Some(500) => {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(failure) => return Err(failure.into()),
            }
        };
        let read = read(&record);
        if read.ended {
            // As late as a poll of our own jobs expects their media.
            let lag = i64::from(MEDIA_MAY_LAG).saturating_mul(self.timing().poll_job);
            let lag = Duration::from_millis(u64::try_from(lag).unwrap_or(0));
            let times = (asked, self.clock.monotonic());
            self.ended().note(&job.remote_id, &read, times, lag);
        }
        Ok(Some(read))
    }

    fn ended(&self) -> MutexGuard<'_, EndedJobs> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody else uses the account, as far as is known.
    pub(in crate::engine) async fn account_is_exclusive(&self) -> Result<bool> {
        Ok(self.is_exclusive(&self.store.known().await?))
    }
}

/// Whether the vendor made the job long after the end of its call.
fn came_late(job: &Candidate, around: &Around) -> bool {
    let (call, clocks) = (around.call.span, &around.clocks);
    clocks::late_by(job.created_at, call, &around.accepted, clocks).is_some_and(|by| by > MINUTE)
}

fn for_a_video(call: &Call) -> bool {
    matches!(&call.effect, Effect::Job(expected) if expected.media == Media::Videos)
}

/// What was seen, for whoever has to judge it later.
fn evidence(
    jobs: &[Unclaimed],
    heard: &Heard,
    wide: bool,
    around: &Around,
    looking: Millis,
) -> Value {
    let shown = jobs.iter().map(|job| {
        let candidate = job.candidate();
        json!({
            "remote_id": job.remote_id, "created_at": job.created_at, "status": job.status,
            "credits": job.credits, "record": candidate.record,
            "fit": match fit::fit(&around.call, &candidate, &around.ground()) {
                Fit::Fits => "could be it".to_owned(),
                Fit::Odd(what) => format!("could be it, but {what}"),
                Fit::Conflict(what) => format!("cannot be it: {what}"),
            },
        })
    });
    json!({
        "candidates": shown.collect::<Vec<Value>>(), "exclusive": around.exclusive,
        "wide": wide, "witnesses": {
            "before": heard.before, "since": heard.since, "missing": heard.missing,
        },
        "settle_ms": around.settle.millis, "settle_why": around.settle.why.to_string(),
        "looking_ms": looking,
    })
}

pub(super) fn read(record: &RemoteJob) -> Record {
    let failed = match &record.status {
        JobStatus::Failed => true,
        JobStatus::Other(word) => ENDS.iter().any(|end| word.starts_with(end)),
        _ => false,
    };
    let ended = failed || record.status == JobStatus::Success;
    let media = match (record.images.is_empty(), record.videos.is_empty()) {
        (_, false) => Some(Media::Videos),
        // A video on its way may have a still already.
        (false, true) if ended => Some(Media::Images),
        _ => None,
    };
    Record {
        model: record.model_id.as_ref().map(|model| model.0.clone()),
        media,
        outputs: u32::try_from(record.images.len().max(record.videos.len())).unwrap_or(u32::MAX),
        ended,
        failed,
    }
}
