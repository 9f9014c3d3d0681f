//! How ids, times and nouns look in the description of the API. What they look like is decided by
//! their `Serialize`; this repeats it in the words of JSON Schema.

use super::{Noun, Time};
use crate::domain::ids::Id;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

fn text(format: &str, description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom(format.to_owned())))
        .description(Some(description))
        .into()
}

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        text("uuid", "One of our rows.")
    }
}

impl ToSchema for Id {}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        text("date-time", "RFC 3339 in UTC with milliseconds.")
    }
}

impl ToSchema for Time {}

impl PartialSchema for Noun {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.map(Self::as_str)))
            .description(Some("What it is."))
            .into()
    }
}

impl ToSchema for Noun {}
