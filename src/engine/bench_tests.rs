//! A workbench for tests of the engine: a real database, a vendor on loopback that does what it is
//! told, and a clock that moves only when told to.

use super::Engine;
use crate::clock::{Clock, ManualClock, new_id};
use crate::config::{Config, Env, Flags};
use crate::domain::event::Event;
use crate::domain::ids::{Id, Millis};
use crate::domain::request::{Gender, Identity, ImageRequest, JobRequest, ModelRef, VideoRequest};
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, State, Work};
use crate::store::Store;
use crate::store::intents::{NewIntent, StartSend};
use crate::store::settings::Boot;
use crate::store::submit::{NewJob, NewModel, NewTraining, Submission};
use crate::vendor::{Client, ClientConfig, MediaClient, MediaConfig};
use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub(super) const NOW: Millis = 1_800_000_000_000;

/// A clock that moves only when told to; with a step, its wall time also moves whenever it is asked.
pub(super) struct Turned {
    hands: ManualClock,
    step: Mutex<Millis>,
}

impl Turned {
    pub(super) fn advance(&self, by: Millis) {
        let _one_at_a_time = self.step.lock().unwrap();
        self.hands.advance(Duration::from_millis(u64::try_from(by).unwrap()));
    }

    /// From now on the wall time is this much later whenever somebody asks for it.
    pub(super) fn step_by(&self, step: Millis) {
        *self.step.lock().unwrap() = step;
    }
}

impl Clock for Turned {
    fn now(&self) -> Millis {
        let step = self.step.lock().unwrap();
        self.hands.set(self.hands.now() + *step);
        self.hands.now()
    }

    fn monotonic(&self) -> Duration {
        self.hands.monotonic()
    }

    fn uptime(&self) -> Duration {
        self.hands.uptime()
    }
}

/// What the vendor does with a paid call. Without an order it takes it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// Takes it; the reply is lost.
    LoseReply,
    /// Never hears of it.
    LoseRequest,
}

/// A job at the vendor.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) id: String,
    /// By the vendor's clock.
    pub(super) created_at: Millis,
    /// `images` or `videos`.
    pub(super) media: &'static str,
    /// Whether the list shows it.
    pub(super) listed: bool,
}

type Hook = (String, Box<dyn FnOnce(&mut Vendor, &Turned) + Send>);

/// The vendor, as far as the engine sees it. Its replies carry no usable `Date`.
#[derive(Default)]
pub(super) struct Vendor {
    /// What becomes of the next paid calls.
    pub(super) deeds: VecDeque<Deed>,
    pub(super) jobs: Vec<Made>,
    /// What its clock says less what ours says (ms).
    pub(super) ahead: Millis,
    /// The status of its only model.
    pub(super) model: &'static str,
    /// What a training's trigger makes of that status; the trigger itself is answered with 409.
    pub(super) conflict_leaves: &'static str,
    /// The status of its jobs; empty: success.
    pub(super) word: &'static str,
    /// Whether its jobs show no media.
    pub(super) bare: bool,
    /// Whether the list fails.
    pub(super) list_fails: bool,
    /// So many requests, whatever they are, get a 401.
    pub(super) refuses: u32,
    /// Every request, as method and path.
    pub(super) asked: Vec<String>,
    /// From when on the list was asked for, each time.
    pub(super) starts: Vec<Millis>,
    /// Before it answers a request to a path with this ending, once.
    pub(super) hook: Option<Hook>,
    /// What it does instead of answering, asked with every request: method, path and our time.
    pub(super) mood: Option<Mood>,
    /// When the training began whose status its model shows from then on.
    pub(super) trains: Option<Millis>,
    /// Where its media are.
    media: String,
}

/// The answer that comes instead, or the next paid call's fate.
pub(super) type Mood =
    Box<dyn FnMut(&mut Vendor, &str, &str, Millis) -> Option<(u16, Value)> + Send>;

impl Vendor {
    /// Has a job that the list shows.
    pub(super) fn make(&mut self, id: &str, created_at: Millis, media: &'static str) {
        self.jobs.push(Made { id: id.to_owned(), created_at, media, listed: true });
    }

