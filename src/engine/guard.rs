//! Keeps an old or damaged copy of the database from buying everything again: the comparison of
//! the chain with the high-water file, at boot, before each paid call, and bit by bit in between.

use super::Engine;
use crate::domain::quarantine::{self, Chain, Class, Facts, HighWater, Mark, Quarantine};
use crate::files::highwater;
use crate::store::quarantine::SetQuarantine;
use crate::store::{Store, StoreError};
use std::sync::PoisonError;

/// How many entries of the chain one sweep checks: some ten milliseconds of reading.
const SCRUB: u32 = 5_000;

/// How a database and its high-water file stand to each other.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// What the file says.
    pub file: HighWater,
    /// What the database says.
    pub chain: Chain,
    /// What follows from it; a quarantine that is stored already is another matter.
    pub verdict: Option<Quarantine>,
    /// The one that is stored already.
    pub stored: Option<Quarantine>,
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// Compares the two; changes nothing.
///
/// # Errors
/// A database error.
pub async fn assess(store: &Store) -> Result<Assessment, StoreError> {
    let dir = store.data_dir().to_path_buf();
    // The file first: a call that is made meanwhile puts the database ahead, which is normal.
    let file = blocking(move || Ok(highwater::read(&dir)))
        .await
        .unwrap_or_else(|error| HighWater::Unreadable(error.to_string()));
    let (chain, stored) = store.chain_facts(file.counter()).await?;
    let verdict = quarantine::judge(&file, &chain, store.now());
    Ok(Assessment { file, chain, verdict, stored })
}

/// Before anything is sent or recovered: puts the database into quarantine if it has to be. Answers
/// what the file has to say next, which [`raise_at_boot`] sees to; nothing in quarantine.
///
/// # Errors
/// A database error.
pub async fn at_boot(store: &Store) -> Result<Option<Mark>, StoreError> {
    let found = assess(store).await?;
    let holds = match found.verdict {
        Some(verdict) => {
            set(store, verdict).await?;
            store.quarantine().await?
        }
        None => found.stored,
    };
    if let Some(quarantine) = &holds {
        tracing::error!(
            class = quarantine.class.as_str(),
            "in quarantine, so nothing is sent: {}; `darkroom doctor` explains, `darkroom \
             release` opens it",
            quarantine.reason
        );
        return Ok(None);
    }
    Ok(Some(found.chain.tip))
}

/// Before anything is sent: brings the file up to the database as it was found. In quarantine it is
/// evidence until a person has decided.
///
/// # Errors
/// A file that cannot be made.
pub async fn raise_at_boot(store: &Store, found: Option<&Mark>) -> Result<(), StoreError> {
    let Some(mark) = found.cloned() else { return Ok(()) };
    let failed = |source| StoreError::Io { path: highwater::path(store.data_dir()), source };
    let dir = store.data_dir().to_path_buf();
    blocking(move || highwater::write(&dir, &mark)).await.map_err(failed)
}

async fn set(store: &Store, quarantine: Quarantine) -> Result<bool, StoreError> {
    Ok(store.writer().write(SetQuarantine { quarantine }).await?.1)
}

/// Brings the file up to the database. Returns once it is durable.
///
/// # Errors
/// What the system says, or the database; the file says what it said before.
pub async fn raise(store: &Store) -> std::io::Result<()> {
    let mark = store.chain_tip().await.map_err(std::io::Error::other)?;
    let dir = store.data_dir().to_path_buf();
    blocking(move || highwater::write(&dir, &mark)).await
}

/// Makes the file say what the database says, even if that is less: a person has decided so.
///
/// # Errors
/// As [`raise`].
pub async fn accept(store: &Store) -> std::io::Result<()> {
    let mark = store.chain_tip().await.map_err(std::io::Error::other)?;
    let dir = store.data_dir().to_path_buf();
    blocking(move || highwater::reset(&dir, &mark)).await
}

