//! Lists, single rows, their events and what there is to say about them.

use super::answer::{Answer, Problem, json};
use super::params::{MOST, Params, USUAL, cursor_of};
use crate::domain::ids::Id;
use crate::domain::state::State as Lifecycle;
use crate::domain::work::Kind;
use crate::http::extract::ApiPath;
use crate::http::openapi::{Op, Routes, named, number, schema_name, text, time, word};
use crate::http::refusal::Refusal;
use crate::http::{App, Shared};
use crate::service::{clean, explain, shown};
use crate::store::report::WantedEvents;
use crate::store::report::{
    Detail, EventRow, Found, IntentRow, Item, Noun, OtherDuty, Page, Parent, Wanted,
};
use axum::extract::State;
use axum::routing::get;
use serde_json::json as object;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{HttpMethod, RefOr};

/// The types of a job.
const JOB_TYPES: [&str; 3] = ["image", "upscale", "video"];

/// The row that the text in a path means.
pub(super) async fn subject(app: &App, noun: Noun, text: &str) -> Result<Id, Problem> {
    match app.store.find_among(text, &[noun]).await? {
        Found::One(_, id) => Ok(id),
        Found::None => {
            let plural = noun.plural();
            let sentence =
                format!("there is no {noun} {}; GET /v1/{plural} lists what there is", shown(text));
            Err(Refusal::not_found(sentence).into())
        }
        Found::Many(candidates) => {
            let spelt: Vec<String> = candidates
                .iter()
                .take(5)
                .map(|hit| format!("{} ({})", hit.id, clean(&hit.label)))
                .collect();
            let sentence =
                format!("{} fits several: write one of {}", shown(text), spelt.join(", "));
            Err(Refusal::conflict(sentence).into())
        }
    }
}

fn page(page: Page) -> Answer {
    json(object!({ "items": page.items, "next_cursor": page.next.map(cursor_of) }))
}

async fn list(app: Shared, noun: Noun, params: Params) -> Answer {
    let model = match params.one("model")? {
        Some(text) => Some(subject(&app, Noun::Work(Kind::Model), text).await?),
        None => None,
    };
    let run = match params.one("run")? {
        Some(text) => Some(subject(&app, Noun::Run, text).await?),
        None => None,
    };
    let wanted = Wanted {
        states: params.words("state", &Lifecycle::WORDS)?,
        model,
        run,
        job_type: params.word("type", &JOB_TYPES)?,
        since: params.time("since")?,
        until: params.time("until")?,
        before: params.cursor()?,
        limit: params.limit()?,
    };
    page(app.store.page(noun, &wanted).await?)
}

async fn attention(State(app): State<Shared>, params: Params) -> Answer {
    let page = app.store.attention_page(params.limit()?, params.cursor()?).await?;
    json(object!({ "items": page.items, "next_cursor": page.next.map(cursor_of) }))
}

async fn show(app: Shared, noun: Noun, text: String) -> Answer {
    let id = subject(&app, noun, &text).await?;
    json(app.store.item(noun, id).await?)
}

async fn tell(app: Shared, noun: Noun, text: String) -> Answer {
    let id = subject(&app, noun, &text).await?;
    json(explain::tell(&app.store, noun, id, true).await?)
}

/// The rows whose events are meant: a run's are those of everything in it.
pub(super) async fn members(app: &App, noun: Noun, id: Id) -> Result<Vec<Id>, Problem> {
    Ok(match noun {
        Noun::Run => app.store.run_members(id).await?.into_iter().map(|(_, id)| id).collect(),
        Noun::Work(_) => vec![id],
    })
}

async fn events(app: Shared, noun: Noun, text: String, params: Params) -> Answer {
    let id = subject(&app, noun, &text).await?;
    let wanted = WantedEvents {
        subjects: Some(members(&app, noun, id).await?),
        kind: None,
        after: params.number("after", 0, i64::MAX)?.unwrap_or(0),
        limit: params.limit()?,
    };
    events_page(&app, &wanted).await
}

/// One page of events, oldest first.
pub(super) async fn events_page(app: &App, wanted: &WantedEvents) -> Answer {
    let events = app.store.events_page(wanted).await?;
    let full = events.len() >= usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let next = events.last().map(|event| event.seq).filter(|_| full);
    json(object!({ "items": events, "next_after": next }))
}

/// Whether a row of any kind is meant, and which.
pub(super) async fn any_subject(app: &App, text: &str) -> Result<(Noun, Id), Problem> {
    match app.store.find(text).await? {
        Found::One(noun, id) => Ok((noun, id)),
        Found::None => {
            let sentence = format!("there is no row {}", shown(text));
            Err(Refusal::not_found(sentence).into())
        }
        Found::Many(_) => {
            let sentence = format!("{} is the beginning of several ids", shown(text));
            Err(Refusal::conflict(sentence).into())
        }
    }
}

/// A list of these with the way to the next page.
pub(super) fn page_schema(items: RefOr<Schema>, next: (&str, Type)) -> Schema {
    let next_schema = ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::SchemaType::from_iter([next.1, Type::Null]))
        .description(Some("How to ask for the next page; null on the last one."));
    ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(items).max_items(Some(MOST as usize)))
        .property(next.0, next_schema)
        .required("items")
        .required(next.0)
        .into()
}

fn paged(op: Op) -> Op {
    let limit = number(1, i64::from(MOST)).default(Some(object!(USUAL))).build();
    let cursor = text(32).min_length(Some(32)).pattern(Some("^[0-9a-f]{32}$"));
    op.query("limit", "At most this many rows.", limit).query(
        "cursor",
        "`next_cursor` of the page before.",
        cursor.build(),
    )
}

