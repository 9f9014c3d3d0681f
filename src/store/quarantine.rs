//! The quarantine of this database: set by the daemon, released by a person.

use super::chain;
use super::gap::{self, Settling};
use super::listing::LAST;
use super::settings;
use super::writer::{Tx, Write};
use super::{Result, Store, StoreError};
use crate::domain::ids::Millis;
use crate::domain::quarantine::{Class, Quarantine};
use crate::domain::schedule::Timing;
use crate::domain::work::Kind;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

/// The setting that holds the quarantine.
pub(super) const NAME: &str = "quarantine";
/// The setting that says why the account is not known to be ours yet; the views show it.
const UNSETTLED: &str = "account.unsettled";
/// The setting that holds what is known of the account.
const ACCOUNT: &str = "account";
/// The setting that holds this file's random.
const SALT: &str = "account.salt";
/// The setting after whose time something must be accepted to prove anything about the account.
const SINCE: &str = "account.since";
/// The vendor's lists reach back this far in one window; an older job may be forgotten there.
const RECENT: Millis = 7 * 24 * 60 * 60 * 1000;
/// So many known ids are enough to tell an account by.
const KNOWN: u32 = 3;
/// So many of what the vendor listed last are looked through for jobs of ours, and so many of our
/// newest models for those it must know: a start must not read the whole history.
const LOOKED_THROUGH: u32 = 64;

fn json<T: Serialize>(value: &T) -> Result<serde_json::Value> {
    serde_json::to_value(value)
        .map_err(|error| StoreError::Refused(format!("a setting cannot be stored: {error}")))
}

/// The quarantine, inside a transaction.
pub(super) async fn current(tx: &mut Tx<'_>) -> Result<Option<Quarantine>> {
    let value: Option<String> = sqlx::query_scalar("SELECT value FROM settings WHERE name = $1")
        .bind(NAME)
        .fetch_optional(tx.aside())
        .await?;
    value
        .map(|text| {
            serde_json::from_str(&text).map_err(|error| StoreError::Corrupt {
                table: "settings",
                row: NAME.to_owned(),
                problem: error.to_string(),
            })
        })
        .transpose()
}

/// Refuses a call of this kind while it must not go out. Asking for a file again is harmless, and
/// belongs to watching.
pub(super) fn refuse(quarantine: Option<Quarantine>, kind: Kind) -> Result<()> {
    match quarantine {
        Some(quarantine) if kind != Kind::Output || quarantine.doubts_the_account() => {
            Err(StoreError::Refused(format!(
                "the database is in quarantine: {}; `darkroom doctor` explains, `darkroom \
                 release` opens it",
                quarantine.reason
            )))
        }
        _ => Ok(()),
    }
}

/// Puts the database into quarantine. Answers the one that holds now, and whether that is news.
pub struct SetQuarantine {
    /// What was found.
    pub quarantine: Quarantine,
}

impl Write for SetQuarantine {
    type Output = (Quarantine, bool);

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<(Quarantine, bool)>> {
        Box::pin(async move {
            let before = current(tx).await?;
            let holds = match before.clone() {
                Some(before) => before.joined(self.quarantine.clone()),
                None => self.quarantine.clone(),
            };
            let news = before.as_ref() != Some(&holds);
            if news {
                settings::put(tx, NAME, &json(&holds)?).await?;
                settings::remove(tx, UNSETTLED).await?;
            }
            Ok((holds, news))
        })
    }
}

/// The account is ours after all, or again: lifts a quarantine about it, and only that. Answers
/// whether there was one.
pub struct AccountIsOurs {
    /// What to remember of it.
    pub account: KnownAccount,
}

impl Write for AccountIsOurs {
    type Output = bool;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            settings::remove(tx, UNSETTLED).await?;
            settings::put(tx, ACCOUNT, &json(&self.account)?).await?;
            match current(tx).await?.filter(Quarantine::doubts_the_account) {
                Some(quarantine) => lift(tx, &quarantine).await.map(|()| true),
                None => Ok(false),
            }
        })
    }
}

