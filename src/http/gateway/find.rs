//! From ids in a request, ours or the vendor's, to rows.

use super::super::App;
use super::super::refusal::Refusal;
use super::ACTOR;
use super::answer::Nok;
use crate::domain::ids::{Id, RemoteImageId};
use crate::domain::request::MediaRef;
use crate::domain::work::Kind;
use crate::engine::ask::Known;
use crate::service::{models, shown};
use crate::store::lookup::FoundModel;
use crate::store::served::{ServedJob, ServedMedia, ServedModel};
use crate::store::submit::NewModel;
use axum::http::StatusCode;

/// The longest id that is looked for.
const MAX_ID_CHARS: usize = 200;

pub(super) fn no_such(what: &str, text: &str) -> Nok {
    Refusal::not_found(format!("{what} not found: {} is not known here", shown(text))).into()
}

/// A model of ours.
pub(super) async fn model(app: &App, text: &str) -> Result<(Id, ServedModel), Nok> {
    let missing = || no_such("Model", text);
    let id = app.store.served(Kind::Model, text).await?.ok_or_else(missing)?;
    let row = app.store.served_model(id).await?.ok_or_else(missing)?;
    Ok((id, row))
}

/// A model that work is ordered for.
pub(super) struct ModelFor {
    /// Its row.
    pub(super) id: Id,
    /// The row as checks need it; none for one that is taken over with this request.
    pub(super) found: Option<FoundModel>,
    /// The row itself, when it is taken over with this request.
    pub(super) import: Option<NewModel>,
}

/// A model of ours, or one that only the vendor knows, which is taken over with the work.
pub(super) async fn model_for(app: &App, text: &str) -> Result<ModelFor, Nok> {
    if let Some(id) = app.store.served(Kind::Model, text).await? {
        let found = app.store.models_like(&id.to_string()).await?;
        let found = found.into_iter().find(|model| model.id == id);
        if let Some(row) = app.store.served_model(id).await?
            && super::status::of_model(&row) == "deleted"
        {
            return Err(Refusal::not_found(format!("Model {} is deleted", shown(text))).into());
        }
        return Ok(ModelFor { id, found, import: None });
    }
    if text.trim().is_empty() || text.chars().count() > MAX_ID_CHARS {
        return Err(no_such("Model", text));
    }
    match app.engine.vendor_has_model(text).await {
        Known::Yes => {
            let mut submission = models::import(text, None, ACTOR)?;
            let import = submission.models.pop().ok_or_else(|| no_such("Model", text))?;
            Ok(ModelFor { id: import.id, found: None, import: Some(import) })
        }
        Known::No => Err(no_such("Model", text)),
        Known::Unanswered(why) => Err(unanswered("model", text, &why)),
    }
}

fn unanswered(what: &str, text: &str, why: &str) -> Nok {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!(
            "the {what} {} is not known here, and the vendor cannot be asked whether it has it: \
             {why}; try again later",
            shown(text)
        ),
    )
    .retry_after(30)
    .into()
}

/// A picture or video that is here or on its way.
pub(super) async fn media(
    app: &App,
    what: &str,
    media: &str,
    text: &str,
) -> Result<(Kind, Id, ServedMedia), Nok> {
    for kind in [Kind::Output, Kind::Upload] {
        if let Some(id) = app.store.served(kind, text).await?
            && let Some(row) = app.store.served_media(kind, id).await?
            && row.media == media
            && !row.deleted
        {
            return Ok((kind, id, row));
        }
    }
    Err(no_such(what, text))
}

/// A picture that work is ordered for.
pub(super) enum Picture {
    /// A row of ours.
    Ours(Kind, Id),
    /// One that only the vendor knows.
    Vendors(String),
}

impl Picture {
    /// The same inside a request.
    pub(super) fn reference(self) -> MediaRef {
        match self {
            Self::Ours(Kind::Upload, id) => MediaRef::Upload(id),
            Self::Ours(_, id) => MediaRef::Output(id),
            Self::Vendors(id) => MediaRef::Remote(RemoteImageId(id)),
        }
    }
}

/// A picture of ours, or one that only the vendor knows.
pub(super) async fn picture(app: &App, text: &str) -> Result<Picture, Nok> {
    match media(app, "Image", "image", text).await {
        Ok((kind, id, _)) => return Ok(Picture::Ours(kind, id)),
        Err(nok) if nok.0.status != StatusCode::NOT_FOUND => return Err(nok),
        Err(_) => {}
    }
    // A row of ours that is no picture, or no more: the vendor is not asked about our ids.
    let ours = Id::parse(text).is_some() && is_ours(app, text).await?;
    if ours || text.trim().is_empty() || text.chars().count() > MAX_ID_CHARS {
        return Err(no_such("Image", text));
    }
    match app.engine.vendor_has_image(text).await {
        Known::Yes => Ok(Picture::Vendors(text.to_owned())),
        Known::No => Err(no_such("Image", text)),
        Known::Unanswered(why) => Err(unanswered("image", text, &why)),
    }
}

async fn is_ours(app: &App, text: &str) -> Result<bool, Nok> {
    for kind in [Kind::Model, Kind::Upload, Kind::Training, Kind::Job, Kind::Output] {
        if app.store.served(kind, text).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A job of ours.
pub(super) async fn job(app: &App, text: &str) -> Result<ServedJob, Nok> {
    let missing = || no_such("Job", text);
    let id = app.store.served(Kind::Job, text).await?.ok_or_else(missing)?;
    app.store.served_job(id).await?.ok_or_else(missing)
}
