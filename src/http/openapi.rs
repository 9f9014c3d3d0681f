//! The description of the native API (OpenAPI 3.1), made of the types and routes that are served.
//!
//! An [`Op`] is one operation: what it is called, takes and answers, and its handler. Router and
//! document come from the same `Op`s, and a query parameter that an `Op` does not name is refused,
//! so that what is described is what is there.

mod document;
mod routes;
mod rows;

pub use document::finish;
pub use routes::{Route, Routes};
pub use rows::schema_name;

use super::Shared;
use super::refusal::{Area, Refusal};
use crate::domain::catalogue::{did_you_mean, nearest};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::MethodRouter;
use routes::Schemas;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response as Answer, ResponseBuilder};
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Content, ContentBuilder, HttpMethod, Ref, RefOr, Required, Schema};

/// One operation on its way into router and document.
pub struct Op {
    operation: OperationBuilder,
    schemas: Vec<fn(&mut Schemas)>,
    query: Vec<&'static str>,
}

/// A text of at most `max` characters.
pub fn text(max: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(max))
}

/// One of these words.
pub fn word<'a>(words: impl IntoIterator<Item = &'a str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

/// A whole number between these two, both included.
pub fn number(min: i64, max: i64) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(min)).maximum(Some(max))
}

/// A time as RFC 3339 has it.
pub fn time() -> ObjectBuilder {
    use utoipa::openapi::schema::{KnownFormat, SchemaFormat};
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format))
}

/// Any JSON value.
pub fn anything() -> Object {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).build()
}

/// A schema by its name.
pub fn named(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

/// What a status of a refusal means, for the document.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request is not as it should be; the answer says where.",
        401 => "There is no token, or it is not the right one.",
        403 => "The token does not allow it, or the request comes from a foreign place.",
        404 => "There is no such thing.",
        408 => "The request did not come to its end in time.",
        409 => "It contradicts what is there; the answer says what.",
        413 => "The body is too long.",
        415 => "The body is of another type than is taken here.",
        416 => "The file does not reach that far.",
        422 => "The Idempotency-Key was used before for another request.",
        429 => "Too much at once; try again after the time in Retry-After.",
        502 => "The vendor answered something that is of no use.",
        503 => "It cannot be stored or asked right now; try again.",
        507 => "The disk is full; nothing was stored.",
        _ => "It did not work; the answer says why.",
    }
}

