//! Image, upscale and video jobs, and runs of recipes.

use super::answer::{Answer, Problem};
use super::asked::{Asked, typed};
use super::receipt::{Accepted, order};
use crate::clock::new_id;
use crate::domain::catalogue::{did_you_mean, nearest};
use crate::domain::recipe::{MAX_RECIPE_BYTES, Recipe, RecipeModel};
use crate::domain::request::{ImageRequest, JobRequest, MediaRef, UpscaleRequest, VideoRequest};
use crate::domain::validate::{self, Problem as Fault, Problems};
use crate::http::guard::Caller;
use crate::http::media::{Link, recognise};
use crate::http::openapi::{Op, Routes, named};
use crate::http::refusal::Refusal;
use crate::http::{App, Shared};
use crate::service::finder::Finder;
use crate::service::{ServiceError, jobs, runs, shown};
use crate::store::lookup::FoundModel;
use crate::store::submit::{NewRun, Submission};
use axum::extract::State;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{Discriminator, OneOfBuilder, Schema};
use utoipa::openapi::{HttpMethod, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// The types of a job.
const TYPES: [&str; 3] = ["image", "upscale", "video"];
/// References of a job. Ours: the vendor names a few per model.
const MAX_REFERENCES: usize = 50;

/// The word that says which type of job it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ImageWord {
    /// Make pictures.
    Image,
}

/// The word that says which type of job it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum UpscaleWord {
    /// Enlarge one picture.
    Upscale,
}

/// The word that says which type of job it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum VideoWord {
    /// Make videos.
    Video,
}

/// Pictures with a trained model of yours or a public one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImageBody {
    /// `image`.
    #[allow(dead_code, reason = "it was looked at to get here")]
    r#type: ImageWord,
    /// A model of yours (id, its beginning, or name) or a public one such as `nanobanana`.
    #[schema(min_length = 1, max_length = 200)]
    model: String,
    /// What to draw; a public model needs it.
    #[schema(max_length = 32768)]
    prompt: Option<String>,
    /// How many pictures.
    #[schema(minimum = 1)]
    num_images: Option<u32>,
    /// Pixels; trained models only.
    #[schema(minimum = 1)]
    width: Option<u32>,
    /// Pixels; trained models only.
    #[schema(minimum = 1)]
    height: Option<u32>,
    /// For repeatable pictures; trained models only.
    seed: Option<i64>,
    /// The tag of a preset.
    preset: Option<String>,
    /// For example `9:16`; public models only.
    aspect_ratio: Option<String>,
    /// An uploaded reference picture: an upload; trained models only.
    #[schema(min_length = 1, max_length = 200)]
    input_image: Option<String>,
    /// Pictures to go by: an output, a job (its first picture), `JOB[n]` or a web address; public
    /// models only.
    #[serde(default)]
    #[schema(max_items = 50)]
    references: Vec<String>,
    /// Further fields in the vendor's spelling, `options` among them.
    #[serde(default)]
    #[schema(value_type = Object)]
    set: Map<String, Value>,
}

/// One picture enlarged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpscaleBody {
    /// `upscale`.
    #[allow(dead_code, reason = "it was looked at to get here")]
    r#type: UpscaleWord,
    /// An output, a job (its first picture), `JOB[n]`, or an image id of the vendor's.
    #[schema(min_length = 1, max_length = 200)]
    image: String,
}

/// Videos with a public model.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VideoBody {
    /// `video`.
    #[allow(dead_code, reason = "it was looked at to get here")]
    r#type: VideoWord,
    /// A public video model such as `veo-3.1`.
    #[schema(min_length = 1, max_length = 200)]
    model: String,
    /// What to film.
    #[schema(min_length = 1, max_length = 32768)]
    prompt: String,
    /// How many videos.
    #[schema(minimum = 1)]
    num_videos: Option<u32>,
    /// The picture it begins with: an output, a job (its first picture), `JOB[n]` or a web address.
    #[schema(min_length = 1, max_length = 2000)]
    first_frame: Option<String>,
    /// The picture it ends with.
    #[schema(min_length = 1, max_length = 2000)]
    last_frame: Option<String>,
    /// Pictures to go by.
    #[serde(default)]
    #[schema(max_items = 50)]
    references: Vec<String>,
    /// Further fields in the vendor's spelling, `options` among them.
    #[serde(default)]
    #[schema(value_type = Object)]
    set: Map<String, Value>,
}

/// A job of one of the three types.
struct JobBody;

impl PartialSchema for JobBody {
    fn schema() -> RefOr<Schema> {
        let names = ["ImageBody", "UpscaleBody", "VideoBody"];
        let place = |name: &str| format!("#/components/schemas/{name}");
        let mapping = TYPES.into_iter().zip(names).map(|(word, name)| (word, place(name)));
        names
            .into_iter()
            .fold(OneOfBuilder::new(), |one, name| one.item(named(name)))
            .discriminator(Some(Discriminator::with_mapping("type", mapping)))
            .description(Some("A job of one of the three types."))
            .into()
    }
}

