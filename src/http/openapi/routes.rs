//! Operations on their way into the router, and into the document if somebody wants to read it.

use crate::http::Shared;
use axum::Router;
use axum::routing::MethodRouter;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    Components, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, Paths, RefOr, Schema,
};

/// Named schemas.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// One operation with its handler and its address.
pub struct Route {
    pub(super) method: HttpMethod,
    pub(super) path: String,
    pub(super) operation: Operation,
    pub(super) schemas: Vec<fn(&mut Schemas)>,
    pub(super) handler: MethodRouter<Shared>,
}

/// Several of them. What is only served is not described: the document takes megabytes while it is
/// put together, and hardly anybody reads it.
pub struct Routes {
    router: Router<Shared>,
    described: Option<(Paths, Components)>,
}

impl Routes {
    /// None yet, to be served.
    pub fn served() -> Self {
        Self { router: Router::new(), described: None }
    }

    /// None yet, to be described.
    pub fn described() -> Self {
        Self { described: Some((Paths::new(), Components::new())), ..Self::served() }
    }

    /// And this one.
    pub fn route(mut self, route: Route) -> Self {
        if let Some((paths, components)) = &mut self.described {
            let mut schemas = Schemas::new();
            route.schemas.iter().for_each(|of| of(&mut schemas));
            components.schemas.extend(schemas);
            paths.add_path_operation(&route.path, vec![route.method], route.operation);
        }
        self.router = self.router.route(&route.path, route.handler);
        self
    }

    /// To serve them.
    pub fn into_router(self) -> Router<Shared> {
        self.router
    }

    /// What is known of them; nothing of those that are only served.
    pub fn into_document(self) -> OpenApi {
        let (paths, components) = self.described.unwrap_or_default();
        OpenApiBuilder::new()
            .info(InfoBuilder::new().build())
            .paths(paths)
            .components(Some(components))
            .build()
    }
}
