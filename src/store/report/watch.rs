//! Noticing that anybody changed the file.

use super::super::open::db_path;
use super::super::{Result, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use std::time::Duration;

/// How often the file is asked; one pragma, no I/O beyond a look at the WAL's header.
const EVERY: Duration = Duration::from_millis(250);

/// Wakes whoever shows things when another connection has committed, daemon or command.
pub struct Watcher {
    conn: SqliteConnection,
    seen: i64,
}

impl Store {
    /// A watcher that reports every commit from now on.
    ///
    /// # Errors
    /// A database error.
    pub async fn watcher(&self) -> Result<Watcher> {
        // Its own connection: the pragma counts the commits of all others.
        let mut conn = SqliteConnectOptions::new()
            .filename(db_path(self.data_dir()))
            .read_only(true)
            .disable_statement_logging()
            .connect()
            .await?;
        let seen = data_version(&mut conn).await?;
        Ok(Watcher { conn, seen })
    }
}

impl Watcher {
    /// Returns once something was committed since the last return. Safe to drop half-way.
    ///
    /// # Errors
    /// A database error.
    pub async fn changed(&mut self) -> Result<()> {
        loop {
            let now = data_version(&mut self.conn).await?;
            if now != self.seen {
                self.seen = now;
                return Ok(());
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

async fn data_version(conn: &mut SqliteConnection) -> Result<i64> {
    Ok(sqlx::query_scalar("PRAGMA data_version").fetch_one(conn).await?)
}