impl ToSchema for JobBody {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ImageBody::schemas(schemas);
        UpscaleBody::schemas(schemas);
        VideoBody::schemas(schemas);
        schemas.push(("ImageBody".to_owned(), ImageBody::schema()));
        schemas.push(("UpscaleBody".to_owned(), UpscaleBody::schema()));
        schemas.push(("VideoBody".to_owned(), VideoBody::schema()));
    }
}

/// A recipe to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RunBody {
    /// The recipe's text (TOML).
    #[schema(min_length = 1, max_length = 1000000)]
    recipe: String,
}

/// Everything wrong with the words of a request; what is not bad input ends it at once.
#[derive(Default)]
struct Faults(Problems);

impl Faults {
    fn keep<T>(&mut self, found: Result<T, ServiceError>) -> Result<Option<T>, Problem> {
        match found {
            Ok(value) => Ok(Some(value)),
            Err(ServiceError::Invalid(fault) | ServiceError::Unknown(fault)) => {
                self.0.0.push(fault);
                Ok(None)
            }
            Err(other) => Err(other.into()),
        }
    }

    async fn pictures(
        &mut self,
        app: &App,
        finder: &Finder<'_>,
        field: &str,
        texts: &[String],
    ) -> Result<Vec<MediaRef>, Problem> {
        if texts.len() > MAX_REFERENCES {
            let what = format!("there are {} and at most {MAX_REFERENCES} are taken", texts.len());
            self.0.0.push(Fault::new(field, what));
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let field = format!("{field}[{at}]");
            found.extend(self.picture(app, finder, &field, Some(text), false).await?);
        }
        Ok(found)
    }

    async fn picture(
        &mut self,
        app: &App,
        finder: &Finder<'_>,
        field: &str,
        text: Option<&String>,
        at_vendor: bool,
    ) -> Result<Option<MediaRef>, Problem> {
        let Some(text) = text else { return Ok(None) };
        // A link of ours is the picture itself; the vendor could not follow it.
        if let Link::Ours(file) = recognise(app, &[], text) {
            return Ok(Some(file.reference()));
        }
        // Whether the daemon's machine has such a file is nobody's business here.
        if !text.contains("://") && text.contains(['/', '\\']) {
            let what = format!("{} is no output, job or web address", shown(text));
            self.0.0.push(Fault::new(field, what));
            return Ok(None);
        }
        self.keep(finder.picture(field, text, at_vendor).await)
    }

    /// The request, unless something was wrong with its words.
    fn done(self, request: Option<JobRequest>, app: &App) -> Result<JobRequest, Problem> {
        let mut problems = self.0;
        if let Some(request) = &request
            && let Err(more) = validate::job(request, &app.catalogue)
        {
            problems.0.extend(more.0);
        }
        match request {
            Some(request) if problems.0.is_empty() => Ok(request),
            _ => Err(Refusal::of_problems(problems.0).into()),
        }
    }
}

type Wanted = (JobRequest, Option<FoundModel>);

async fn image(app: &App, body: ImageBody) -> Result<Wanted, Problem> {
    let finder = Finder::new(Some(&app.store), &app.catalogue);
    let mut faults = Faults::default();
    let model = faults.keep(finder.image_model("model", &body.model).await)?;
    let input_image = match &body.input_image {
        Some(text) => faults.keep(finder.upload("input_image", text).await)?,
        None => None,
    };
    let references = faults.pictures(app, &finder, "references", &body.references).await?;
    let (model, own) = match model {
        Some((model, own)) => (Some(model), own),
        None => (None, None),
    };
    let request = model.map(|model| {
        JobRequest::Image(ImageRequest {
            model,
            prompt: body.prompt,
            num_images: body.num_images,
            width: body.width,
            height: body.height,
            seed: body.seed,
            preset: body.preset,
            aspect_ratio: body.aspect_ratio,
            input_image: input_image.map(MediaRef::Upload),
            references,
            extra: body.set,
        })
    });
    Ok((faults.done(request, app)?, own))
}

async fn upscale(app: &App, body: UpscaleBody) -> Result<Wanted, Problem> {
    let finder = Finder::new(Some(&app.store), &app.catalogue);
    let mut faults = Faults::default();
    let image = faults.picture(app, &finder, "image", Some(&body.image), true).await?;
    let request = image.map(|image| JobRequest::Upscale(UpscaleRequest { image }));
    Ok((faults.done(request, app)?, None))
}

async fn video(app: &App, body: VideoBody) -> Result<Wanted, Problem> {
    let finder = Finder::new(Some(&app.store), &app.catalogue);
    let mut faults = Faults::default();
    let (first, last) = (body.first_frame.as_ref(), body.last_frame.as_ref());
    let request = JobRequest::Video(VideoRequest {
        model: body.model,
        prompt: body.prompt,
        num_videos: body.num_videos,
        first_frame: faults.picture(app, &finder, "first_frame", first, false).await?,
        last_frame: faults.picture(app, &finder, "last_frame", last, false).await?,
        references: faults.pictures(app, &finder, "references", &body.references).await?,
        reference_videos: Vec::new(),
        extra: body.set,
    });
    Ok((faults.done(Some(request), app)?, None))
}

