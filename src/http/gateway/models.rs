//! `/models` (vendor-api.md 2.2 to 2.7).

use super::super::extract::{ApiJson, ApiPath, ApiQuery};
use super::super::guard::queue::admit;
use super::super::refusal::Refusal;
use super::super::{App, Shared, media};
use super::answer::{
    Done, Nok, Outcome, earlier, envelope, key_of, ok, once, once_told, replayed, reply, shape,
};
use super::{ACTOR, find, number, records};
use crate::domain::ids::Id;
use crate::domain::photo::{MAX_PHOTOS, MIN_PHOTOS};
use crate::domain::request::{Gender, Identity};
use crate::domain::validate::{self, Problem, Problems};
use crate::service::ServiceError;
use crate::service::models::{self, IdentityPatch};
use crate::service::readiness::{Readiness, readiness};
use crate::store::once::{TrainOnce, Trained};
use crate::store::served::Pictures;
use crate::store::submit::Submission;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

/// The largest page.
pub(super) const PAGE_LIMIT: i64 = 100;

const FIELDS: &[&str] =
    &["id", "name", "age", "gender", "ethnicity", "eyeColor", "userID", "modelType"];

/// The body of `POST /models`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    id: Option<String>,
    name: Option<String>,
    age: Option<f64>,
    gender: Option<String>,
    ethnicity: Option<String>,
    eye_color: Option<String>,
}

impl Body {
    /// The fields as they are to be stored, every fault at once.
    fn patch(&self) -> Result<IdentityPatch, Problems> {
        let mut problems = Problems::default();
        let gender = match self.gender.as_deref().map(validate::gender) {
            Some(Err(problem)) => {
                problems.0.push(problem);
                None
            }
            other => other.and_then(Result::ok),
        };
        let age = self.age.and_then(|age| {
            let whole = age.fract() == 0.0 && (0.0..=1000.0).contains(&age);
            if !whole {
                let message = format!("{age} is no age: write whole years");
                problems.0.push(Problem::new("age", message));
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            whole.then_some(age as u32)
        });
        if !problems.0.is_empty() {
            return Err(problems);
        }
        Ok(IdentityPatch {
            name: self.name.clone(),
            age,
            gender,
            ethnicity: self.ethnicity.clone(),
            eye_color: self.eye_color.clone(),
        })
    }
}

/// `POST /models`: with an `id` an update, otherwise a new model.
pub(super) async fn create_or_update(
    State(app): State<Shared>,
    headers: HeaderMap,
    ApiJson(body): ApiJson<Value>,
) -> Outcome {
    let key = key_of(&headers, "POST /models", &body)?;
    if let Some(answer) = earlier(&app, key.as_ref()).await? {
        return Ok(answer);
    }
    let body: Body = shape(body, FIELDS)?;
    let patch = body.patch().map_err(ServiceError::from)?;
    let (submission, model) = match body.id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => update(&app, id, patch).await?,
        None => create(patch)?,
    };
    admit(&app, 1).await?;
    let record = match model {
        Some(id) => {
            let (_, row) = find::model(&app, &id.to_string()).await?;
            let person = submission.changes.first().and_then(|change| change.fields.as_ref());
            with_person(records::model(&app, &row).await?, person)
        }
        None => new_record(&submission, app.store.now()),
    };
    once_told(&app, key, submission, reply(record)).await
}

fn create(patch: IdentityPatch) -> Result<(Submission, Option<Id>), Nok> {
    let missing: Vec<Problem> = [
        ("name", patch.name.is_none(), "say what to call the model"),
        ("age", patch.age.is_none(), "give the person's age in years"),
        ("gender", patch.gender.is_none(), "write `Female` or `Male`"),
    ]
    .into_iter()
    .filter(|(_, missing, _)| *missing)
    .map(|(field, _, what)| Problem::new(field, format!("it is missing: {what}")))
    .collect();
    let Some(identity) = patch.on(None) else {
        return Err(Refusal::of_problems(missing).into());
    };
    check(&identity)?;
    Ok((models::create(identity, ACTOR), None))
}