impl Engine {
    /// The quarantine that the database is in.
    ///
    /// # Errors
    /// A database error.
    pub async fn quarantine(&self) -> Result<Option<Quarantine>, StoreError> {
        self.store.quarantine().await
    }

    /// Records in the high-water file that a paid call is about to leave.
    ///
    /// # Errors
    /// A sentence; the call must not leave then.
    pub(super) async fn mark_high_water(&self) -> Result<(), String> {
        raise(&self.store).await.map_err(|error| {
            format!(
                "{} could not be written ({error}), and without it a paid call does not go out",
                highwater::path(self.data_dir()).display()
            )
        })
    }

    /// Checks the next part of the chain, and begins anew at its end.
    pub(super) async fn scrub(&self) {
        let from = *self.scrubbed.lock().unwrap_or_else(PoisonError::into_inner);
        let checked = match self.store.check_chain(from, SCRUB).await {
            Ok(checked) => checked,
            Err(error) => return tracing::warn!("the chain could not be checked: {error}"),
        };
        let next = if checked.at_end { 0 } else { checked.upto };
        *self.scrubbed.lock().unwrap_or_else(PoisonError::into_inner) = next;
        let Some(fault) = checked.fault else { return };
        let facts = Facts { database: checked.upto, ..Facts::default() };
        let quarantine = Quarantine {
            reason: quarantine::broken(&fault),
            class: Class::Broken,
            at: self.now(),
            facts,
            beneath: None,
        };
        self.enter(quarantine).await;
    }

    /// Puts the database into quarantine while the daemon runs. Answers whether that is stored.
    pub(super) async fn enter(&self, quarantine: Quarantine) -> bool {
        let reason = quarantine.reason.clone();
        let stored = set(&self.store, quarantine).await;
        match &stored {
            Ok(true) => tracing::error!("in quarantine, so nothing is sent: {reason}"),
            Ok(false) => {}
            Err(error) => tracing::error!("the quarantine could not be stored: {error}"),
        }
        self.wake();
        stored.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::schedule::Timing;
    use crate::store::quarantine::Release;
    use std::sync::Arc;

    async fn boot(store: &Store) -> Option<Quarantine> {
        let found = at_boot(store).await.unwrap();
        raise_at_boot(store, found.as_ref()).await.unwrap();
        let holds = store.quarantine().await.unwrap();
        assert_eq!(found.is_some(), holds.is_none());
        holds
    }

    #[tokio::test]
    async fn a_release_that_is_cut_off_leaves_it_closed_and_one_that_is_whole_opens_it() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(7));
        let store = Store::open(dir.path(), clock, Timing::default()).await.unwrap();
        assert_eq!(boot(&store).await, None);
        let fresh = HighWater::At(quarantine::Mark::default());
        assert_eq!(highwater::read(dir.path()), fresh, "a fresh one gets its file");

        highwater::write(dir.path(), &quarantine::Mark { counter: 9, ..Default::default() })
            .unwrap();
        let found = boot(&store).await.unwrap();
        assert_eq!((found.class, found.facts.file), (Class::Behind, Some(9)));
        let evidence = highwater::read(dir.path());
        assert_eq!(boot(&store).await, Some(found.clone()), "every boot finds it");
        assert_eq!(highwater::read(dir.path()), evidence, "and leaves the evidence alone");

        accept(&store).await.unwrap();
        assert_eq!(highwater::read(dir.path()), fresh);
        assert_eq!(boot(&store).await, Some(found.clone()), "cut off half-way");
        let release = || Release {
            by: "test".to_owned(),
            reason: None,
            listed: true,
            settling: None,
            timing: Timing::default(),
        };
        assert_eq!(store.writer().write(release()).await.unwrap(), Some(found));
        assert_eq!(store.writer().write(release()).await.unwrap(), None);
        assert_eq!(boot(&store).await, None);
        assert_eq!(highwater::read(dir.path()).counter(), Some(1), "the release is an entry");
        std::fs::remove_file(highwater::path(dir.path())).unwrap();
        assert_eq!(boot(&store).await.unwrap().class, Class::Missing);
    }
}
