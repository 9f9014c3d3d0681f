//! A person's verdicts about rows, and about jobs at the vendor that no row claims. The refusals are
//! those of the command line.

use super::answer::{Answer, Problem};
use super::asked::{Asked, once, typed};
use super::control::{Standing, reply, standing};
use super::lists::subject;
use crate::http::Shared;
use crate::http::extract::ApiPath;
use crate::http::guard::Caller;
use crate::http::openapi::{Op, Routes};
use crate::http::refusal::Refusal;
use crate::service::control::{Said, Verdict, answering, resolving, ruling_out};
use crate::store::answers::{Answered, Whose};
use crate::store::idempotency::StoredReply;
use crate::store::report::Noun;
use axum::extract::State;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::HttpMethod;

/// The longest sentence for the record.
const MAX_WHY: usize = 500;
/// The longest id of the vendor's.
const MAX_REMOTE: usize = 200;

/// A decision: exactly one of `adopt`, `resubmit`, `abandon` and `not_this`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResolveBody {
    /// This thing at the vendor is it: its id there.
    #[schema(min_length = 1, max_length = 200)]
    adopt: Option<String>,
    /// It is not at the vendor: send it again. If that is wrong, it is bought twice; refused while
    /// the vendor shows what may be it.
    resubmit: Option<bool>,
    /// Give it up.
    abandon: Option<bool>,
    /// This job at the vendor (its id there) is not this row's, whosever it is.
    #[schema(min_length = 1, max_length = 200)]
    not_this: Option<String>,
    /// Why, for the record.
    #[schema(max_length = 500)]
    why: Option<String>,
    /// Only if the row is still at this version.
    #[schema(minimum = 1)]
    version: Option<i64>,
}

/// Whose a job at the vendor is: exactly one of `ours` and `not_ours`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    /// It is ours: taken over for the call that made it, or booked as bought twice if that call has
    /// its job already.
    ours: Option<bool>,
    /// It is somebody else's, so others use the account.
    not_ours: Option<bool>,
    /// Why, for the record.
    #[schema(max_length = 500)]
    why: Option<String>,
}

/// What an answer about a job at the vendor came to.
#[derive(Debug, Serialize, ToSchema)]
struct AnsweredInfo {
    /// The vendor's id of the job.
    remote_id: String,
    /// `adopted`, `bought_twice`, `not_ours` or `not_this`.
    became: &'static str,
    /// What it cost, as far as the vendor says.
    credits: Option<f64>,
    /// The row that it concerns, as it is now.
    row: Option<Standing>,
    /// Whether the answer is among that row's events; a row that has ended takes none, and then who
    /// answered stands with the job alone.
    in_events: bool,
}

fn answered(done: &Answered) -> StoredReply {
    let body = AnsweredInfo {
        remote_id: done.remote_id.clone(),
        became: done.became.as_str(),
        credits: done.credits,
        row: done.row.as_ref().map(standing),
        in_events: done.in_events,
    };
    reply(200, &body)
}

async fn resolve(app: Shared, noun: Noun, text: String, asked: Asked, actor: String) -> Answer {
    let body: ResolveBody = typed(&asked.body)?;
    let word = word(&body)?;
    check_why(body.why.as_deref())?;
    let id = subject(&app, noun, &text).await?;
    let said = Said { why: body.why.as_deref(), version: body.version, actor: &actor };
    match word {
        Word::NotThis(remote) => {
            let write = ruling_out(&app.store, noun, id, &remote, said)?;
            once(&app, asked.key, write, answered).await
        }
        Word::Verdict(verdict) => {
            let write = resolving(&app.store, noun, id, verdict, said).await?;
            once(&app, asked.key, write, |work| reply(200, &standing(work))).await
        }
    }
}

async fn answer(app: Shared, remote: String, asked: Asked, actor: String) -> Answer {
    let body: AnswerBody = typed(&asked.body)?;
    check_why(body.why.as_deref())?;
    let whose = match (body.ours.unwrap_or(false), body.not_ours.unwrap_or(false)) {
        (true, false) => Whose::Ours,
        (false, true) => Whose::NotOurs,
        _ => {
            let message = "the body must hold exactly one of `ours` (it is ours) and `not_ours` (it \
                           is somebody else's), as true";
            return Err(Refusal::invalid(message).into());
        }
    };
    let said = Said { why: body.why.as_deref(), version: None, actor: &actor };
    let write = answering(&app.store, &remote, whose, said)?;
    once(&app, asked.key, write, answered).await
}

