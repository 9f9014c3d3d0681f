//! Whether the database is the one that made the calls: the chain against the high-water file.

use super::Report;
use crate::cli::release::advice;
use crate::domain::quarantine::HighWater;
use crate::engine::guard;
use crate::files::highwater;
use crate::store::report::Time;
use crate::store::{Store, StoreError};
use std::path::Path;

/// A database that is gone while its high-water file is not is lost, not new.
pub(super) fn no_database(dir: &Path, report: &mut Report) {
    match highwater::read(dir).counter().filter(|counter| *counter > 0) {
        None => report.ok("database", "none yet; the first request makes it"),
        Some(counter) => report.fail(
            "database",
            format!(
                "there is none, and the high-water file records {counter} entries about calls to \
                 the vendor: it was lost"
            ),
            "put the database back; no new one is made here unless you remove `highwater`",
        ),
    }
}

/// Whether the database is the one that made the calls, and what to do if it is not.
pub(super) async fn check(store: &Store, report: &mut Report) -> Result<(), StoreError> {
    let found = guard::assess(store).await?;
    let entries = found.chain.tip.counter;
    let file = match &found.file {
        HighWater::At(mark) => format!("the high-water file has seen {}", mark.counter),
        HighWater::Missing => "there is no high-water file".to_owned(),
        HighWater::Unreadable(problem) => format!("the high-water file is useless ({problem})"),
    };
    let numbers = format!("{entries} entries about calls in the database, {file}");
    let stored = found.stored;
    let since = stored.as_ref().map(|quarantine| Time(quarantine.at));
    let Some(quarantine) = stored.or(found.verdict) else {
        report.ok("high water", numbers);
        return Ok(());
    };
    let since = match since {
        Some(since) => format!("in quarantine since {since}, nothing is sent"),
        None => "the daemon would start in quarantine".to_owned(),
    };
    report.fail(
        "quarantine",
        format!("{since}: {} ({}; {numbers})", quarantine.reason, quarantine.class.as_str()),
        &format!(
            "{} `darkroom release` lists what the vendor has and opens the database",
            advice(quarantine.class)
        ),
    );
    Ok(())
}
