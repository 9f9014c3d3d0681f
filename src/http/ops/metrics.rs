//! `/metrics`: what the database says when asked, then what this process has noted.

use super::page::Page;
use super::recorder;
use crate::clock::millis;
use crate::domain::ids::Millis;
use crate::domain::work::{Kind, State};
use crate::http::extract;
use crate::http::refusal::Refusal;
use crate::http::{App, Shared};
use crate::store::StoreError;
use crate::store::report::Gauges;
use axum::extract::{OriginalUri, State as Taken};
use axum::http::{Extensions, HeaderName, header};
use axum::response::{IntoResponse, Response};

const TEXT: [(HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

/// The page.
pub(super) async fn metrics(Taken(app): Taken<Shared>, OriginalUri(uri): OriginalUri) -> Response {
    match page(&app).await {
        Ok(text) => (TEXT, text).into_response(),
        Err(error) => Refusal::from(error).answer(extract::area(&uri, &Extensions::new())),
    }
}

async fn page(app: &App) -> Result<String, StoreError> {
    let gauges = app.store.gauges().await?;
    let pauses = app.store.pauses().await?;
    let quarantine = app.store.quarantine().await?;
    let mut page = Page::default();
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    page.gauge("darkroom_build_info", "Which darkroom this is.", [(version, 1.0)]);
    of_rows(&mut page, &gauges);
    of_time(&mut page, app, &gauges);
    of_money(&mut page, &gauges);
    let paused = [("spending", pauses.spending.is_some()), ("watching", pauses.watching.is_some())];
    page.gauge(
        "darkroom_paused",
        "1 while this is paused.",
        paused.map(|(switch, on)| (vec![("switch", switch)], flag(on))),
    );
    let help = "1 while the database is in quarantine.";
    page.number("darkroom_quarantine", help, flag(quarantine.is_some()));
    let open = app.engine.health().state != "ok";
    let help = "1 while the vendor does not answer, so that nothing is sent.";
    page.number("darkroom_vendor_breaker_open", help, flag(open));
    Ok(page.followed_by(&recorder::render()))
}

fn of_rows(page: &mut Page, gauges: &Gauges) {
    // Every state is there from the start, so that an alert on one finds something.
    let rows = Kind::ALL.into_iter().flat_map(|kind| {
        State::WORDS.into_iter().map(move |state| {
            let found = gauges.rows.iter().find(|(of, is, _)| *of == kind && is == state);
            let labels = vec![("kind", kind.as_str()), ("state", state)];
            (labels, found.map_or(0.0, |(_, _, count)| float(*count)))
        })
    });
    page.gauge("darkroom_rows", "Rows of each kind in each state.", rows);
    let due = gauges.due.iter().map(|(kind, count)| (vec![("kind", kind.as_str())], float(*count)));
    page.gauge("darkroom_queue_depth", "Rows that are ready to be sent.", due);
    let attention = gauges.rows.iter().filter(|(_, state, _)| state == "attention");
    let attention: i64 = attention.map(|(_, _, count)| count).sum();
    let help = "Rows that wait for a person.";
    page.number("darkroom_attention_rows", help, float(attention));
    let help = "Everything that waits for a person, also what is in doubt or only at the vendor.";
    page.number("darkroom_attention", help, float(gauges.attention));
}

fn of_time(page: &mut Page, app: &App, gauges: &Gauges) {
    let age = |since: Option<Millis>| {
        since.map_or(0.0, |since| seconds(app.store.now().saturating_sub(since).max(0)))
    };
    page.number(
        "darkroom_oldest_in_doubt_seconds",
        "Age of the oldest call whose outcome is unknown; 0 when there is none.",
        age(gauges.oldest_in_doubt),
    );
    page.number(
        "darkroom_oldest_unpolled_seconds",
        "How long the most overdue look at running work is overdue; 0 when none is.",
        age(app.engine.oldest_look_due()),
    );
    page.number(
        "darkroom_engine_idle_seconds",
        "Time since the engine last looked for work.",
        seconds(millis(app.engine.since_last_round())),
    );
}

fn of_money(page: &mut Page, gauges: &Gauges) {
    let of = |value: fn(&crate::store::report::Spent) -> f64| {
        let found: Vec<(&str, f64)> =
            gauges.credits.iter().map(|spent| (spent.state.as_str(), value(spent))).collect();
        ["reserved", "settled", "held", "released"].map(move |state| {
            let found = found.iter().find(|(is, _)| *is == state);
            (vec![("state", state)], found.map_or(0.0, |(_, value)| *value))
        })
    };
    page.gauge(
        "darkroom_paid_calls",
        "Paid calls by what they came to: reserved (out or unknown), settled (bought), held (for a \
         person), released (not bought).",
        of(|spent| float(spent.calls)),
    );
    page.gauge(
        "darkroom_credits",
        "Credits of paid calls, as far as the vendor's list has said.",
        of(|spent| spent.credits),
    );
}

fn flag(on: bool) -> f64 {
    if on { 1.0 } else { 0.0 }
}

fn seconds(millis: Millis) -> f64 {
    float(millis) / 1000.0
}

/// Counts are far below 2^53.
#[allow(clippy::cast_precision_loss, reason = "nobody counts that far")]
fn float(count: i64) -> f64 {
    count as f64
}
