//! Counters and histograms of this process. They are noted where things happen, by the `metrics`
//! macros; without a recorder those do nothing.

use metrics::{describe_counter, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Mutex, PoisonError};

/// Upper bounds, in seconds.
const CALLS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
const COMMITS: &[f64] = &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
const LAGS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];
/// Upper bounds, in writes.
const BATCHES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The process's one recorder.
static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Starts noting, once per process. A second call changes nothing. Measures the processor's clock
/// first, which takes up to 200 ms of computing.
///
/// # Errors
/// When something else in this process has taken the place.
pub fn install() -> Result<(), BuildError> {
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if handle.is_some() {
        return Ok(());
    }
    let mut builder = PrometheusBuilder::new();
    for (name, buckets) in [
        ("darkroom_vendor_call_duration_seconds", CALLS),
        ("darkroom_commit_duration_seconds", COMMITS),
        ("darkroom_commit_writes", BATCHES),
        ("darkroom_poll_lag_seconds", LAGS),
    ] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
    }
    *handle = Some(builder.install_recorder()?);
    describe();
    Ok(())
}

fn describe() {
    describe_counter!(
        "darkroom_http_requests_total",
        "Requests answered, by part of the address space and class of the status."
    );
    describe_counter!(
        "darkroom_vendor_calls_total",
        "Calls to the vendor, by endpoint and class of the outcome (ok, or why it failed)."
    );
    describe_histogram!(
        "darkroom_vendor_call_duration_seconds",
        "Time of calls to the vendor, from sending to the end of the answer."
    );
    describe_histogram!(
        "darkroom_commit_duration_seconds",
        "Time of commits to the database, synced to the disk."
    );
    describe_histogram!("darkroom_commit_writes", "Writes that shared one commit.");
    describe_histogram!(
        "darkroom_poll_lag_seconds",
        "Time from when a look at running work was due until it was done."
    );
}

/// Folds together what was noted, so that it does not pile up while nobody reads. Wants to be called
/// every few seconds.
pub fn fold() {
    if let Some(handle) = handle() {
        handle.run_upkeep();
    }
}

/// What was noted, in text form; empty without a recorder.
pub(super) fn render() -> String {
    handle().map(|handle| handle.render()).unwrap_or_default()
}

fn handle() -> Option<PrometheusHandle> {
    HANDLE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