fn check_why(why: Option<&str>) -> Result<(), Problem> {
    let bad = |why: &str| why.chars().count() > MAX_WHY || why.chars().any(char::is_control);
    if why.is_some_and(bad) {
        let message =
            format!("`why` in the body is no single line of at most {MAX_WHY} characters");
        return Err(Refusal::invalid(message).into());
    }
    Ok(())
}

/// What a person says about a row.
enum Word {
    Verdict(Verdict),
    NotThis(String),
}

fn word(body: &ResolveBody) -> Result<Word, Problem> {
    let remote = |field: &str, text: &str| match text.trim() {
        "" => Err(no_id(field)),
        _ if text.len() > MAX_REMOTE => Err(no_id(field)),
        text => Ok(text.to_owned()),
    };
    let resubmit = body.resubmit.unwrap_or(false);
    let abandon = body.abandon.unwrap_or(false);
    match (&body.adopt, resubmit, abandon, &body.not_this) {
        (Some(text), false, false, None) => {
            Ok(Word::Verdict(Verdict::Adopt(remote("adopt", text)?)))
        }
        (None, true, false, None) => Ok(Word::Verdict(Verdict::Resubmit)),
        (None, false, true, None) => Ok(Word::Verdict(Verdict::Abandon)),
        (None, false, false, Some(text)) => Ok(Word::NotThis(remote("not_this", text)?)),
        _ => {
            let message = "the body must hold exactly one of `adopt` (this is it), `resubmit` (it \
                           is not there, send it again), `abandon` (give it up) and `not_this` \
                           (this job is not its own)";
            Err(Refusal::invalid(message).into())
        }
    }
}

fn no_id(field: &str) -> Problem {
    let message =
        format!("`{field}` in the body is no id of the vendor's: copy it as the vendor shows it");
    Refusal::invalid(message).into()
}

fn resolve_op(noun: Noun) -> Op {
    Op::new(
        &format!("resolve_{noun}"),
        noun.plural(),
        "Decide about it when it waits for a person or is in doubt.",
    )
    .explained(
        "`adopt`, `resubmit` and `abandon` settle it and answer where it stands. `not_this` says \
         that a job at the vendor is not this row's, and answers as \
         `POST /v1/listed/{id}/resolve` does. With `version` it is refused if the row has moved \
         since.",
    )
    .of_row(noun.as_str())
    .writes()
    .body::<ResolveBody>(json!({ "abandon": true, "why": "not needed any more" }))
    .knows::<AnsweredInfo>()
    .answers_with(
        200,
        "Where it stands now.",
        utoipa::openapi::OneOfBuilder::new()
            .item(crate::http::openapi::named("Standing"))
            .item(crate::http::openapi::named("AnsweredInfo")),
    )
    .knows::<Standing>()
}

/// Resolve, of every kind, and answers about jobs that no row claims.
pub(super) fn deciding(into: Routes) -> Routes {
    let mut router = into;
    for noun in Noun::ALL {
        let path = format!("/v1/{}/{{id}}/resolve", noun.plural());
        let resolving =
            move |State(app): State<Shared>,
                  ApiPath(id): ApiPath<String>,
                  caller: Caller,
                  asked: Asked| resolve(app, noun, id, asked, caller.actor);
        router = router.route(resolve_op(noun).at(HttpMethod::Post, &path, post(resolving)));
    }
    let answering = move |State(app): State<Shared>,
                          ApiPath(id): ApiPath<String>,
                          caller: Caller,
                          asked: Asked| answer(app, id, asked, caller.actor);
    let op = Op::new(
        "resolve_listed",
        "daemon",
        "Say whose a job is that the vendor lists and no row claims.",
    )
    .explained(
        "The jobs are under `unclaimed` in `/v1/ledger`; those that wait for an answer, under \
         `/v1/attention`. A job that a row has is refused.",
    )
    .of_row("listed")
    .writes()
    .body::<AnswerBody>(json!({ "ours": true, "why": "same prompt" }))
    .answers::<AnsweredInfo>(200, "What it is now.");
    router.route(op.at(HttpMethod::Post, "/v1/listed/{id}/resolve", post(answering)))
}