/// The fields under the vendor's names.
fn check(identity: &Identity) -> Result<(), Nok> {
    validate::identity(identity).map_err(|mut problems| {
        for problem in &mut problems.0 {
            if problem.field == "eye_color" {
                "eyeColor".clone_into(&mut problem.field);
            }
        }
        ServiceError::from(problems).into()
    })
}

async fn update(
    app: &App,
    id: &str,
    patch: IdentityPatch,
) -> Result<(Submission, Option<Id>), Nok> {
    let model = find::model_for(app, id).await?;
    let Some(found) = &model.found else {
        // A model that was never used here: an update is no reason to take it over.
        return Err(find::no_such("Model", id));
    };
    if patch.is_empty() {
        return Err(Refusal::invalid("nothing to change is given: name a field").into());
    }
    let base = models::identity(&app.store, model.id).await?;
    let Some(identity) = patch.on(base) else {
        return Err(Refusal::invalid(
            "nothing is known of the person of this model: give name, age and gender together",
        )
        .into());
    };
    check(&identity)?;
    Ok((models::change(found, Some(identity), ACTOR)?, Some(model.id)))
}

/// A model's record as the update will leave it.
fn with_person(mut record: Value, person: Option<&Identity>) -> Value {
    if let Some(person) = person {
        record["name"] = json!(person.name);
        record["age"] = json!(person.age);
        record["gender"] = json!(person.gender);
        record["ethnicity"] = json!(person.ethnicity);
        record["eyeColor"] = json!(person.eye_color);
    }
    record
}

/// The record of a model that is being stored.
fn new_record(submission: &Submission, now: i64) -> Value {
    let Some(model) = submission.models.first() else { return Value::Null };
    let person = model.identity.as_ref();
    let at = crate::store::report::Time(now).to_string();
    json!({
        "id": model.id, "status": "new", "modelType": records::MODEL_TYPE, "name": model.name,
        "age": person.map(|person| person.age),
        "gender": person.map(|person| match person.gender {
            Gender::Female => "Female",
            Gender::Male => "Male",
        }),
        "ethnicity": person.and_then(|person| person.ethnicity.as_deref()),
        "eyeColor": person.and_then(|person| person.eye_color.as_deref()),
        "createdAt": at, "updatedAt": at,
        "darkroom": { "state": "queued", "training": null, "remoteID": null, "error": null },
    })
}

/// `pageNum`, `pageSize` and the filter, as they came. Others are passed over, as the vendor does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Paging {
    image_type: Option<String>,
    page_num: Option<String>,
    page_size: Option<String>,
}

/// One page of a list.
#[derive(Clone, Copy)]
pub(super) struct Page {
    number: i64,
    /// Rows on it.
    pub(super) size: i64,
}

impl Paging {
    pub(super) fn page(&self, default: i64) -> Result<Page, Nok> {
        Ok(Page {
            number: number("pageNum", self.page_num.as_deref(), 1, i64::from(u32::MAX))?,
            size: number("pageSize", self.page_size.as_deref(), default, i64::MAX)?.min(PAGE_LIMIT),
        })
    }
}

impl Page {
    /// Rows before it.
    pub(super) fn offset(self) -> i64 {
        (self.number - 1).saturating_mul(self.size)
    }

    /// The envelope with `page` and `pageSize` beside the result (vendor-api.md 2.6).
    pub(super) fn envelope(self, records: Vec<Value>) -> Value {
        json!({ "page": self.number, "pageSize": self.size, "result": records, "status": "OK" })
    }
}

/// `GET /models`: every model of ours, newest first. How the vendor pages is undocumented, so
/// pages are there for those who ask for one.
pub(super) async fn list(State(app): State<Shared>, ApiQuery(paging): ApiQuery<Paging>) -> Outcome {
    let asked = paging.page_num.is_some() || paging.page_size.is_some();
    let page = paging.page(20)?;
    let (limit, offset) = if asked { (page.size, page.offset()) } else { (-1, 0) };
    let mut records = Vec::new();
    for row in app.store.served_models(limit, offset).await? {
        records.push(records::model(&app, &row).await?);
    }
    let body = if asked { page.envelope(records) } else { envelope(Value::Array(records)) };
    Ok(Json(body).into_response())
}

