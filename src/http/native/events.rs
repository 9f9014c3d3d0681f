//! What happens, as pages and as a stream.
//!
//! The stream reads pages from the database, so that it holds one page in memory however far behind
//! its reader is, and misses nothing that another process commits. One task for all streams asks
//! the file whether it has changed; the numbers of events grow in the order of their commits, so
//! that "everything after N" is complete whenever it is asked.

use super::answer::{Answer, Problem};
use super::lists::{any_subject, events_page, events_schema, members};
use super::params::{MOST, Params};
use crate::domain::work::Kind;
use crate::http::openapi::{Op, Routes, number, text, word};
use crate::http::refusal::Refusal;
use crate::http::{App, Shared};
use crate::store::StoreError;
use crate::store::report::{EventRow, Noun, WantedEvents};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{Stream, StreamExt, stream};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use utoipa::openapi::HttpMethod;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// Streams at a time; each has a connection.
const PLACES: usize = 64;
/// Events that a stream reads at once.
const PAGE: u32 = 100;
/// A sign of life while nothing happens, so that nobody between takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it connects anew.
const RECONNECT: Duration = Duration::from_secs(2);
/// After an error of the database.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What all streams share.
pub(super) struct Hub {
    /// The newest event's number, as far as the watching task has seen.
    newest: watch::Sender<i64>,
    places: Arc<Semaphore>,
    watched: AtomicBool,
}

impl Hub {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            newest: watch::Sender::new(0),
            places: Arc::new(Semaphore::new(PLACES)),
            watched: AtomicBool::new(false),
        })
    }

    /// Begins to watch with the first stream; the task ends with the daemon.
    fn watch(self: &Arc<Self>, app: &Shared) {
        if self.watched.swap(true, Ordering::SeqCst) {
            return;
        }
        let (hub, app) = (self.clone(), app.clone());
        tokio::spawn(async move {
            let watching = async {
                loop {
                    let Err(error) = hub.follow(&app).await else { continue };
                    tracing::warn!("the database cannot be observed for streams: {error}");
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            };
            tokio::select! {
                () = app.stop.cancelled() => {}
                () = watching => {}
            }
        });
    }

    async fn follow(&self, app: &App) -> Result<(), StoreError> {
        let mut watcher = app.store.watcher().await?;
        loop {
            let newest = app.store.newest_event().await?;
            self.newest.send_if_modified(|known| std::mem::replace(known, newest) != newest);
            watcher.changed().await?;
        }
    }
}

/// Which events a reader wants.
#[derive(Clone)]
struct Choice {
    subject: Option<(Noun, crate::domain::ids::Id)>,
    kind: Option<Kind>,
}

impl Choice {
    async fn of(app: &App, params: &Params) -> Result<Self, Problem> {
        let subject = match params.one("subject")? {
            Some(text) => Some(any_subject(app, text).await?),
            None => None,
        };
        let kind = params.word("kind", &Kind::ALL.map(Kind::as_str))?;
        Ok(Self { subject, kind: kind.as_deref().and_then(Kind::parse) })
    }

    async fn wanted(&self, app: &App, after: i64, limit: u32) -> Result<WantedEvents, Problem> {
        let subjects = match self.subject {
            Some((noun, id)) => Some(members(app, noun, id).await?),
            None => None,
        };
        Ok(WantedEvents { subjects, kind: self.kind, after, limit })
    }
}

async fn events(hub: Arc<Hub>, app: Shared, headers: HeaderMap, params: Params) -> Answer {
    let choice = Choice::of(&app, &params).await?;
    let after = params.number("after", 0, i64::MAX)?;
    let limit = params.limit()?;
    if !wants_stream(&headers) {
        return events_page(&app, &choice.wanted(&app, after.unwrap_or(0), limit).await?).await;
    }
    let newest = app.store.newest_event().await?;
    let after = match last_seen(&headers)?.or(after) {
        Some(after) if after > newest => return Err(from_the_future(after, newest)),
        Some(after) => after,
        None => newest,
    };
    let place = hub.places.clone().try_acquire_owned().map_err(|_| {
        let message = format!("{PLACES} streams are open already; close one, or try again later");
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, message).retry_after(10)
    })?;
    hub.watch(&app);
    let reader = Reader {
        newest: hub.newest.subscribe(),
        stop: app.stop.clone(),
        app,
        choice,
        after,
        page: VecDeque::new(),
        _place: place,
    };
    Ok(answer(reader))
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let name = range.split(';').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("text/event-stream")
    })
}