async fn job(State(app): State<Shared>, caller: Caller, asked: Asked) -> Answer {
    let word = asked.body.get("type").and_then(Value::as_str);
    let (request, own) = match word {
        Some("image") => image(&app, typed(&asked.body)?).await?,
        Some("upscale") => upscale(&app, typed(&asked.body)?).await?,
        Some("video") => video(&app, typed(&asked.body)?).await?,
        _ => return Err(no_type(word)),
    };
    let (store, catalogue) = (Some(&app.store), &app.catalogue);
    let submission = jobs::order(store, catalogue, request, own.as_ref(), &caller.actor).await?;
    order(&app, asked.key, submission).await
}

fn no_type(word: Option<&str>) -> Problem {
    let what = match word {
        Some(word) => {
            let meant = did_you_mean(nearest(word, TYPES));
            format!("{} is none of {}{meant}", shown(word), TYPES.join(", "))
        }
        None => format!("say which of {} it is", TYPES.join(", ")),
    };
    let mut refusal = Refusal::invalid(format!("`type` in the body is wrong: {what}"));
    refusal.errors.push(("type".to_owned(), what));
    refusal.into()
}

async fn run(State(app): State<Shared>, caller: Caller, asked: Asked) -> Answer {
    let body: RunBody = typed(&asked.body)?;
    let submission = recipe(&app, body.recipe, &caller.actor).await?;
    order(&app, asked.key, submission).await
}

fn wrong_recipe(sentence: String) -> Problem {
    let mut refusal = Refusal::invalid(sentence.clone());
    refusal.errors.push(("recipe".to_owned(), sentence));
    refusal.into()
}

async fn recipe(app: &App, text: String, actor: &str) -> Result<Submission, Problem> {
    if text.len() > MAX_RECIPE_BYTES {
        let sentence = format!("the recipe is longer than {MAX_RECIPE_BYTES} bytes");
        return Err(wrong_recipe(sentence));
    }
    let recipe = Recipe::parse_with(&text, "recipe", &app.catalogue)
        .map_err(|error| wrong_recipe(error.to_string()))?;
    if recipe.model.as_ref().is_some_and(|model| model.images().is_some()) {
        return Err(wrong_recipe(
            "the recipe names a folder of photos, and the API does not read the daemon's disk: \
             make the model with POST /v1/models, bring its photos with POST \
             /v1/models/ID/uploads, train it, then name it in the recipe with `[model] id`"
                .to_owned(),
        ));
    }
    let finder = Finder::new(Some(&app.store), &app.catalogue);
    let model = match &recipe.model {
        Some(RecipeModel::Existing { id, .. }) => {
            let mut faults = Faults::default();
            let found = faults.keep(finder.need_own_model("[model] id", id).await)?;
            let Some(found) = found else {
                return Err(wrong_recipe(faults.0.to_string()));
            };
            Some(found)
        }
        _ => None,
    };
    let steps = runs::step_requests(&recipe, model.as_ref().map(|model| model.id))?;
    let missing = runs::missing_references(Some(&app.store), &steps).await?;
    if !missing.is_empty() {
        return Err(wrong_recipe(missing.join("; ")));
    }
    runs::refuse_state(&recipe, model.as_ref(), false)?;
    let name = recipe.name.clone().unwrap_or_else(|| "recipe".to_owned());
    let new = NewRun { id: new_id(), name, recipe: text };
    Ok(runs::submission(new, &recipe, model.map(|model| model.id), steps, actor))
}

/// The routes.
pub(super) fn ordering(into: Routes) -> Routes {
    let bottle = json!({ "type": "image", "model": "nanobanana",
        "prompt": "A green bottle at dusk", "aspect_ratio": "9:16" });
    let ordered =
        Op::new("create_job", "jobs", "Order pictures, an upscale or videos; costs credits.")
            .writes()
            .body::<JobBody>(bottle)
            .answers::<Accepted>(202, "It is stored.");
    let text = "[[step]]\nname = \"hero\"\ntype = \"image\"\nmodel = \"nanobanana\"\nprompt = \"A green bottle\"\n";
    let ran = Op::new("create_run", "runs", "Run a recipe; costs credits.")
        .explained(
            "The recipe is checked whole before anything is stored. It may not name a folder of \
             photos, because the API does not read the daemon's disk.",
        )
        .writes()
        .body::<RunBody>(json!({ "recipe": text }))
        .answers::<Accepted>(202, "It is stored.");
    into.route(ordered.at(HttpMethod::Post, "/v1/jobs", post(job))).route(ran.at(
        HttpMethod::Post,
        "/v1/runs",
        post(run),
    ))
}
