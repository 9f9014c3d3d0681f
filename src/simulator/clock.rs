//! Two clocks: wall time for timestamps, and progress, which runs the trainings and jobs.
//!
//! Progress can be frozen by `/_sim/hold`; wall time never stops, so a held vendor still stamps its
//! replies correctly.

use chrono::{DateTime, SecondsFormat, Utc};
use std::time::{Duration, Instant};

/// Wall time: Unix milliseconds, UTC, in the vendor's clock (that is, with its skew).
pub(crate) type Wall = i64;

/// Progress: microseconds since the simulator started, minus the time it was held.
pub(crate) type Progress = i64;

/// The vendor's idea of time.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    started: Instant,
    held_since: Option<Instant>,
    held_total: Duration,
    skew_ms: i64,
    speed: f64,
}

impl Clock {
    /// A clock whose simulated durations are divided by `speed` and whose wall time is off by
    /// `skew_ms` milliseconds.
    pub(crate) fn new(speed: f64, skew_ms: i64) -> Self {
        Self {
            started: Instant::now(),
            held_since: None,
            held_total: Duration::ZERO,
            skew_ms,
            speed,
        }
    }

    /// The vendor's wall time now.
    pub(crate) fn wall(&self) -> Wall {
        self.wall_of(Utc::now().timestamp_millis())
    }

    /// The vendor's wall time at a moment of this machine's clock.
    pub(crate) fn wall_of(&self, unix_millis: i64) -> Wall {
        unix_millis.saturating_add(self.skew_ms)
    }

    /// How far simulated work has come.
    pub(crate) fn progress(&self) -> Progress {
        let now = self.held_since.unwrap_or_else(Instant::now);
        let run = now.duration_since(self.started).saturating_sub(self.held_total);
        i64::try_from(run.as_micros()).unwrap_or(i64::MAX)
    }

    /// Simulated seconds as progress, at least one microsecond.
    pub(crate) fn scaled(&self, seconds: f64) -> Progress {
        ((seconds * 1_000_000.0 / self.speed) as i64).max(1)
    }

    /// Stops progress; harmless when it has stopped already.
    pub(crate) fn hold(&mut self) {
        self.held_since.get_or_insert_with(Instant::now);
    }

    /// Lets progress run on from where it was held.
    pub(crate) fn release(&mut self) {
        if let Some(since) = self.held_since.take() {
            self.held_total += since.elapsed();
        }
    }

    /// Whether progress is stopped.
    pub(crate) fn is_held(&self) -> bool {
        self.held_since.is_some()
    }
}

/// A duration as progress.
pub(crate) fn progress_of(duration: Duration) -> Progress {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A duration as whole milliseconds.
pub(crate) fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC; whole seconds like the documented example, unless `millis` asks for more.
pub(crate) fn rfc3339(at: Wall, millis: bool) -> String {
    let format = if millis { SecondsFormat::Millis } else { SecondsFormat::Secs };
    DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default().to_rfc3339_opts(format, true)
}

/// The `Date` header's form.
pub(crate) fn http_date(at: Wall) -> String {
    let date = DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default();
    date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads `300ms`, `5s`, `5m` or `2h`; a bare number is milliseconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" | "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(not_a_duration(text)),
    };
    let value: f64 = number.parse().map_err(|_| not_a_duration(text))?;
    Duration::try_from_secs_f64(value * scale).map_err(|_| not_a_duration(text))
}

/// A duration, or a range of them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Span {
    /// In seconds, the shortest and the longest.
    pub(crate) seconds: (f64, f64),
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let seconds = (parse_duration(low)?.as_secs_f64(), parse_duration(high)?.as_secs_f64());
        if seconds.1 < seconds.0 {
            return Err(format!("`{text}` ends before it begins"));
        }
        Ok(Self { seconds })
    }
}

/// Reads a duration with an optional sign, as milliseconds.
pub(crate) fn parse_signed_millis(text: &str) -> Result<i64, String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    Ok(sign * millis_of(parse_duration(rest)?))
}

fn not_a_duration(text: &str) -> String {
    format!("`{text}` is not a duration; write it like 300ms, 5s, 5m or 2h")
}
