//! Pauses, boots and the other things the daemon remembers about itself.

use super::writer::{Tx, Write};
use super::{Result, Store, StoreError};
use crate::domain::ids::Millis;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sqlx::SqliteExecutor;

/// The two things a person (or a refused key) can pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Switch {
    /// New side-effecting calls.
    Spending,
    /// Polls, downloads and looks at calls in doubt.
    Watching,
}

impl Switch {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Spending, Self::Watching];

    /// The word people type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spending => "spending",
            Self::Watching => "watching",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Spending => "pause.spending",
            Self::Watching => "pause.watching",
        }
    }
}

/// Who pauses when the key is refused; only a key that works again lifts such a pause by itself.
pub const BY_KEY_CHECK: &str = "key check";
/// Who pauses when credits run out.
pub const BY_DAEMON: &str = "daemon";
/// Who pauses while the disk is too full; lifted by itself when there is room again.
pub const BY_DISK: &str = "disk";

/// Why and since when something is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// One sentence.
    pub reason: String,
    /// `daemon` or who asked for it.
    pub by: String,
    /// Since when.
    pub at: Millis,
}

impl Pause {
    /// Whether the daemon set it because something has to be mended, not a person for a reason of
    /// their own. Whoever waits for work is told to go and mend it.
    pub fn is_automatic(&self) -> bool {
        self.by == BY_KEY_CHECK || self.by == BY_DAEMON
    }

    /// Whether it goes as it came: a full disk is often emptied by whatever filled it, so whoever
    /// waits for work goes on waiting.
    pub fn heals_by_itself(&self) -> bool {
        self.by == BY_DISK
    }
}

/// What is paused right now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pauses {
    /// New side-effecting calls.
    pub spending: Option<Pause>,
    /// Polls, downloads and looks.
    pub watching: Option<Pause>,
}

/// Sets a switch; one that is set already keeps its first reason. Only a person's pause replaces
/// one of the daemon's own, which would otherwise take the person's will with it when it is lifted;
/// and every other one replaces that for a full disk, which is the first to be lifted.
pub(super) async fn set_pause(
    tx: &mut Tx<'_>,
    switch: Switch,
    reason: &str,
    by: &str,
) -> Result<()> {
    let pause = Pause { reason: reason.to_owned(), by: by.to_owned(), at: tx.now };
    sqlx::query(
        "INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value, \
         updated_at = excluded.updated_at \
         WHERE json_extract(excluded.value, '$.by') <> $6 \
         AND (json_extract(value, '$.by') = $6 OR (json_extract(value, '$.by') IN ($4, $5) \
         AND json_extract(excluded.value, '$.by') NOT IN ($4, $5)))",
    )
    .bind(switch.setting())
    .bind(json(&pause)?)
    .bind(tx.now)
    .bind(BY_KEY_CHECK)
    .bind(BY_DAEMON)
    .bind(BY_DISK)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Refused(format!("a setting cannot be stored: {error}")))
}

/// Pauses something.
pub struct SetPause {
    /// What.
    pub switch: Switch,
    /// Why, as a sentence.
    pub reason: String,
    /// Who.
    pub by: String,
}

impl Write for SetPause {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { set_pause(tx, self.switch, &self.reason, &self.by).await })
    }
}

/// Whether a switch is set, inside a transaction.
pub(super) async fn is_paused(tx: &mut Tx<'_>, switch: Switch) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM settings WHERE name = $1)")
        .bind(switch.setting())
        .fetch_one(tx.aside())
        .await?)
}

/// Stores a setting inside a transaction, replacing an older value.
pub(super) async fn put(tx: &mut Tx<'_>, name: &str, value: &serde_json::Value) -> Result<()> {
    sqlx::query(
        "INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value, \
         updated_at = excluded.updated_at WHERE value IS NOT excluded.value",
    )
    .bind(name)
    .bind(value.to_string())
    .bind(tx.now)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// Removes a setting inside a transaction; answers whether there was one.
pub(super) async fn remove(tx: &mut Tx<'_>, name: &str) -> Result<bool> {
    let done = sqlx::query("DELETE FROM settings WHERE name = $1")
        .bind(name)
        .execute(tx.conn().await?)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Reads a setting inside a transaction.
pub(super) async fn read<T: DeserializeOwned>(
    tx: &mut Tx<'_>,
    name: &'static str,
) -> Result<Option<T>> {
    let value: Option<String> = sqlx::query_scalar("SELECT value FROM settings WHERE name = $1")
        .bind(name)
        .fetch_optional(tx.aside())
        .await?;
    value.map(|text| parse(name, &text)).transpose()
}

pub(super) fn parse<T: DeserializeOwned>(name: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
        table: "settings",
        row: name.to_owned(),
        problem: error.to_string(),
    })
}

/// Lifts a pause. Answers whether there was one.
pub struct ClearPause {
    /// What.
    pub switch: Switch,
    /// Only a pause that this one set; anybody's when empty.
    pub only_by: Option<&'static str>,
}

impl Write for ClearPause {
    type Output = bool;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let done = sqlx::query(
                "DELETE FROM settings WHERE name = $1 \
                 AND ($2 IS NULL OR json_extract(value, '$.by') = $2)",
            )
            .bind(self.switch.setting())
            .bind(self.only_by)
            .execute(tx.conn().await?)
            .await?;
            Ok(done.rows_affected() > 0)
        })
    }
}

/// Stores one setting under its name, replacing an older value.
pub struct PutSetting {
    /// The name.
    pub name: &'static str,
    /// The value, as JSON.
    pub value: serde_json::Value,
}

impl Write for PutSetting {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { put(tx, self.name, &self.value).await })
    }
}

/// Records the start of a daemon, and what it works by. Answers the boot's number.
pub struct Boot {
    /// The program's version.
    pub version: &'static str,
    /// Settings to store with it, by name, each as JSON.
    pub settings: Vec<(&'static str, serde_json::Value)>,
}

impl Write for Boot {
    type Output = i64;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<i64>> {
        Box::pin(async move {
            let done =
                sqlx::query("INSERT INTO boots (started_at, pid, version) VALUES ($1, $2, $3)")
                    .bind(tx.now)
                    .bind(i64::from(std::process::id()))
                    .bind(self.version)
                    .execute(tx.conn().await?)
                    .await?;
            for (name, value) in &self.settings {
                put(tx, name, value).await?;
            }
            Ok(done.last_insert_rowid())
        })
    }
}

/// Records the orderly end of a daemon.
pub struct Halt {
    /// The boot's number.
    pub boot: i64,
}

impl Write for Halt {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            sqlx::query("UPDATE boots SET stopped_at = $1 WHERE seq = $2")
                .bind(tx.now)
                .bind(self.boot)
                .execute(tx.conn().await?)
                .await?;
            Ok(())
        })
    }
}

/// One setting, by whatever can be asked.
pub(super) async fn stored<T: DeserializeOwned>(
    asked: impl SqliteExecutor<'_>,
    name: &'static str,
) -> Result<Option<T>> {
    let value: Option<String> = sqlx::query_scalar("SELECT value FROM settings WHERE name = $1")
        .bind(name)
        .fetch_optional(asked)
        .await?;
    value.map(|text| parse(name, &text)).transpose()
}

impl Store {
    /// What is paused right now.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn pauses(&self) -> Result<Pauses> {
        Ok(Pauses {
            spending: self.setting(Switch::Spending.setting()).await?,
            watching: self.setting(Switch::Watching.setting()).await?,
        })
    }

    /// One setting.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn setting<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>> {
        stored(self.readers(), name).await
    }
}
