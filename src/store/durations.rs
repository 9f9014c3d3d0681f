//! How long the vendor takes for a kind and model: a few numbers each, brought up to date in the
//! transaction that ends the work.

use super::writer::Tx;
use super::{Result, Store};
use crate::domain::duration::{self, Learned, Took};
use crate::domain::ids::{Id, Millis};
use crate::domain::work::{Kind, Work};

/// So many kinds and models are remembered; those not used for longest go first.
const MODELS: u32 = 64;

/// What a row is one of: trained models of one account take alike, public ones each their time.
/// `$1` is the row's id. When a job was accepted whose call was in doubt, nobody knows.
const LIKE_JOB: &str = "SELECT type AS kind, coalesce(model_name, \
     CASE WHEN model_id IS NULL THEN '' ELSE 'trained' END) AS model FROM jobs WHERE id = $1 \
     AND NOT EXISTS (SELECT 1 FROM intents WHERE subject = $1 AND doubt_at IS NOT NULL)";
const LIKE_TRAINING: &str = "SELECT 'training' AS kind, '' AS model FROM trainings WHERE id = $1 \
     AND NOT EXISTS (SELECT 1 FROM intents WHERE subject = $1 AND doubt_at IS NOT NULL)";

/// The question for what a row is one of; only what is looked at for long is worth it.
fn like(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Job => Some(LIKE_JOB),
        Kind::Training => Some(LIKE_TRAINING),
        Kind::Model | Kind::Upload | Kind::Output | Kind::Change => None,
    }
}

/// A stored value of another shape is as good as none: it is learnt anew.
fn read(text: Option<&str>) -> Learned {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Takes in how long a row took.
pub(super) async fn learn(tx: &mut Tx<'_>, work: &Work, took: Took) -> Result<()> {
    let Some(like) = like(work.kind) else {
        return Ok(());
    };
    let sql = format!(
        "SELECT l.kind, l.model, d.learnt FROM ({like}) l \
         LEFT JOIN durations d ON d.kind = l.kind AND d.model = l.model"
    );
    let found: Option<(String, String, Option<String>)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(work.id.to_string())
        .fetch_optional(tx.aside())
        .await?;
    let Some((kind, model, before)) = found else {
        return Ok(());
    };
    let mut learned = read(before.as_deref());
    learned.learn(took);
    sqlx::query(
        "INSERT INTO durations (kind, model, learnt, updated_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (kind, model) DO UPDATE SET learnt = excluded.learnt, \
         updated_at = excluded.updated_at",
    )
    .bind(kind)
    .bind(model)
    .bind(serde_json::json!(learned).to_string())
    .bind(tx.now)
    .execute(tx.aside_to_write())
    .await?;
    if before.is_none() {
        sqlx::query(
            "DELETE FROM durations WHERE (kind, model) NOT IN \
             (SELECT kind, model FROM durations ORDER BY updated_at DESC LIMIT $1)",
        )
        .bind(MODELS)
        .execute(tx.aside_to_write())
        .await?;
    }
    Ok(())
}

impl Store {
    /// How long after its acceptance a row is worth its first look (ms); 0: nothing is known.
    ///
    /// # Errors
    /// A database error.
    pub async fn first_look(&self, kind: Kind, id: Id) -> Result<Millis> {
        let Some(like) = like(kind) else {
            return Ok(0);
        };
        let sql = format!(
            "SELECT d.model = l.model, d.learnt FROM ({like}) l JOIN durations d ON d.kind = l.kind"
        );
        let known: Vec<(bool, String)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_all(self.readers())
            .await?;
        let of = |own: bool| {
            known.iter().filter(move |like| like.0 == own).map(|like| read(Some(&like.1)))
        };
        let others: Vec<Learned> = of(false).collect();
        let interval = kind.poll_interval(self.timing());
        Ok(duration::first_look(of(true).next().as_ref(), &others, interval))
    }
}
