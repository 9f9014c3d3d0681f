//! A person's word about rows: cancel, retry. The refusals are those of the command line.

use super::answer::Answer;
use super::asked::{Asked, once, typed};
use super::lists::{href, subject};
use crate::domain::ids::Id;
use crate::domain::work::Work;
use crate::http::Shared;
use crate::http::extract::ApiPath;
use crate::http::guard::{Caller, Scope};
use crate::http::openapi::{Op, Routes};
use crate::http::refusal::Refusal;
use crate::service::control::{cancelling, retrying};
use crate::store::idempotency::StoredReply;
use crate::store::report::Noun;
use crate::store::retry::RetriedAll;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::HttpMethod;

/// Nothing more is to be said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CancelBody {}

/// How to try again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RetryBody {
    /// Buy again what was paid already, instead of fetching its result. Needs a token of scope
    /// admin.
    #[serde(default)]
    resubmit: bool,
}

/// Where a row stands after a decision.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Standing {
    /// Which row.
    id: Id,
    /// What it is.
    kind: Noun,
    /// Where it stands.
    state: String,
    /// Where to look at it.
    href: String,
}

/// What asking for the end of something came to.
#[derive(Debug, Serialize, ToSchema)]
struct Cancelled {
    /// Everything that it stood for. What the vendor works on goes on until it is settled.
    items: Vec<Standing>,
}

/// A row that is tried again by another one.
#[derive(Debug, Serialize, ToSchema)]
struct Replaced {
    /// What it is.
    kind: Noun,
    /// The row that had ended.
    old: Id,
    /// The row that tries it again.
    new: Id,
}

/// What trying again came to.
#[derive(Debug, Serialize, ToSchema)]
struct Retried {
    /// What stands for the row now.
    id: Id,
    /// What it is.
    kind: Noun,
    /// Rows that are tried again by new ones.
    retried: Vec<Replaced>,
    /// Rows that simply go on.
    resumed: Vec<Id>,
    /// Where to look at it.
    href: String,
}

pub(super) fn reply<T: Serialize>(status: u16, body: &T) -> StoredReply {
    StoredReply { status, body: serde_json::to_value(body).unwrap_or_default() }
}

pub(super) fn standing(work: &Work) -> Standing {
    let kind = Noun::Work(work.kind);
    let state = work.state.as_str().to_owned();
    Standing { id: work.id, kind, state, href: href(kind, work.id) }
}

async fn cancel(app: Shared, noun: Noun, text: String, asked: Asked, actor: String) -> Answer {
    let _: CancelBody = typed(&asked.body)?;
    let id = subject(&app, noun, &text).await?;
    let (write, _) = cancelling(&app.store, &[(noun, id)], &actor).await?;
    let said =
        |works: &Vec<Work>| reply(200, &Cancelled { items: works.iter().map(standing).collect() });
    once(&app, asked.key, write, said).await
}

async fn retry(app: Shared, noun: Noun, text: String, asked: Asked, caller: Caller) -> Answer {
    let body: RetryBody = typed(&asked.body)?;
    if body.resubmit && caller.scope < Scope::Admin {
        let message = "buying again what was paid already needs a token of scope admin; without \
                       `resubmit` only the result is fetched again";
        return Err(Refusal::new(StatusCode::FORBIDDEN, message).into());
    }
    let id = subject(&app, noun, &text).await?;
    let write = retrying(&app.store, noun, id, body.resubmit, &caller.actor).await?;
    crate::http::guard::queue::admit(&app, u32::try_from(write.rows.len()).unwrap_or(1)).await?;
    once(&app, asked.key, write, move |done| retried(noun, done)).await
}

fn retried(noun: Noun, done: &RetriedAll) -> StoredReply {
    let replaced =
        |(kind, old, new): &(_, Id, Id)| Replaced { kind: Noun::Work(*kind), old: *old, new: *new };
    let body = Retried {
        id: done.subject,
        kind: noun,
        retried: done.retried.iter().map(replaced).collect(),
        resumed: done.resumed.iter().map(|(_, id)| *id).collect(),
        href: href(noun, done.subject),
    };
    reply(202, &body)
}

fn cancel_op(noun: Noun) -> Op {
    Op::new(&format!("cancel_{noun}"), noun.plural(), "Ask for its end.")
        .explained(
            "What waits ends at once. What the vendor works on cannot be stopped: it is watched to \
             its end, and what it brings is kept. A run means everything in it, a model its \
             training and the photos on their way.",
        )
        .of_row(noun.as_str())
        .writes()
        .optional_body::<CancelBody>(json!({}))
        .answers::<Cancelled>(200, "Where everything concerned stands now.")
}

fn retry_op(noun: Noun) -> Op {
    Op::new(&format!("retry_{noun}"), noun.plural(), "Try again what failed or was cancelled.")
        .explained(
            "A row that ended stays as it is; a new one takes its place. Of a job that was paid \
             only the result is fetched again, unless `resubmit` says otherwise.",
        )
        .of_row(noun.as_str())
        .writes()
        .optional_body::<RetryBody>(json!({ "resubmit": false }))
        .answers::<Retried>(202, "What became of it.")
}

/// Cancel and retry, of every kind.
pub(super) fn ordering(into: Routes) -> Routes {
    let mut router = into;
    for noun in Noun::ALL {
        let one = format!("/v1/{}/{{id}}", noun.plural());
        let cancelling =
            move |State(app): State<Shared>,
                  ApiPath(id): ApiPath<String>,
                  caller: Caller,
                  asked: Asked| cancel(app, noun, id, asked, caller.actor);
        let retrying =
            move |State(app): State<Shared>,
                  ApiPath(id): ApiPath<String>,
                  caller: Caller,
                  asked: Asked| retry(app, noun, id, asked, caller);
        let cancel = cancel_op(noun);
        let retry = retry_op(noun);
        router = router
            .route(cancel.at(HttpMethod::Post, &format!("{one}/cancel"), post(cancelling)))
            .route(retry.at(HttpMethod::Post, &format!("{one}/retry"), post(retrying)));
    }
    router
}
