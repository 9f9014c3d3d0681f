//! New work is stored, and whoever ordered it gets a receipt.

use super::answer::Answer;
use super::asked::once;
use super::control::reply;
use super::lists::href;
use crate::domain::ids::Id;
use crate::http::App;
use crate::http::guard::queue::admit;
use crate::store::idempotency::{RequestKey, StoredReply};
use crate::store::report::{Noun, Receipt, Receipted, Time};
use crate::store::submit::Submission;
use crate::store::writer::Write;
use serde::Serialize;
use utoipa::ToSchema;

/// Work that is stored; from here on it survives everything.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Its id.
    id: Id,
    /// What it is.
    kind: Noun,
    /// Where it stands.
    state: String,
    /// When it was stored.
    created_at: Time,
    /// Where to look at it; also in the header `Location`.
    href: String,
}

fn accepted(receipt: &Receipt) -> StoredReply {
    let body = Accepted {
        id: receipt.id,
        kind: receipt.kind,
        state: receipt.state.clone(),
        created_at: receipt.created_at,
        href: href(receipt.kind, receipt.id),
    };
    reply(202, &body)
}

/// How many rows a submission adds.
fn rows(new: &Submission) -> u32 {
    let training = usize::from(new.training.is_some());
    let all = new.models.len() + new.uploads.len() + training + new.jobs.len() + new.changes.len();
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// Stores new work, if there is room for it, and answers the receipt.
pub(super) async fn order(app: &App, key: Option<RequestKey>, new: Submission) -> Answer {
    let adding = rows(&new);
    order_as(app, key, adding, Receipted(new)).await
}

/// The same for a write that looks before it stores.
pub(super) async fn order_as<W>(app: &App, key: Option<RequestKey>, adding: u32, write: W) -> Answer
where
    W: Write<Output = Receipt> + Sync,
{
    admit(app, adding).await?;
    once(app, key, write, accepted).await
}