fn list_op(noun: Noun) -> Op {
    let plural = noun.plural();
    let states = ArrayBuilder::new().items(word(Lifecycle::WORDS).build());
    let mut op = Op::new(
        &format!("list_{plural}"),
        plural,
        &format!("List {plural}, newest first; the rows of `darkroom ls {plural} --json`."),
    )
    .query("state", "Only these states; repeated or separated by commas.", states.build())
    .query("model", "Only what belongs to this model: id or name.", text(200).build())
    .query("since", "Only what was asked for at this time or later.", time().build())
    .query("until", "Only what was asked for before this time.", time().build())
    .refuses(&[404, 409]);
    if noun != Noun::Work(Kind::Change) {
        op = op.query("run", "Only what belongs to this run.", text(200).build());
    }
    if noun == Noun::Work(Kind::Job) {
        op = op.query("type", "Only jobs of this type.", word(JOB_TYPES).build());
    }
    let items = page_schema(named(&schema_name(noun)), ("next_cursor", Type::String));
    paged(op).knows::<Item>().knows::<Detail>().answers_with(200, "One page.", items)
}

fn events_op(noun: Noun) -> Op {
    Op::new(
        &format!("{noun}_events"),
        noun.plural(),
        &format!("What happened to a {noun}, oldest first."),
    )
    .of_row(noun.as_str())
    .query("after", "Only events after this number.", number(0, i64::MAX).build())
    .query("limit", "At most this many.", number(1, i64::from(MOST)).build())
    .knows::<EventRow>()
    .answers_with(200, "One page.", events_schema())
}

/// A page of events.
pub(super) fn events_schema() -> Schema {
    page_schema(named("EventRow"), ("next_after", Type::Integer))
}

fn story_schema(noun: Noun) -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let yes = || ObjectBuilder::new().schema_type(Type::Boolean);
    let list = |name: &str| ArrayBuilder::new().items(named(name));
    let intent = utoipa::openapi::OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .item(named("IntentRow"));
    let mut story = ObjectBuilder::new()
        .property("id", named("Id"))
        .property("kind", word([noun.as_str()]))
        .property("state", text())
        .property("item", named(&schema_name(noun)))
        .property("next", text().description(Some("What happens next, and who has to act.")))
        .property(
            "asked",
            ArrayBuilder::new()
                .items(text())
                .description(Some("What a person is asked about it, as in `/v1/attention`.")),
        )
        .property("paused", yes().description(Some("Whether a pause has to be lifted first.")))
        .property("waits_for", list("Parent"))
        .property("intent", intent)
        .property("events", list("EventRow"))
        .property("daemon_running", yes());
    let all = [
        "id",
        "kind",
        "state",
        "item",
        "next",
        "asked",
        "paused",
        "waits_for",
        "intent",
        "events",
        "daemon_running",
    ];
    for name in all {
        story = story.required(name);
    }
    story.into()
}

/// The routes.
pub(super) fn routes(into: Routes) -> Routes {
    let mut router = into;
    for noun in Noun::ALL {
        let plural = noun.plural();
        let many = format!("/v1/{plural}");
        let one = format!("{many}/{{id}}");
        let row = schema_name(noun);
        let shown = Op::new(&format!("get_{noun}"), plural, &format!("One {noun}."))
            .of_row(noun.as_str())
            .answers_with(200, "The row.", named(&row));
        let told = Op::new(
            &format!("explain_{noun}"),
            plural,
            "Where it stands and why, and what happens next, in plain English.",
        )
        .of_row(noun.as_str())
        .knows::<IntentRow>()
        .knows::<Parent>()
        .answers_with(200, "The story.", story_schema(noun));
        let listing = move |State(app): State<Shared>, params: Params| list(app, noun, params);
        let showing =
            move |State(app): State<Shared>, ApiPath(id): ApiPath<String>| show(app, noun, id);
        let telling =
            move |State(app): State<Shared>, ApiPath(id): ApiPath<String>| tell(app, noun, id);
        let happening =
            move |State(app): State<Shared>, ApiPath(id): ApiPath<String>, params: Params| {
                events(app, noun, id, params)
            };
        router = router
            .route(list_op(noun).at(HttpMethod::Get, &many, get(listing)))
            .route(shown.at(HttpMethod::Get, &one, get(showing)))
            .route(told.at(HttpMethod::Get, &format!("{one}/explain"), get(telling)))
            .route(events_op(noun).at(HttpMethod::Get, &format!("{one}/events"), get(happening)));
    }
    // A question about what the vendor lists has the fields of a row, and is none.
    let duty = OneOfBuilder::new().item(named("Item")).item(named("OtherDuty"));
    let waiting = paged(Op::new("attention", "daemon", "Everything that waits for a person."))
        .explained(
            "Rows in attention, calls in doubt about which a person is asked, rows that could not be \
             sent for a day; (`kind` is `listed`) jobs at the vendor that may have been bought twice, \
             that are others', or that the vendor's list lacks; and (`kind` is `daemon`) what holds \
             everything up: a quarantine, an undecided account, a pause that the daemon made, a \
             vendor that has been silent for hours.",
        )
        .knows::<OtherDuty>()
        .answers_with(
            200,
            "One page.",
            page_schema(RefOr::T(duty.into()), ("next_cursor", Type::String)),
        );
    router.route(waiting.at(HttpMethod::Get, "/v1/attention", get(attention)))
}

/// The address of a row.
pub(super) fn href(noun: Noun, id: Id) -> String {
    format!("/v1/{}/{id}", noun.plural())
}