/// `GET /models/{modelID}`
pub(super) async fn read(State(app): State<Shared>, ApiPath(id): ApiPath<String>) -> Outcome {
    let (_, row) = find::model(&app, &id).await?;
    Ok(ok(records::model(&app, &row).await?))
}

/// `DELETE /models/{modelID}`
pub(super) async fn delete(
    State(app): State<Shared>,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> Outcome {
    let key = key_of(&headers, "DELETE /models", &json!(id))?;
    if let Some(answer) = earlier(&app, key.as_ref()).await? {
        return Ok(answer);
    }
    let model = find::model_for(&app, &id).await?;
    let mut submission = match &model.found {
        Some(found) => models::change(found, None, ACTOR)?,
        // Known to the vendor only: it is taken over to be deleted durably.
        None => models::change_of(model.id, None, ACTOR),
    };
    submission.models.extend(model.import);
    once_told(&app, key, submission, reply(json!("Model deleted"))).await
}

/// `GET /models/{modelID}/images`
pub(super) async fn images(
    State(app): State<Shared>,
    ApiPath(id): ApiPath<String>,
    ApiQuery(paging): ApiQuery<Paging>,
    headers: HeaderMap,
) -> Outcome {
    let page = paging.page(20)?;
    let which = match paging.image_type.as_deref() {
        None | Some("" | "all") => Pictures::All,
        Some("input") => Pictures::Training,
        Some("output") => Pictures::Produced,
        Some("auxiliaryType") => Pictures::Reference,
        Some(_) => {
            let message = "imageType must be all, input, output or auxiliaryType";
            return Err(Refusal::invalid(message).into());
        }
    };
    let (id, _) = find::model(&app, &id).await?;
    let rows = app.store.served_pictures(id, which, page.size, page.offset()).await?;
    let base = media::base(&app, &headers);
    let mut records = Vec::new();
    for row in &rows {
        records.push(records::media(&app, &base, row).await?);
    }
    Ok(Json(page.envelope(records)).into_response())
}

/// `GET /models/{modelID}/train`: orders a training, at most once however often it is called.
pub(super) async fn train(
    State(app): State<Shared>,
    method: Method,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> Outcome {
    // The router gives HEAD to whoever takes GET; asking for headers must order nothing.
    if method != Method::GET {
        let message = "a training is ordered with GET";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).into());
    }
    let key = key_of(&headers, "GET /models/train", &json!(id))?;
    if let Some(answer) = earlier(&app, key.as_ref()).await? {
        return Ok(answer);
    }
    let model = find::model_for(&app, &id).await?;
    if let Some(found) = &model.found
        && let Readiness::Gone(why) = readiness(found)
    {
        return Err(Refusal::conflict(format!("this model {why}: make another one")).into());
    }
    admit(&app, 1).await?;
    let write = TrainOnce { model: model.id, import: model.import, actor: ACTOR.to_owned() };
    let told = reply(json!("Training triggered"));
    let stored = told.clone();
    let answer = move |done: &Trained| match done {
        Trained::Begun(_) | Trained::Before(_) => Some(stored.clone()),
        Trained::Photos(_) | Trained::EndedBadly(_) => None,
    };
    match once(&app, key, write, Box::new(answer)).await? {
        Done::Before(reply) => Ok(replayed(reply)),
        Done::Now(Trained::Begun(_) | Trained::Before(_)) => Ok(Json(told.body).into_response()),
        Done::Now(Trained::Photos(count)) => Err(Refusal::invalid(format!(
            "a training needs {MIN_PHOTOS} to {MAX_PHOTOS} images of type modelInput, and this \
             model has {count}"
        ))
        .into()),
        Done::Now(Trained::EndedBadly(training)) => Err(Refusal::conflict(format!(
            "this model was trained before, without success, and another training costs again; \
             `darkroom explain {training}` says what can be done"
        ))
        .into()),
    }
}