impl Op {
    /// An operation: its id, the group it is shown in, and what it does in one sentence.
    pub fn new(id: &str, tag: &str, summary: &str) -> Self {
        let operation =
            OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary));
        let refused = [400, 401, 403, 429, 500, 503];
        Self { operation, schemas: Vec::new(), query: Vec::new() }.refuses(&refused)
    }

    /// More than one sentence.
    pub fn explained(mut self, description: &str) -> Self {
        self.operation = self.operation.description(Some(description));
        self
    }

    /// The id of a row in the path.
    pub fn of_row(self, noun: &str) -> Self {
        let says = match noun {
            "model" => "An id or a unique beginning of one, the vendor's id, or a name.".to_owned(),
            "run" | "training" | "change" => "An id or a unique beginning of one.".to_owned(),
            "listed" => "The vendor's id of the job.".to_owned(),
            _ => "An id or a unique beginning of one, or the vendor's id.".to_owned(),
        };
        let parameter = ParameterBuilder::new()
            .name("id")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(says))
            .schema(Some(text(200).build()));
        self.parameter(parameter.build()).refuses(&[404, 409])
    }

    fn parameter(mut self, parameter: Parameter) -> Self {
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// A parameter after the `?`.
    pub fn query(
        mut self,
        name: &'static str,
        description: &str,
        schema: impl Into<RefOr<Schema>>,
    ) -> Self {
        self.query.push(name);
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema));
        self.parameter(parameter.build())
    }

    /// A request header.
    pub fn header(self, name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema));
        self.parameter(parameter.build())
    }

    /// It writes: what any write may be refused with, and the key that makes it safe to repeat.
    pub fn writes(self) -> Self {
        self.refuses(&[409, 422, 507]).header(
            "Idempotency-Key",
            "The same key with the same request is done once; the stored answer comes again, with \
             the header Idempotency-Replayed. With another request it is refused (422).",
            text(200).pattern(Some("^[!-~]+$")),
        )
    }

    /// A JSON body.
    pub fn body<T: ToSchema>(self, example: Value) -> Self {
        self.knows::<T>().body_of(named(&T::name()), "application/json", Some(example), true)
    }

    /// A JSON body that may be left out.
    pub fn optional_body<T: ToSchema>(self, example: Value) -> Self {
        self.knows::<T>().body_of(named(&T::name()), "application/json", Some(example), false)
    }

    /// A body of this schema and type.
    pub fn body_of(
        mut self,
        schema: impl Into<RefOr<Schema>>,
        content_type: &str,
        example: Option<Value>,
        required: bool,
    ) -> Self {
        let content = ContentBuilder::new().schema(Some(schema)).example(example).build();
        let required = if required { Required::True } else { Required::False };
        let body = RequestBodyBuilder::new()
            .content(content_type, content)
            .required(Some(required))
            .build();
        self.operation = self.operation.request_body(Some(body));
        self.refuses(&[408, 413, 415])
    }

    /// A JSON answer of this type.
    pub fn answers<T: ToSchema>(self, status: u16, description: &str) -> Self {
        self.knows::<T>().answers_with(status, description, named(&T::name()))
    }

    /// A JSON answer of this schema.
    pub fn answers_with(
        self,
        status: u16,
        description: &str,
        schema: impl Into<RefOr<Schema>>,
    ) -> Self {
        let content = Content::new(Some(schema));
        let answer = ResponseBuilder::new()
            .description(description)
            .content("application/json", content)
            .build();
        self.answer(status, answer)
    }

    /// An answer as it is.
    pub fn answer(mut self, status: u16, answer: Answer) -> Self {
        self.operation = self.operation.response(status.to_string(), answer);
        self
    }

    /// Refusals with these statuses.
    pub fn refuses(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            let problem = ResponseBuilder::new()
                .description(meaning(*status))
                .content("application/problem+json", Content::new(Some(named("Problem"))));
            self = self.answer(*status, problem.build());
        }
        self
    }

    /// Further named schemas that it refers to.
    pub fn knows<T: ToSchema>(mut self) -> Self {
        self.schemas.push(|all| {
            T::schemas(all);
            all.push((T::name().into_owned(), T::schema()));
        });
        self
    }

    /// The operation with its handler under this address.
    pub fn at(self, method: HttpMethod, path: &str, handler: MethodRouter<Shared>) -> Route {
        let known: Arc<[&'static str]> = self.query.into();
        let handler = handler.route_layer(from_fn(move |request: Request, next: Next| {
            let known = known.clone();
            async move { only_known(&known, request, next).await }
        }));
        let (operation, schemas) = (self.operation.build(), self.schemas);
        Route { method, path: path.to_owned(), operation, schemas, handler }
    }
}

/// Refuses parameters that mean nothing here.
async fn only_known(known: &[&'static str], request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
        if known.contains(&name.as_ref()) {
            continue;
        }
        let name: String = name.chars().take(60).collect();
        let meant = did_you_mean(nearest(&name, known.iter().copied()));
        let what = match (meant.as_str(), known) {
            ("", []) => "there are no parameters here".to_owned(),
            ("", known) => format!("the parameters here are {}", known.join(", ")),
            (meant, _) => format!("there is no such parameter{meant}"),
        };
        let mut refusal = Refusal::invalid(format!("`{name}` in the query is not known: {what}"));
        refusal.errors.push((name, what));
        return refusal.answer(Area::Native);
    }
    next.run(request).await
}
