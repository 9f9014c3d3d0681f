//! Whatever a vendor does for a day: every row ends, or a person is asked about it or about what holds
//! it up. Seeded worlds, each with a few moods that begin and end when they like.

use super::bench_tests::{Bench, Deed, Mood, NOW, Vendor};
use crate::domain::ids::{Id, Millis, RemoteJobId, RemoteModelId};
use crate::domain::work::{Kind, Work};
use crate::store::report::Duty;
use crate::store::waking::{Room, WATCHED};
use judging::{DAY, HOUR, MINUTE};
use serde_json::{Value, json};

/// What a world may last: what begins late in the first day has a day of its own.
const HORIZON: Millis = DAY + 2 * HOUR;
/// How often the test looks at what runs: a real daemon does it more often.
const LOOK: Millis = 5 * MINUTE;
const SWEEP: Millis = 10 * MINUTE;

/// xorshift64*: the worlds are the same for ever.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn of<T: Copy>(&mut self, among: &[T]) -> T {
        among[usize::try_from(self.roll(among.len() as u64)).unwrap()]
    }
}

/// What a vendor does to requests of a sort.
#[derive(Clone, Copy, Debug)]
enum Does {
    Answers(u16),
    Babbles,
    LosesReplies,
    LosesRequests,
    Says(&'static str),
    SaysBare(&'static str),
    Nothing,
}

/// A vendor's whim.
#[derive(Clone, Copy, Debug)]
struct Whim {
    /// Ending of the path: all of them with an empty one.
    on: &'static str,
    does: Does,
    from: Millis,
    until: Millis,
    /// In how many of a hundred requests.
    percent: u64,
}

impl Whim {
    fn draw(dice: &mut Dice) -> Self {
        let on = dice.of(&["jobs", "generation", "train", "models/m", "job", "images", "ping", ""]);
        let paid = on == "generation" || on == "train";
        let word = dice.of(&["running", "simmering", "canceled", "failed", "success", "", "new"]);
        let does = match dice.roll(6) {
            0 => Does::Answers(dice.of(&[500, 429, 404, 401, 400, 402, 503])),
            1 => Does::Babbles,
            2 if paid => Does::LosesReplies,
            3 if paid => Does::LosesRequests,
            2 | 3 => Does::Says(word),
            4 => Does::SaysBare(word),
            _ => Does::Nothing,
        };
        let from = dice.of(&[0, 0, MINUTE, HOUR]);
        let until = from + dice.of(&[5 * MINUTE, 2 * HOUR, 2 * DAY, 2 * DAY]);
        Self { on, does, from, until, percent: dice.of(&[20, 60, 100, 100]) }
    }

    fn strikes(&self, path: &str, at: Millis) -> bool {
        let inside = (self.from..self.until).contains(&at);
        let on = match self.on {
            "job" => path.contains("/jobs/"),
            ending => path.ends_with(ending),
        };
        inside && on
    }
}

/// A vendor with these whims.
fn moody(whims: Vec<Whim>, mut dice: Dice) -> Mood {
    Box::new(move |vendor: &mut Vendor, method: &str, path: &str, now: Millis| {
        let (mut instead, paid) = (None, method == "POST" || path.ends_with("/train"));
        (vendor.word, vendor.bare) = ("", false);
        for whim in whims.iter().filter(|whim| whim.strikes(path, now - NOW)) {
            if dice.roll(100) >= whim.percent {
                continue;
            }
            match whim.does {
                Does::Answers(status) => {
                    instead = Some((status, json!({ "status": "NOK", "message": "a whim" })));
                }
                Does::Babbles => instead = Some((200, Value::String("<html>".to_owned()))),
                Does::LosesReplies if paid => vendor.deeds.push_back(Deed::LoseReply),
                Does::LosesRequests if paid => vendor.deeds.push_back(Deed::LoseRequest),
                Does::Says(word) if path.contains("/models/") && !paid => {
                    let record = json!({ "id": "m", "status": word });
                    instead = Some((200, json!({ "status": "OK", "result": record })));
                }
                Does::SaysBare(word) => (vendor.word, vendor.bare) = (word, true),
                Does::Says(word) => vendor.word = word,
                Does::LosesReplies | Does::LosesRequests | Does::Nothing => {}
            }
        }
        if instead.is_some() {
            vendor.deeds.clear();
        }
        instead
    })
}

impl Bench {
    /// Does what is due, like the loop, until then; looks and sweeps on the way.
    async fn live(&self, until: Millis) {
        let (mut look, mut sweep) = (self.engine.now(), self.engine.now());
        while self.engine.now() < until {
            let now = self.engine.now();
            let next = self.round().await;
            if now >= look {
                self.look_at_all().await;
                look = now + LOOK;
            }
            if now >= sweep {
                if self.engine.store.holds().await.unwrap().pauses.watching.is_none() {
                    self.engine.sweep().await;
                }
                if self.engine.key_is_due().await {
                    self.engine.probe_key().await;
                }
                sweep = now + SWEEP;
            }
            let next = next.unwrap_or(Millis::MAX).min(look).min(sweep);
            self.clock.advance((next - now).max(1_000));
        }
    }

    /// Everything that is due, once; answers when the next is.
    async fn round(&self) -> Option<Millis> {
        let store = &self.engine.store;
        let holds = store.holds().await.unwrap();
        let upto = |most, wanted: bool| if wanted { most } else { 0 };
        let looks = holds.pauses.watching.is_none();
        let sends = holds.pauses.spending.is_none() && holds.quarantine.is_none();
        let few = store.runs_fewer_than(Kind::Job, 20).await.unwrap();
        let room = Room {
            looks: upto(9, looks),
            downloads: upto(9, looks),
            trainings: upto(1, sends),
            jobs: upto(1, sends && few),
            ..Room::default()
        };
        let due = store.due(self.engine.now(), &room).await.unwrap();
        for (kind, id) in due.looks.into_iter().chain(due.sends.into_iter().take(1)) {
            // What fails is due again.
            let _ = self.engine.perform(kind, id, true).await;
        }
        due.next
    }

    /// One look of the timer at everything that runs.
    async fn look_at_all(&self) {
        let store = &self.engine.store;
        if store.holds().await.unwrap().pauses.watching.is_some() {
            return;
        }
        for kind in WATCHED {
            let (rows, _) = store.running_page(kind, None, 100).await.unwrap();
            for row in rows {
                let work = self.row(kind, row.row.1).await;
                if let Some(remote) = work.remote_id.clone() {
                    let _ = self.look_at_row(&work, remote).await;
                }
            }
        }
    }

    async fn look_at_row(&self, work: &Work, remote: String) -> super::Result<()> {
        let engine = &self.engine;
        match work.kind {
            Kind::Job => match engine.call(engine.client.get_job(&RemoteJobId(remote))).await {
                Ok(job) => engine.job_seen(work, &job.value, None).await,
                Err(failure) => engine.look_failed(work, &failure).await,
            },
            _ => match engine.call(engine.client.get_model(&RemoteModelId(remote))).await {
                Ok(model) => engine.training_seen(work, &model.value, None).await,
                Err(failure) => engine.look_failed(work, &failure).await,
            },
        }
    }

    /// What has neither ended nor is asked about, nor waits for what is.
    async fn stranded(&self, rows: &[(Kind, Id)]) -> Vec<String> {
        let duties = self.engine.store.attention().await.unwrap();
        let all_held_up = duties.iter().any(|duty| match duty {
            Duty::Other(duty) => duty.kind == "daemon" || duty.error_class == "unreadable",
            Duty::Row(_) => false,
        });
        let mut out = Vec::new();
        for (kind, id) in rows {
            let work = self.row(*kind, *id).await;
            let asked = duties.iter().any(|duty| duty.id() == id.to_string());
            // The view counts by the machine's clock, which this test does not turn.
            let unsent = work.state.as_str() == "queued" && work.failures > 0;
            let excused = match work.state.as_str() {
                "succeeded" | "failed" | "cancelled" | "attention" => true,
                "queued" | "in_doubt" | "running" => asked || unsent || all_held_up,
                "collecting" => asked,
                _ => false,
            };
            if !excused {
                out.push(format!("{kind} {id}: {:?} {:?}", work.state, work.note));
            }
        }
        out
    }
}

async fn world(seed: u64) {
    let mut dice = Dice::new(seed);
    let whims: Vec<Whim> = (0..=dice.roll(3)).map(|_| Whim::draw(&mut dice)).collect();
    let bench = Bench::new().await;
    let mut rows = vec![(Kind::Training, bench.training().await)];
    bench.delivers(Some(moody(whims.clone(), dice.clone())));
    for _ in 0..3 {
        rows.push((Kind::Job, bench.picture().await));
    }
    bench.live(NOW + HORIZON).await;
    let stranded = bench.stranded(&rows).await;
    assert!(stranded.is_empty(), "seed {seed}, {whims:#?}: {stranded:#?}");
    let proof = bench.engine.store.spend_proof().await.unwrap();
    assert!(proof.balances(), "seed {seed}: {proof:?}");
}

#[tokio::test]
async fn every_row_ends_or_is_asked_about_within_a_day() {
    for seed in 1..=2 {
        world(seed).await;
    }
}

#[tokio::test]
#[ignore = "a hundred days of a vendor's whims"]
async fn every_row_of_a_hundred_worlds_ends_or_is_asked_about_within_a_day() {
    for seed in 1..=100 {
        world(seed).await;
    }
}