    pub(super) fn job(&mut self, id: &str) -> &mut Made {
        self.jobs.iter_mut().find(|job| job.id == id).unwrap()
    }

    /// How many calls that cost something have reached it.
    pub(super) fn paid_calls(&self) -> usize {
        let paid = |asked: &&String| asked.starts_with("POST") || asked.ends_with("/train");
        self.asked.iter().filter(paid).count()
    }

    fn buy(&mut self, media: &'static str, now: Millis) -> (u16, Value) {
        let id = format!("job_{}", self.jobs.len() + 1);
        let deed = self.deeds.pop_front();
        if !matches!(deed, Some(Deed::LoseRequest)) {
            self.make(&id, now + self.ahead, media);
        }
        match deed {
            None => ok(json!({ "jobId": id, "status": "queued" })),
            Some(_) => (500, json!({ "status": "NOK" })),
        }
    }

    fn list(&mut self, query: &str) -> (u16, Value) {
        if self.list_fails {
            return (500, json!({ "status": "NOK" }));
        }
        let asked: Map<String, Value> = url::form_urlencoded::parse(query.as_bytes())
            .map(|(name, text)| {
                let time = chrono::DateTime::parse_from_rfc3339(&text).unwrap();
                (name.into_owned(), json!(time.timestamp_millis()))
            })
            .collect();
        let time = |name: &str| asked.get(name).and_then(Value::as_i64);
        let (start, end) = (time("start").unwrap(), time("end").unwrap_or(Millis::MAX));
        self.starts.push(start);
        let inside = |job: &&Made| job.listed && (start..=end).contains(&job.created_at);
        let entry = |job: &Made| {
            json!({
                "jobId": job.id, "status": "success", "credits": 4, "createdAt": job.created_at,
            })
        };
        ok(json!({ "jobs": self.jobs.iter().filter(inside).map(entry).collect::<Vec<_>>() }))
    }

    fn record(&mut self, id: &str) -> (u16, Value) {
        match self.jobs.iter().find(|job| job.id == id) {
            Some(job) => {
                let url = match self.media.as_str() {
                    "" => "http://127.0.0.1:1/x".to_owned(),
                    media => format!("{media}/media/{id}.png"),
                };
                let medium = json!([{ "id": format!("of_{id}"), "url": url }]);
                let medium = if self.bare { json!([]) } else { medium };
                let word = if self.word.is_empty() { "success" } else { self.word };
                ok(json!({ "jobId": id, "status": word, job.media: medium }))
            }
            None => (404, json!({ "status": "NOK" })),
        }
    }

    fn answer(&mut self, method: &str, path: &str, query: &str, now: Millis) -> (u16, Value) {
        if self.refuses > 0 {
            self.refuses -= 1;
            return (401, json!({ "status": "NOK", "message": "invalid key" }));
        }
        if let Some(mut mood) = self.mood.take() {
            let instead = mood(self, method, path, now);
            self.mood = Some(mood);
            if let Some(instead) = instead {
                return instead;
            }
        }
        let words: Vec<&str> = path.trim_start_matches("/api/").split('/').collect();
        match (method, words.as_slice()) {
            ("POST", [kind @ ("images" | "videos"), "generation"]) => {
                self.buy(if *kind == "images" { "images" } else { "videos" }, now)
            }
            ("GET", ["ping"]) => ok(json!({})),
            ("GET", ["jobs"]) => self.list(query),
            ("GET", ["jobs", id]) => self.record(id),
            ("GET", ["models", id]) => {
                let trained = self.trains.filter(|_| !self.media.is_empty());
                let status = match trained {
                    Some(at) if now - at >= 25 * 60_000 => "ready",
                    Some(_) => "training",
                    None => self.model,
                };
                ok(json!({ "id": id, "status": status }))
            }
            ("GET", ["models", _, "images"]) => ok(json!({ "images": [] })),
            ("GET", ["models", _, "train"]) if self.conflict_leaves.is_empty() => {
                let deed = self.deeds.pop_front();
                if !matches!(deed, Some(Deed::LoseRequest)) {
                    self.trains = self.trains.or(Some(now));
                }
                match deed {
                    None => ok(json!({})),
                    Some(_) => (500, json!({ "status": "NOK" })),
                }
            }
            ("GET", ["models", _, "train"]) => {
                self.model = self.conflict_leaves;
                (409, json!({ "status": "NOK", "message": "a conflict" }))
            }
            other => panic!("nobody has told the vendor what to do with {other:?}"),
        }
    }
}

