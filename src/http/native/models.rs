//! Models: made, taken over, changed, deleted, trained.

use super::answer::Answer;
use super::asked::{Asked, typed};
use super::lists::subject;
use super::receipt::{Accepted, order, order_as};
use crate::domain::request::{Gender, Identity};
use crate::domain::validate;
use crate::domain::work::Kind;
use crate::http::extract::ApiPath;
use crate::http::guard::Caller;
use crate::http::openapi::{Op, Routes};
use crate::http::refusal::Refusal;
use crate::http::{App, Shared};
use crate::service::finder::Finder;
use crate::service::models::{self, IdentityPatch};
use crate::service::{ServiceError, shown};
use crate::store::lookup::FoundModel;
use crate::store::once::TrainOnce;
use crate::store::report::{Noun, ReceiptedTraining};
use axum::extract::State;
use axum::routing::{delete, patch, post};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::HttpMethod;

const MODEL: Noun = Noun::Work(Kind::Model);

/// What to change about the person; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PatchBody {
    /// A new name.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Years.
    #[schema(minimum = 1, maximum = 120)]
    age: Option<u32>,
    /// As the vendor writes it.
    gender: Option<Gender>,
    /// Free text.
    #[schema(min_length = 1, max_length = 200)]
    ethnicity: Option<String>,
    /// Free text.
    #[schema(min_length = 1, max_length = 200)]
    eye_color: Option<String>,
}

/// A model that the vendor has and darkroom does not know.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportBody {
    /// The vendor's id of it.
    #[schema(min_length = 1, max_length = 200)]
    remote_id: String,
    /// What to call it here; without it, the vendor's id.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
}

/// Nothing more is to be said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TrainBody {}

/// The model that the text in a path means, as orders need it.
pub(super) async fn model(app: &App, text: &str) -> Result<FoundModel, super::answer::Problem> {
    let id = subject(app, MODEL, text).await?;
    let finder = Finder::new(Some(&app.store), &app.catalogue);
    Ok(finder.need_own_model("model", &id.to_string()).await?)
}

async fn create(State(app): State<Shared>, caller: Caller, asked: Asked) -> Answer {
    let identity: Identity = typed(&asked.body)?;
    validate::identity(&identity).map_err(ServiceError::from)?;
    order(&app, asked.key, models::create(identity, &caller.actor)).await
}

async fn import(State(app): State<Shared>, caller: Caller, asked: Asked) -> Answer {
    let body: ImportBody = typed(&asked.body)?;
    let submission = models::import(&body.remote_id, body.name.as_deref(), &caller.actor)?;
    let known = app.store.models_like(body.remote_id.trim()).await?;
    let same = |model: &&FoundModel| model.remote_id.as_deref() == Some(body.remote_id.trim());
    if let Some(model) = known.iter().find(same) {
        return Err(Refusal::conflict(format!(
            "this model is known already, as {}: GET /v1/models/{} shows it",
            shown(&model.name),
            model.id
        ))
        .into());
    }
    order(&app, asked.key, submission).await
}

async fn update(
    State(app): State<Shared>,
    ApiPath(text): ApiPath<String>,
    caller: Caller,
    asked: Asked,
) -> Answer {
    let body: PatchBody = typed(&asked.body)?;
    let wanted = IdentityPatch {
        name: body.name,
        age: body.age,
        gender: body.gender,
        ethnicity: body.ethnicity,
        eye_color: body.eye_color,
    };
    if wanted.is_empty() {
        let message = "the body changes nothing: give at least one of name, age, gender, \
                       ethnicity and eye_color";
        return Err(Refusal::invalid(message).into());
    }
    let model = model(&app, &text).await?;
    let stored = models::identity(&app.store, model.id).await?;
    let Some(identity) = wanted.on(stored) else {
        let message = "this model was taken over, so nothing is known of the person: give name, \
                       age and gender together";
        return Err(Refusal::invalid(message).into());
    };
    validate::identity(&identity).map_err(ServiceError::from)?;
    let submission = models::change(&model, Some(identity), &caller.actor)?;
    order(&app, asked.key, submission).await
}

async fn remove(
    State(app): State<Shared>,
    ApiPath(text): ApiPath<String>,
    caller: Caller,
    asked: Asked,
) -> Answer {
    let _: TrainBody = typed(&asked.body)?;
    let model = model(&app, &text).await?;
    let submission = models::change(&model, None, &caller.actor)?;
    models::refuse_delete(&app.store, &model).await?;
    order(&app, asked.key, submission).await
}

async fn train(
    State(app): State<Shared>,
    ApiPath(text): ApiPath<String>,
    caller: Caller,
    asked: Asked,
) -> Answer {
    let _: TrainBody = typed(&asked.body)?;
    let model = model(&app, &text).await?;
    models::refuse_untrainable(&model)?;
    let write = TrainOnce { model: model.id, import: None, actor: caller.actor };
    order_as(&app, asked.key, 1, ReceiptedTraining(write)).await
}

/// The routes that order.
pub(super) fn ordering(into: Routes) -> Routes {
    let person = json!({ "name": "Anna", "age": 27, "gender": "Female", "eye_color": "brown" });
    let made = Op::new("create_model", "models", "Make a model of a person.")
        .writes()
        .body::<Identity>(person)
        .answers::<Accepted>(202, "It is stored.");
    let taken = Op::new("import_model", "models", "Take over a model that the vendor has.")
        .writes()
        .body::<ImportBody>(json!({ "remote_id": "018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f" }))
        .answers::<Accepted>(202, "It is stored.");
    let changed = Op::new("update_model", "models", "Change what the vendor knows of the person.")
        .of_row("model")
        .writes()
        .body::<PatchBody>(json!({ "age": 28 }))
        .answers::<Accepted>(202, "The change is stored.");
    let trained = Op::new("train_model", "models", "Train it on its photos; costs credits.")
        .explained("At most one training of a model is ever open, however often this is asked.")
        .of_row("model")
        .writes()
        .optional_body::<TrainBody>(json!({}))
        .answers::<Accepted>(202, "The training is stored.");
    into.route(made.at(HttpMethod::Post, "/v1/models", post(create)))
        .route(taken.at(HttpMethod::Post, "/v1/models/import", post(import)))
        .route(changed.at(HttpMethod::Patch, "/v1/models/{id}", patch(update)))
        .route(trained.at(HttpMethod::Post, "/v1/models/{id}/train", post(train)))
}

/// The route that deletes.
pub(super) fn deciding(into: Routes) -> Routes {
    let gone = Op::new("delete_model", "models", "Delete it at the vendor, for ever.")
        .explained("Files on disk stay. Refused while something still works on it.")
        .of_row("model")
        .writes()
        .answers::<Accepted>(202, "The deletion is stored.");
    into.route(gone.at(HttpMethod::Delete, "/v1/models/{id}", delete(remove)))
}