/// Ends a quarantine; one about the account gives back what it came on top of.
async fn lift(tx: &mut Tx<'_>, quarantine: &Quarantine) -> Result<()> {
    match &quarantine.beneath {
        Some(beneath) => settings::put(tx, NAME, &json(&**beneath)?).await,
        None => settings::remove(tx, NAME).await.map(drop),
    }
}

/// A person has said that the key which the vendor was asked with is the one to work with.
async fn take_for_ours(tx: &mut Tx<'_>, quarantine: &Quarantine) -> Result<()> {
    if quarantine.class == Class::Account {
        // What that one has listed so far is its history.
        settings::remove(tx, LAST).await?;
    }
    let facts = &quarantine.facts;
    let Some(base_url) = facts.base_url.clone() else { return Ok(()) };
    let digest = facts.digest.clone();
    let account = KnownAccount { base_url, proof: None, digest, forgotten: None };
    settings::put(tx, ACCOUNT, &json(&account)?).await
}

/// Makes this file's random, under which the digest of the key is kept, unless there is one. Answers
/// it.
pub struct AccountSalt;

impl Write for AccountSalt {
    type Output = String;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO settings (name, value, updated_at) \
                 VALUES ($1, json_quote(lower(hex(randomblob(16)))), $2) \
                 ON CONFLICT (name) DO NOTHING",
            )
            .bind(SALT)
            .bind(tx.now)
            .execute(tx.conn().await?)
            .await?;
            Ok(settings::read(tx, SALT).await?.unwrap_or_default())
        })
    }
}

/// Notes why it is not known yet whether the account is ours; the views tell people.
pub struct AccountIsUnsettled {
    /// As a sentence.
    pub reason: String,
}

impl Write for AccountIsUnsettled {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let value = serde_json::json!({ "class": "account", "reason": self.reason });
            settings::put(tx, UNSETTLED, &value).await
        })
    }
}

/// Releases the quarantine: the entry in the chain and the end of the quarantine, together.
/// Answers what was released.
pub struct Release {
    /// Who.
    pub by: String,
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// Whether the person was shown what the vendor has.
    pub listed: bool,
    /// What becomes of the jobs that nobody claims and of the orders that they fit; nothing while
    /// the account is in question.
    pub settling: Option<Settling>,
    /// The configured durations.
    pub timing: Timing,
}

impl Write for Release {
    type Output = Option<Quarantine>;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Option<Quarantine>>> {
        Box::pin(async move {
            let Some(quarantine) = current(tx).await? else {
                return Ok(None);
            };
            let intent: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM intents")
                .fetch_one(tx.conn().await?)
                .await?;
            let note = serde_json::json!({
                "by": self.by, "reason": self.reason, "listed": self.listed,
                "intent": intent, "quarantine": quarantine, "settling": self.settling,
            });
            chain::append_release(tx, &note.to_string()).await?;
            settings::remove(tx, UNSETTLED).await?;
            lift(tx, &quarantine).await?;
            if quarantine.doubts_the_account() {
                // What the vendor does not know now proves nothing at the next start either.
                settings::put(tx, SINCE, &serde_json::json!({ "at": tx.now })).await?;
                take_for_ours(tx, &quarantine).await?;
            } else if let Some(settling) = &self.settling {
                gap::settle(tx, settling, &self.by, &self.timing).await?;
            }
            Ok(Some(quarantine))
        })
    }
}

