//! The files themselves.

use super::answer::{Answer, Problem};
use super::lists::subject;
use crate::domain::work::Kind;
use crate::http::Shared;
use crate::http::extract::ApiPath;
use crate::http::media::never_run;
use crate::http::openapi::{Op, Routes};
use crate::http::refusal::Refusal;
use crate::store::report::{Detail, Item, Noun};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower::ServiceExt;
use tower_http::services::ServeFile;
use utoipa::openapi::HttpMethod;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::response::{Response as Described, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};

const OUTPUT: Noun = Noun::Work(Kind::Output);

async fn content(
    State(app): State<Shared>,
    ApiPath(text): ApiPath<String>,
    request: Request,
) -> Answer {
    let id = subject(&app, OUTPUT, &text).await?;
    let item = app.store.item(OUTPUT, id).await?;
    let Detail::Output { path: Some(path), sha256: Some(sha256), media_type, .. } = &item.detail
    else {
        return Err(not_home(&item));
    };
    let tag = format!("\"{sha256}\"");
    if knows(request.headers(), &tag) {
        return Ok(described(StatusCode::NOT_MODIFIED.into_response(), &item, &tag, None));
    }
    let served = ServeFile::new(path).oneshot(request).await;
    let served = match served {
        Ok(served) => served,
        Err(never) => match never {},
    };
    match served.status() {
        StatusCode::NOT_FOUND => Err(gone(&item)),
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let mut refusal = unreachable_range().into_response();
            if let Some(range) = served.headers().get(header::CONTENT_RANGE) {
                refusal.headers_mut().insert(header::CONTENT_RANGE, range.clone());
            }
            Ok(refusal)
        }
        _ => {
            let response = served.map(Body::new).into_response();
            Ok(described(response, &item, &tag, media_type.as_deref()))
        }
    }
}

fn not_home(item: &Item) -> Problem {
    Refusal::conflict(format!("the file is not here yet: {}", item.why)).into()
}

fn gone(item: &Item) -> Problem {
    Refusal::not_found(format!(
        "the file of output {} is no longer where it was stored; somebody has moved or deleted it",
        item.id
    ))
    .into()
}

fn unreachable_range() -> Problem {
    let message = "the file does not reach as far as the Range asks for";
    Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, message).into()
}

/// Whether the reader has this very content.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter();
    given.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

/// The headers that say what it is: looked at, never run.
fn described(mut response: Response, item: &Item, tag: &str, media_type: Option<&str>) -> Response {
    let headers = response.headers_mut();
    never_run(headers, media_type);
    // Of our own making: an id and the ending of the stored file.
    let ending = match &item.detail {
        Detail::Output { path: Some(path), .. } => {
            path.extension().and_then(|ending| ending.to_str()).unwrap_or("bin")
        }
        _ => "bin",
    };
    let name = format!("inline; filename=\"{}.{ending}\"", item.id);
    let texts = [(header::CONTENT_DISPOSITION, name.as_str()), (header::ETAG, tag)];
    for (header, text) in texts {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(header, value);
        }
    }
    response
}

fn bytes(description: &str) -> Described {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .content_media_type("application/octet-stream");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ["image/*", "video/*"]
        .into_iter()
        .fold(ResponseBuilder::new().description(description), |answer, kind| {
            answer.content(kind, content.clone())
        })
        .build()
}

/// The route.
pub(super) fn looking(into: Routes) -> Routes {
    let unchanged = ResponseBuilder::new().description("The reader has it already.").build();
    let shown = Op::new("output_content", "outputs", "The file itself, or a range of it.")
        .of_row("output")
        .refuses(&[416])
        .answer(200, bytes("The file."))
        .answer(206, bytes("The range that was asked for."))
        .answer(304, unchanged);
    let path = "/v1/outputs/{id}/content";
    into.route(shown.at(HttpMethod::Get, path, get(content)))
}
