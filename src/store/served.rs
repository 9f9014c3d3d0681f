//! What the gateway shows: models, pictures, videos and jobs, as the vendor's records need them.
//!
//! An id that was handed out stays: when a row was retried, its id stands for the newest attempt,
//! and lists show the first id.

use super::{Result, Store, rows, table};
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use sqlx::{AssertSqlSafe, FromRow};

/// A model.
#[derive(Clone, Debug, FromRow)]
pub struct ServedModel {
    /// The newest row.
    pub id: String,
    /// Of the row.
    pub state: String,
    /// Why it failed or waits for a person.
    pub error: Option<String>,
    /// The vendor's id.
    pub remote_id: Option<String>,
    /// The vendor's last word.
    pub remote_status: Option<String>,
    /// What it is called.
    pub name: String,
    /// Years.
    pub age: Option<i64>,
    /// `Female` or `Male`.
    pub gender: Option<String>,
    /// Free text.
    pub ethnicity: Option<String>,
    /// Free text.
    pub eye_color: Option<String>,
    /// Unix milliseconds.
    pub created_at: Millis,
    /// Unix milliseconds, of the model or its training.
    pub updated_at: Millis,
    /// Its newest training's state.
    pub training: Option<String>,
    /// Why that failed.
    pub training_error: Option<String>,
    /// Its deletion is asked for or done.
    pub deleted: bool,
    /// The row that it tries again.
    pub retry_of: Option<String>,
}

/// A photo, a produced picture or a video.
#[derive(Clone, Debug, FromRow)]
pub struct ServedMedia {
    /// Its row.
    pub id: String,
    /// `upload` or `output`.
    pub origin: String,
    /// `image` or `video`.
    pub media: String,
    /// `training`, `reference`; empty for an output.
    pub purpose: Option<String>,
    /// The model of ours that it belongs to.
    pub model_id: Option<String>,
    /// The public model that made it.
    pub model_name: Option<String>,
    /// The job that made it.
    pub job_id: Option<String>,
    /// Of the row.
    pub state: String,
    /// Why it failed or waits for a person.
    pub error: Option<String>,
    /// The vendor's id.
    pub remote_id: Option<String>,
    /// Unix milliseconds.
    pub created_at: Millis,
    /// Unix milliseconds.
    pub updated_at: Millis,
    /// Hash of the content, once it is here.
    pub sha256: Option<String>,
    /// Where an output is, below the data directory.
    pub path: Option<String>,
    /// By its first bytes.
    pub media_type: Option<String>,
    /// The enlarged picture of it, once there is one.
    pub enlarged: Option<String>,
    /// Its deletion is asked for or done.
    pub deleted: bool,
    /// The row that it tries again.
    pub retry_of: Option<String>,
}

/// A job.
#[derive(Clone, Debug, FromRow)]
pub struct ServedJob {
    /// The newest row.
    pub id: String,
    /// Of the row.
    pub state: String,
    /// Why it failed or waits for a person.
    pub error: Option<String>,
    /// The vendor's id.
    pub remote_id: Option<String>,
    /// The model of ours that it runs on.
    pub model_id: Option<String>,
    /// The public model that it runs on.
    pub model_name: Option<String>,
    /// As the vendor's list says.
    pub credits: Option<f64>,
    /// Unix milliseconds.
    pub created_at: Millis,
    /// Unix milliseconds.
    pub updated_at: Millis,
    /// The row that it tries again.
    pub retry_of: Option<String>,
}

/// Which pictures of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pictures {
    /// All.
    All,
    /// Training photos.
    Training,
    /// Reference pictures.
    Reference,
    /// Produced pictures.
    Produced,
}

/// A page of jobs by time, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobWindow {
    /// Unix milliseconds, included.
    pub start: Millis,
    /// Unix milliseconds, included.
    pub end: Millis,
    /// The last job of the page before.
    pub after: Option<(Millis, Id)>,
}

const GONE: &str = "EXISTS (SELECT 1 FROM changes c WHERE c.action = 'delete' \
     AND c.state NOT IN ('failed','cancelled') AND c.target = t.id)";

fn models() -> String {
    format!(
        "SELECT t.id, t.state, t.error, t.remote_id, t.remote_status, t.name, t.age, t.gender, \
         t.ethnicity, t.eye_color, t.created_at, max(t.updated_at, coalesce(r.updated_at, 0)) AS \
         updated_at, r.state AS training, r.error AS training_error, t.retry_of, {GONE} AS deleted \
         FROM models t LEFT JOIN trainings r ON r.id = (SELECT max(id) FROM trainings \
           WHERE model_id = t.id AND retried_by IS NULL)"
    )
}