/// What the reader has seen before its connection broke.
fn last_seen(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    // A browser that has seen no event yet sends it empty.
    if text.is_empty() && value.is_empty() {
        return Ok(None);
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<i64>() {
        Ok(seq) if digits => Ok(Some(seq)),
        _ => {
            let message = "Last-Event-ID is no number of an event; send the `id` of the last event \
                           that came, or leave it out to begin with what happens from now on";
            let mut refusal = Refusal::invalid(message);
            refusal.errors.push(("Last-Event-ID".to_owned(), "it is no number".to_owned()));
            Err(refusal.into())
        }
    }
}

fn from_the_future(after: i64, newest: i64) -> Problem {
    Refusal::invalid(format!(
        "event {after} has not happened yet, the newest is {newest}: the number comes from another \
         database; leave it out, or begin with after=0"
    ))
    .into()
}

/// One stream's place in the order of events.
struct Reader {
    app: Shared,
    newest: watch::Receiver<i64>,
    stop: tokio_util::sync::CancellationToken,
    choice: Choice,
    after: i64,
    page: VecDeque<EventRow>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// The next event; none when the stream is over.
    async fn next(&mut self) -> Option<EventRow> {
        loop {
            if let Some(event) = self.page.pop_front() {
                return Some(event);
            }
            // Marked as seen before the page is read: what is committed later wakes it again.
            let newest = *self.newest.borrow_and_update();
            match self.read().await {
                Ok(()) if !self.page.is_empty() => continue,
                Ok(()) => {
                    // Nothing up to here is wanted, so that it need not be searched again.
                    self.after = self.after.max(newest);
                    self.newest.changed().await.ok()?;
                }
                Err(problem) => {
                    tracing::warn!("a stream of events ends early: {}", problem.0.message);
                    return None;
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), Problem> {
        let wanted = self.choice.wanted(&self.app, self.after, PAGE).await?;
        let events = self.app.store.events_page(&wanted).await?;
        if let Some(last) = events.last() {
            self.after = last.seq;
        }
        self.page.extend(events);
        Ok(())
    }
}

fn answer(reader: Reader) -> Response {
    let first = stream::once(async { Ok(Event::default().retry(RECONNECT)) });
    let stop = reader.stop.clone().cancelled_owned();
    let events: std::pin::Pin<Box<dyn Stream<Item = _> + Send>> =
        Box::pin(stream::unfold(reader, |mut reader| async move {
            let event = reader.next().await?;
            Some((Ok::<Event, Infallible>(written(&event)), reader))
        }));
    let all = first.chain(events).take_until(Box::pin(stop));
    Sse::new(all).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("alive")).into_response()
}

fn written(event: &EventRow) -> Event {
    let name = format!("{}.{}", event.kind, event.cause);
    let data = serde_json::to_string(event).unwrap_or_default();
    Event::default().id(event.seq.to_string()).event(name).data(data)
}

fn op() -> Op {
    let stream = ObjectBuilder::new().schema_type(Type::String).description(Some(
        "Server-sent events: `id` is the event's number, `event` its kind and cause \
         (`job.accepted`), `data` the same JSON object as in a page.",
    ));
    let answer = ResponseBuilder::new()
        .description("A page, or with `Accept: text/event-stream` a stream.")
        .content("application/json", ContentBuilder::new().schema(Some(events_schema())).build())
        .content("text/event-stream", ContentBuilder::new().schema(Some(stream)).build())
        .build();
    Op::new("list_events", "events", "What happened, oldest first; or what happens, as a stream.")
        .explained(
            "With `Accept: text/event-stream` it answers server-sent events and goes on until it \
             is closed. It begins after `Last-Event-ID`, else after `after`, else with what \
             happens from now on, and misses nothing across reconnects and restarts.",
        )
        .query("after", "Only events after this number.", number(0, i64::MAX).build())
        .query("limit", "At most this many in a page.", number(1, i64::from(MOST)).build())
        .query(
            "subject",
            "Only those of this row; a run means everything in it.",
            text(200).build(),
        )
        .query("kind", "Only those of this kind of row.", word(Kind::ALL.map(Kind::as_str)).build())
        .header(
            "Last-Event-ID",
            "For streams: the number of the last event that came.",
            text(19).pattern(Some("^[0-9]+$")).build(),
        )
        .refuses(&[404, 409])
        .answer(200, answer)
}

/// The route.
pub(super) fn routes(into: Routes) -> Routes {
    let hub = Hub::new();
    let handler = move |State(app): State<Shared>, headers: HeaderMap, params: Params| {
        events(hub.clone(), app, headers, params)
    };
    into.route(op().at(HttpMethod::Get, "/v1/events", get(handler)))
}
