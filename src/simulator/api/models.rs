//! Models: create, update, read, delete, train.

use super::body::Body;
use crate::simulator::reply::{Outcome, Refusal, Reply};
use crate::simulator::sim::Sim;
use crate::simulator::world::Caller;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::json;
use std::sync::Arc;

/// `POST /models`: creates without `id`, updates with it.
pub(crate) async fn save(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Outcome {
    let body = Body::parse(&body)?;
    body.check_number("age")?;
    for field in ["ethnicity", "eyeColor", "userID"] {
        body.text(field)?;
    }
    if !matches!(body.text("gender")?, None | Some("Male" | "Female")) {
        return Err(Refusal::invalid("gender must be Male or Female"));
    }
    let mut world = sim.world();
    let (id, seq) = match body.text("id")? {
        Some(id) => (id.to_owned(), world.update_model(&caller, id, body.text("name")?)?),
        None => world.create_model(&caller, body.required("name")?)?,
    };
    Ok(Reply::result(world.model_json(&caller, &id)).of_effect(Some(seq)))
}

/// `GET /models`
pub(crate) async fn list(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
) -> Outcome {
    let mut world = sim.world();
    let ids = world.listed_models(&caller);
    Ok(Reply::result(ids.iter().map(|id| world.model_json(&caller, id)).collect::<Vec<_>>()))
}

/// `GET /models/{modelID}`
pub(crate) async fn read(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Outcome {
    let mut world = sim.world();
    world.model(&caller, &id)?;
    Ok(Reply::result(world.model_json(&caller, &id)))
}

/// `DELETE /models/{modelID}`
pub(crate) async fn delete(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Outcome {
    let mut world = sim.world();
    let seq = world.delete_model(&caller, &id)?;
    Ok(Reply::result(json!("Model deleted")).of_effect(Some(seq)))
}

/// `GET /models/{modelID}/train`: a GET that does something.
pub(crate) async fn train(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Outcome {
    let seq = sim.world().train(&caller, &id)?;
    Ok(Reply::result(json!("Training triggered")).of_effect(seq))
}
