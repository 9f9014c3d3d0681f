//! The only place that reads the clock.
use crate::domain::ids::Millis;
/// Tells the time.
pub trait Clock: Send + Sync {
    /// Unix milliseconds UTC.
    fn now(&self) -> Millis;
}