fn ok(result: Value) -> (u16, Value) {
    (200, json!({ "status": "OK", "result": result }))
}

type Desk = (Arc<Mutex<Vendor>>, Arc<Turned>);

async fn serve(Shared((vendor, clock)): Shared<Desk>, request: Request) -> Response {
    let (method, path) = (request.method().as_str(), request.uri().path());
    let mut vendor = vendor.lock().unwrap();
    vendor.asked.push(format!("{method} {path}"));
    if path.contains("/media/") {
        return Response::builder()
            .header("content-type", "image/png")
            .body(a_png().into())
            .unwrap();
    }
    if vendor.hook.as_ref().is_some_and(|(ending, _)| path.ends_with(ending)) {
        let (_, hook) = vendor.hook.take().unwrap();
        hook(&mut vendor, &clock);
    }
    let query = request.uri().query().unwrap_or_default();
    let (status, body) = vendor.answer(method, path, query, clock.now());
    Response::builder().status(status).header("date", "-").body(body.to_string().into()).unwrap()
}

/// A picture as the vendor makes them.
fn a_png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let drawn = crate::files::samples::draw(1, 8, 8);
    drawn.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub(super) struct Bench {
    pub(super) engine: Arc<Engine>,
    pub(super) clock: Arc<Turned>,
    vendor: Arc<Mutex<Vendor>>,
    url: url::Url,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Turned { hands: ManualClock::new(NOW), step: Mutex::new(0) });
        let vendor = Arc::new(Mutex::new(Vendor { model: "new", ..Vendor::default() }));
        let app = Router::new().fallback(serve).with_state((vendor.clone(), clock.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: url::Url =
            format!("http://{}/api", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let text = "[limits]\nrequests_per_second = 1000\n[disk]\nfloor = \"1MB\"\n";
        let config =
            Config::from_text(Path::new("d.toml"), text, &Flags::default(), &Env::default())
                .unwrap();
        let timing = super::timing(&config);
        let store = Store::open(folder.path(), clock.clone(), timing).await.unwrap();
        let boot = store.writer().write(Boot { version: "test", settings: vec![] }).await.unwrap();
        let key = secrecy::SecretString::from("a-key");
        let client = Client::new(&ClientConfig::new(url.clone(), key)).unwrap();
        let media = MediaClient::new(&MediaConfig::new(url.clone())).unwrap();
        let engine = Arc::new(Engine::new(store, client, media, config, boot, clock.clone()));
        Self { engine, clock, vendor, url, _folder: folder }
    }

    /// From now on its media are there to be fetched, and a training takes 25 minutes.
    pub(super) fn delivers(&self, mood: Option<Mood>) {
        let mut vendor = self.vendor();
        (vendor.media, vendor.mood) = (self.url.to_string(), mood);
    }

    pub(super) fn vendor(&self) -> MutexGuard<'_, Vendor> {
        self.vendor.lock().unwrap()
    }

    /// Before the vendor answers a request to a path with this ending, once.
    pub(super) fn when_asked(
        &self,
        ending: &str,
        hook: impl FnOnce(&mut Vendor, &Turned) + Send + 'static,
    ) {
        self.vendor().hook = Some((ending.to_owned(), Box::new(hook)));
    }

    async fn order(&self, request: JobRequest) -> Id {
        let id = new_id();
        let mut submission = Submission::new(("job", id), "test");
        submission.jobs.push(NewJob { id, request, step: None });
        self.engine.store.writer().write(submission).await.unwrap();
        id
    }

    /// An order for a picture. No two orders are the same.
    pub(super) async fn picture(&self) -> Id {
        self.order(JobRequest::Image(ImageRequest {
            model: ModelRef::Public("nanobanana".to_owned()),
            prompt: Some(new_id().to_string()),
            num_images: None,
            width: None,
            height: None,
            seed: None,
            preset: None,
            aspect_ratio: None,
            input_image: None,
            references: Vec::new(),
            extra: Map::new(),
        }))
        .await
    }

    /// An order for a video.
    pub(super) async fn video(&self) -> Id {
        self.order(JobRequest::Video(VideoRequest {
            model: "kling".to_owned(),
            prompt: new_id().to_string(),
            num_videos: None,
            first_frame: None,
            last_frame: None,
            references: Vec::new(),
            reference_videos: Vec::new(),
            extra: Map::new(),
        }))
        .await
    }

    pub(super) async fn row(&self, kind: Kind, id: Id) -> Work {
        self.engine.store.load(kind, id).await.unwrap().work
    }

    pub(super) async fn state(&self, id: Id) -> &'static str {
        self.row(Kind::Job, id).await.state.as_str()
    }

    pub(super) async fn note(&self, id: Id) -> String {
        self.row(Kind::Job, id).await.note.unwrap_or_default()
    }

    /// Waits until the row is due, and carries it one step further.
    pub(super) async fn step(&self, kind: Kind, id: Id) {
        let due = self.row(kind, id).await.state.due().unwrap();
        self.clock.advance((due - self.engine.now()).max(0));
        self.engine.perform(kind, id, true).await.unwrap();
    }

    /// An order that went well: the vendor has it, and a list has shown it.
    pub(super) async fn bought(&self) -> String {
        let id = self.picture().await;
        self.step(Kind::Job, id).await;
        assert_eq!(self.state(id).await, "running");
        self.engine.sweep().await;
        self.row(Kind::Job, id).await.remote_id.unwrap()
    }

    /// An order whose call was lost in this way.
    pub(super) async fn lost(&self, deed: Deed) -> Id {
        let id = self.picture().await;
        self.lose(id, deed).await;
        id
    }

    pub(super) async fn lose(&self, id: Id, deed: Deed) {
        self.vendor().deeds.push_back(deed);
        self.step(Kind::Job, id).await;
        assert_eq!(self.state(id).await, "in_doubt");
    }

    /// A queued training of a model that the vendor has under the id `m`.
    pub(super) async fn training(&self) -> Id {
        let (model, training) = (new_id(), new_id());
        let mut order = Submission::new(("training", training), "test");
        let (name, age, gender) = ("Ann".to_owned(), 30, Gender::Female);
        let identity =
            Identity { name: name.clone(), age, gender, ethnicity: None, eye_color: None };
        order.models.push(NewModel { id: model, name, identity: Some(identity), import: None });
        order.training = Some(NewTraining { id: training, model });
        let writer = self.engine.store.writer();
        writer.write(order).await.unwrap();
        let intent = NewIntent {
            lane: "models".to_owned(),
            boot: 1,
            opened_uptime: 0,
            request_hash: "h".to_owned(),
            request: serde_json::json!({}),
            vendor_time: NOW,
            listed_from: None,
            expects: serde_json::json!({}),
            looked_seq: None,
        };
        let (kind, id, timing) = (Kind::Model, model, Timing::default());
        writer.write(StartSend { kind, id, intent, timing }).await.unwrap();
        self.engine.apply(kind, id, Event::Accepted { remote_id: "m".to_owned() }).await.unwrap();
        training
    }

    /// Looks for a call in doubt as often as it is due within the next `time`, unless that settles it.
    pub(super) async fn look_for(&self, id: Id, time: Millis) {
        let until = self.engine.now() + time;
        while let State::InDoubt { due, .. } = self.row(Kind::Job, id).await.state {
            if due > until {
                break;
            }
            self.step(Kind::Job, id).await;
        }
    }
}