/// What enlarged a row of `t`. The plus takes the column's affinity away, which the indexed
/// expression does not have; with it, SQLite would not use the index `jobs_enlarges`.
const ENLARGED: &str = "(SELECT o.id FROM jobs j JOIN outputs o ON o.job_id = j.id \
     AND o.state = 'succeeded' WHERE j.type = 'upscale' AND \
     coalesce(json_extract(j.request, '$.image.output'), json_extract(j.request, '$.image.upload')) \
     = +t.id ORDER BY o.id DESC LIMIT 1) AS enlarged";

fn uploads() -> String {
    format!(
        "SELECT t.id, 'upload' AS origin, 'image' AS media, t.purpose, t.model_id, \
         CAST(NULL AS TEXT) AS model_name, CAST(NULL AS TEXT) AS job_id, t.state, t.error, \
         t.remote_id, t.created_at, t.updated_at, t.sha256, CAST(NULL AS TEXT) AS path, \
         t.media_type, {ENLARGED}, {GONE} AS deleted, t.retry_of FROM uploads t"
    )
}

fn outputs() -> String {
    format!(
        "SELECT t.id, 'output' AS origin, t.media, CAST(NULL AS TEXT) AS purpose, k.model_id, \
         k.model_name, t.job_id, t.state, t.error, t.remote_id, t.created_at, t.updated_at, \
         t.sha256, t.path, t.media_type, {ENLARGED}, {GONE} AS deleted, t.retry_of \
         FROM outputs t JOIN jobs k ON k.id = t.job_id"
    )
}

const JOBS: &str = "SELECT t.id, t.state, t.error, t.remote_id, t.model_id, t.model_name, \
     t.credits, t.created_at, t.updated_at, t.retry_of FROM jobs t";

/// Every statement of this module that meets tables of any size, for a test of their plans.
#[doc(hidden)]
pub fn plans() -> Vec<(&'static str, String)> {
    let by_id = |rows: String| format!("{rows} WHERE t.id = 'x'");
    vec![
        ("model", by_id(models())),
        ("upload", by_id(uploads())),
        ("output", by_id(outputs())),
        ("outputs of a job", format!("{} WHERE t.job_id = 'x'", outputs())),
        ("job", by_id(JOBS.to_owned())),
        ("jobs", jobs_page()),
        ("videos", videos_page()),
        ("photos of a model", photos_of_model()),
        ("pictures of a model", produced_of_model()),
    ]
}

fn jobs_page() -> String {
    format!(
        "{JOBS} WHERE t.retried_by IS NULL AND t.created_at >= $1 AND t.created_at <= $2 \
         AND ($3 IS NULL OR (t.created_at, t.id) < ($3, $4)) \
         ORDER BY t.created_at DESC, t.id DESC LIMIT $5"
    )
}

fn videos_page() -> String {
    format!(
        "{} WHERE t.media = 'video' AND t.state = 'succeeded' AND k.retried_by IS NULL \
         AND NOT {GONE} ORDER BY t.created_at DESC, t.id DESC LIMIT $1 OFFSET $2",
        outputs()
    )
}

fn photos_of_model() -> String {
    format!(
        "SELECT t.id, 'upload' AS origin, t.created_at FROM uploads t WHERE t.model_id = $1 \
         AND ($2 IS NULL OR t.purpose = $2) AND t.state NOT IN ('failed','cancelled') \
         AND t.retried_by IS NULL AND NOT {GONE}"
    )
}

fn produced_of_model() -> String {
    format!(
        "SELECT t.id, 'output' AS origin, t.created_at FROM jobs k JOIN outputs t \
         ON t.job_id = k.id WHERE k.model_id = $1 AND t.media = 'image' \
         AND t.state = 'succeeded' AND k.retried_by IS NULL AND NOT {GONE}"
    )
}

impl Store {
    /// The row that an id of ours or the vendor's stands for now: the newest attempt.
    ///
    /// # Errors
    /// A database error.
    pub async fn served(&self, kind: Kind, text: &str) -> Result<Option<Id>> {
        let table = table(kind);
        let exact = Id::parse(text).map_or_else(String::new, |id| id.to_string());
        let sql = format!(
            "WITH RECURSIVE chain(id) AS (\
               SELECT id FROM (SELECT id FROM {table} WHERE id = $1 UNION ALL \
                 SELECT max(id) FROM {table} WHERE remote_id = $2) WHERE id IS NOT NULL \
               UNION SELECT t.retried_by FROM {table} t JOIN chain c ON t.id = c.id \
                 WHERE t.retried_by IS NOT NULL) SELECT max(id) FROM chain"
        );
        let found: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(exact)
            .bind(text)
            .fetch_one(self.readers())
            .await?;
        found.map(|id| rows::id(&id, table)).transpose()
    }