/// Each arm stops at its limit: they read as much with a million ended jobs as with ten.
const KNOWN_IDS: &str = "\
    WITH since(at) AS (SELECT coalesce((SELECT json_extract(value, '$.at') FROM settings \
                                        WHERE name = $1), 0)), \
      ours(kind, remote_id, accepted_at, watched, listed) AS ( \
        SELECT * FROM (SELECT 'job', j.remote_id, j.accepted_at, j.state = 'running', 1 \
          FROM (SELECT remote_id FROM listed_jobs ORDER BY seq DESC LIMIT $4) l \
          CROSS JOIN jobs j ON j.remote_id = l.remote_id \
          WHERE j.retried_by IS NULL AND (j.state = 'running' OR j.accepted_at > $2)) \
        UNION ALL \
        SELECT * FROM (SELECT 'job', remote_id, accepted_at, 0, 0 \
          FROM jobs INDEXED BY jobs_known WHERE remote_id IS NOT NULL AND retried_by IS NULL \
            AND state <> 'running' AND accepted_at > $2 ORDER BY accepted_at DESC LIMIT $3) \
        UNION ALL \
        SELECT * FROM (SELECT 'job', remote_id, accepted_at, 1, 0 \
          FROM jobs INDEXED BY jobs_running WHERE state = 'running' AND remote_id IS NOT NULL \
            AND retried_by IS NULL ORDER BY id DESC LIMIT $3) \
        UNION ALL \
        SELECT * FROM (SELECT 'model', m.remote_id, coalesce(m.accepted_at, m.created_at), \
            EXISTS (SELECT 1 FROM trainings t WHERE t.model_id = m.id AND t.state = 'running'), 0 \
          FROM models m WHERE m.remote_id IS NOT NULL AND m.state = 'succeeded' \
            AND m.retried_by IS NULL AND coalesce(m.remote_status, '') <> 'deleted' \
          ORDER BY m.id DESC LIMIT $4)) \
    SELECT kind, remote_id, max(accepted_at) AS accepted_at, watched FROM ours \
    WHERE accepted_at > (SELECT at FROM since) GROUP BY kind, remote_id \
    ORDER BY watched, max(listed) DESC, kind, accepted_at DESC LIMIT $3";

/// What this database knows of its account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAccount {
    /// Where the vendor was when it last knew us.
    pub base_url: String,
    /// The id of ours that proved it last.
    pub proof: Option<String>,
    /// The digest of key and address ([`AccountSalt`]).
    #[serde(default)]
    pub digest: Option<String>,
    /// An id of ours that it does not know any more, although the digest is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<String>,
}

/// Something that the vendor gave us and must still know.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct KnownId {
    /// `job` or `model`.
    pub kind: String,
    /// The vendor's id.
    pub remote_id: String,
    /// When the vendor took it.
    pub accepted_at: Millis,
    /// Whether a poll grid decides when it is looked at.
    pub watched: bool,
}

/// Paid work that has no result yet and would be sent, or may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Unsent {
    /// Our id.
    pub id: String,
    /// `job` or `training`.
    pub kind: String,
    /// What people call it.
    pub label: String,
    /// Where it stands.
    pub state: String,
}

impl Store {
    /// The quarantine that this database is in.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn quarantine(&self) -> Result<Option<Quarantine>> {
        self.setting(NAME).await
    }

    /// The account as last proved.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn known_account(&self) -> Result<Option<KnownAccount>> {
        self.setting(ACCOUNT).await
    }

    /// This file's random, if it has one yet.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn account_salt(&self) -> Result<Option<String>> {
        self.setting(SALT).await
    }

    /// What the vendor must know if the account is ours: jobs that it listed first, then others
    /// that are recent or run, then models that are not deleted. Those that run come last: their
    /// grid decides when they are looked at.
    ///
    /// # Errors
    /// A database error.
    pub async fn known_ids(&self) -> Result<Vec<KnownId>> {
        Ok(sqlx::query_as(KNOWN_IDS)
            .bind(SINCE)
            .bind(self.now() - RECENT)
            .bind(KNOWN)
            .bind(LOOKED_THROUGH)
            .fetch_all(self.readers())
            .await?)
    }

    /// Paid work that a release sets going, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn unsent_paid(&self) -> Result<Vec<Unsent>> {
        Ok(sqlx::query_as(
            "SELECT id, kind, label, state FROM work WHERE kind IN ('job', 'training') \
             AND state IN ('waiting', 'queued', 'submitting', 'in_doubt') ORDER BY id",
        )
        .fetch_all(self.readers())
        .await?)
    }
}