    /// The id that was handed out first for a row that is a retry.
    ///
    /// # Errors
    /// A database error.
    pub async fn first_id(&self, kind: Kind, id: &str, retry_of: Option<&str>) -> Result<String> {
        let Some(before) = retry_of else {
            return Ok(id.to_owned());
        };
        let table = table(kind);
        let sql = format!(
            "WITH RECURSIVE chain(id, before) AS (SELECT id, retry_of FROM {table} WHERE id = $1 \
             UNION SELECT t.id, t.retry_of FROM {table} t JOIN chain c ON t.id = c.before) \
             SELECT id FROM chain WHERE before IS NULL"
        );
        let first: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(before)
            .fetch_optional(self.readers())
            .await?;
        Ok(first.unwrap_or_else(|| before.to_owned()))
    }

    /// The same for a row that another one names.
    ///
    /// # Errors
    /// A database error.
    pub async fn first_of(&self, kind: Kind, id: &str) -> Result<String> {
        let sql = format!("SELECT retry_of FROM {} WHERE id = $1", table(kind));
        let before: Option<Option<String>> =
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(id).fetch_optional(self.readers()).await?;
        self.first_id(kind, id, before.flatten().as_deref()).await
    }

    /// One model.
    ///
    /// # Errors
    /// A database error.
    pub async fn served_model(&self, id: Id) -> Result<Option<ServedModel>> {
        let sql = format!("{} WHERE t.id = $1", models());
        Ok(sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(self.readers())
            .await?)
    }

    /// Models that are not deleted, newest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn served_models(&self, limit: i64, offset: i64) -> Result<Vec<ServedModel>> {
        let sql = format!(
            "{} WHERE t.retried_by IS NULL AND t.remote_status IS NOT 'deleted' AND NOT {GONE} \
             ORDER BY t.id DESC LIMIT $1 OFFSET $2",
            models()
        );
        Ok(sqlx::query_as(AssertSqlSafe(sql))
            .bind(limit)
            .bind(offset)
            .fetch_all(self.readers())
            .await?)
    }

    /// One photo (of `uploads`), or one produced picture or video (of `outputs`).
    ///
    /// # Errors
    /// A database error.
    pub async fn served_media(&self, kind: Kind, id: Id) -> Result<Option<ServedMedia>> {
        let rows = if kind == Kind::Upload { uploads() } else { outputs() };
        let sql = format!("{rows} WHERE t.id = $1");
        Ok(sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(self.readers())
            .await?)
    }

    /// Pictures of a model that are there or on their way, newest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn served_pictures(
        &self,
        model: Id,
        which: Pictures,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<ServedMedia>> {
        let (photos, produced) = (photos_of_model(), produced_of_model());
        let (rows, purpose) = match which {
            Pictures::All => (format!("{photos} UNION ALL {produced}"), None),
            Pictures::Training => (photos, Some("training")),
            Pictures::Reference => (photos, Some("reference")),
            // The unused parameter keeps its number.
            Pictures::Produced => (format!("{produced} AND $2 IS NULL"), None),
        };
        // The page first, what belongs to each row of it afterwards.
        let sql = format!(
            "SELECT id, origin FROM ({rows}) ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4"
        );
        let page: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(model.to_string())
            .bind(purpose)
            .bind(limit)
            .bind(offset)
            .fetch_all(self.readers())
            .await?;
        let mut out = Vec::with_capacity(page.len());
        for (id, origin) in page {
            let kind = if origin == "upload" { Kind::Upload } else { Kind::Output };
            out.extend(self.served_media(kind, rows::id(&id, table(kind))?).await?);
        }
        Ok(out)
    }

    /// Videos that are here, newest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn served_videos(&self, limit: i64, offset: i64) -> Result<Vec<ServedMedia>> {
        let sql = videos_page();
        Ok(sqlx::query_as(AssertSqlSafe(sql))
            .bind(limit)
            .bind(offset)
            .fetch_all(self.readers())
            .await?)
    }

    /// What a job brought home, in the vendor's order.
    ///
    /// # Errors
    /// A database error.
    pub async fn served_outputs(&self, job: &str) -> Result<Vec<ServedMedia>> {
        let sql = format!(
            "{} WHERE t.job_id = $1 AND t.state = 'succeeded' AND NOT {GONE} ORDER BY t.position",
            outputs()
        );
        Ok(sqlx::query_as(AssertSqlSafe(sql)).bind(job).fetch_all(self.readers()).await?)
    }

    /// One job.
    ///
    /// # Errors
    /// A database error.
    pub async fn served_job(&self, id: Id) -> Result<Option<ServedJob>> {
        let sql = format!("{JOBS} WHERE t.id = $1");
        Ok(sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(self.readers())
            .await?)
    }

    /// Jobs of a time, newest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn served_jobs(&self, window: JobWindow, limit: i64) -> Result<Vec<ServedJob>> {
        let sql = jobs_page();
        let (at, id) = window.after.unzip();
        Ok(sqlx::query_as(AssertSqlSafe(sql))
            .bind(window.start)
            .bind(window.end)
            .bind(at)
            .bind(id.map(|id| id.to_string()))
            .bind(limit)
            .fetch_all(self.readers())
            .await?)
    }
}
