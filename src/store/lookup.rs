//! What a command line refers to: rows by the beginning of an id, a name, or the vendor's id.
//!
//! Every lookup answers all rows that fit; whether more than one is a mistake is the caller's to
//! say, with words that fit the command.

use super::{Result, Store, rows};
use crate::domain::ids::Id;
use crate::domain::request::UploadPurpose;
use sqlx::{AssertSqlSafe, FromRow};

/// A model as a reference finds it.
#[derive(Clone, Debug)]
pub struct FoundModel {
    /// Ours.
    pub id: Id,
    /// What it is called.
    pub name: String,
    /// Of the row.
    pub state: String,
    /// The vendor's id, once known.
    pub remote_id: Option<String>,
    /// The vendor's word about it, once known.
    pub remote_status: Option<String>,
    /// Whether it was taken over instead of created.
    pub imported: bool,
    /// Its newest training and that one's state.
    pub training: Option<(Id, String)>,
}

/// An output as a reference finds it.
#[derive(Clone, Debug)]
pub struct FoundOutput {
    /// Ours.
    pub id: Id,
    /// `image` or `video`.
    pub media: String,
}

/// A job as a reference finds it.
#[derive(Clone, Debug)]
pub struct FoundJob {
    /// Ours.
    pub id: Id,
    /// `image`, `upscale` or `video`.
    pub kind: String,
    /// How many outputs it has, once the vendor has finished it.
    pub outputs: Option<u32>,
}

/// An upload as a reference finds it.
#[derive(Clone, Debug)]
pub struct FoundUpload {
    /// Ours.
    pub id: Id,
    /// The vendor's id, once it has arrived.
    pub remote_id: Option<String>,
}

/// What a key was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedKey {
    /// Hash of what was asked for.
    pub request_hash: String,
    /// What the caller got back.
    pub subject: Id,
}

/// Models, each with its newest training.
const MODELS: &str = "SELECT m.id, m.name, m.state, m.remote_id, m.remote_status, m.imported, \
     t.id AS training, t.state AS training_state FROM models m \
     LEFT JOIN trainings t ON t.id = (SELECT max(id) FROM trainings \
       WHERE model_id = m.id AND retried_by IS NULL)";

#[derive(FromRow)]
struct ModelColumns {
    id: String,
    name: String,
    state: String,
    remote_id: Option<String>,
    remote_status: Option<String>,
    imported: bool,
    training: Option<String>,
    training_state: Option<String>,
}

/// The lowest and the first excluded id that begin with `text`; `None` when no id can.
///
/// Ids are lower-case hex and dashes, all of which sort before `g`.
fn id_range(text: &str) -> Option<(String, String)> {
    let full = Id::parse(text).map(|id| id.to_string());
    let low = full.unwrap_or_else(|| text.to_ascii_lowercase());
    let fits = low.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    (fits && !low.is_empty() && low.len() <= 36).then(|| (low.clone(), format!("{low}g")))
}

/// A range that holds no id at all.
fn range_or_nothing(text: &str) -> (String, String) {
    id_range(text).unwrap_or_else(|| ("g".to_owned(), "g".to_owned()))
}

impl Store {
    /// Models by the beginning of an id, by name, or by the vendor's id.
    ///
    /// # Errors
    /// A database error.
    pub async fn models_like(&self, text: &str) -> Result<Vec<FoundModel>> {
        let (low, high) = range_or_nothing(text);
        let sql = format!(
            "{MODELS} WHERE (m.id >= $1 AND m.id < $2) \
             OR (m.retried_by IS NULL AND (m.remote_id = $3 \
               OR (m.name = $3 AND m.remote_status IS NOT 'deleted'))) ORDER BY m.id"
        );
        let found: Vec<ModelColumns> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(low)
            .bind(high)
            .bind(text)
            .fetch_all(self.readers())
            .await?;
        found.into_iter().map(ModelColumns::found).collect()
    }

    /// Every model, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn all_models(&self) -> Result<Vec<FoundModel>> {
        let sql = format!("{MODELS} WHERE m.retried_by IS NULL ORDER BY m.id");
        let found: Vec<ModelColumns> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(self.readers()).await?;
        found.into_iter().map(ModelColumns::found).collect()
    }

    /// The names of all models that are still of use.
    ///
    /// # Errors
    /// A database error.
    pub async fn model_names(&self) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT name FROM models WHERE state NOT IN ('failed','cancelled') \
             AND retried_by IS NULL ORDER BY name LIMIT 1000",
        )
        .fetch_all(self.readers())
        .await?)
    }

    /// Outputs by the beginning of an id.
    ///
    /// # Errors
    /// A database error.
    pub async fn outputs_like(&self, text: &str) -> Result<Vec<FoundOutput>> {
        let (low, high) = range_or_nothing(text);
        let found: Vec<(String, String)> = sqlx::query_as(
            "SELECT id, media FROM outputs WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 10",
        )
        .bind(low)
        .bind(high)
        .fetch_all(self.readers())
        .await?;
        found.into_iter().map(found_output).collect()
    }

    /// The newest output with this id at the vendor; a job that was fetched again has two.
    ///
    /// # Errors
    /// A database error.
    pub async fn output_with_remote_id(&self, remote_id: &str) -> Result<Option<FoundOutput>> {
        let found: Option<(String, String)> = sqlx::query_as(
            "SELECT id, media FROM outputs WHERE remote_id = $1 ORDER BY id DESC LIMIT 1",
        )
        .bind(remote_id)
        .fetch_optional(self.readers())
        .await?;
        found.map(found_output).transpose()
    }

    /// Jobs by the beginning of an id.
    ///
    /// # Errors
    /// A database error.
    pub async fn jobs_like(&self, text: &str) -> Result<Vec<FoundJob>> {
        let (low, high) = range_or_nothing(text);
        let found: Vec<(String, String, Option<u32>)> = sqlx::query_as(
            "SELECT id, type, CASE WHEN state IN ('collecting','succeeded') THEN \
             (SELECT count(*) FROM outputs WHERE job_id = jobs.id) END FROM jobs \
             WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 10",
        )
        .bind(low)
        .bind(high)
        .fetch_all(self.readers())
        .await?;
        let found = found
            .into_iter()
            .map(|(id, kind, outputs)| Ok(FoundJob { id: rows::id(&id, "jobs")?, kind, outputs }));
        found.collect()
    }

    /// Uploads by the beginning of an id, or by the vendor's id.
    ///
    /// # Errors
    /// A database error.
    pub async fn uploads_like(&self, text: &str) -> Result<Vec<FoundUpload>> {
        let (low, high) = range_or_nothing(text);
        let found: Vec<(String, Option<String>)> = sqlx::query_as(
            "SELECT id, remote_id FROM uploads WHERE (id >= $1 AND id < $2) \
             OR (remote_id = $3 AND retried_by IS NULL) ORDER BY id LIMIT 10",
        )
        .bind(low)
        .bind(high)
        .bind(text)
        .fetch_all(self.readers())
        .await?;
        let found = found
            .into_iter()
            .map(|(id, remote_id)| Ok(FoundUpload { id: rows::id(&id, "uploads")?, remote_id }));
        found.collect()
    }

    /// Runs by the beginning of an id or by name, with their names.
    ///
    /// # Errors
    /// A database error.
    pub async fn runs_like(&self, text: &str) -> Result<Vec<(Id, String)>> {
        let (low, high) = range_or_nothing(text);
        let found: Vec<(String, String)> = sqlx::query_as(
            "SELECT id, name FROM runs WHERE (id >= $1 AND id < $2) OR name = $3 ORDER BY id",
        )
        .bind(low)
        .bind(high)
        .bind(text)
        .fetch_all(self.readers())
        .await?;
        let found = found.into_iter().map(|(id, name)| Ok((rows::id(&id, "runs")?, name)));
        found.collect()
    }

    /// What a key was used for.
    ///
    /// # Errors
    /// A database error.
    pub async fn used_key(&self, key: &str) -> Result<Option<UsedKey>> {
        let found: Option<(String, String)> =
            sqlx::query_as("SELECT request_hash, subject FROM idempotency_keys WHERE key = $1")
                .bind(key)
                .fetch_optional(self.readers())
                .await?;
        found
            .map(|(request_hash, subject)| {
                Ok(UsedKey { request_hash, subject: rows::id(&subject, "idempotency_keys")? })
            })
            .transpose()
    }

    /// The newest training of a model.
    ///
    /// # Errors
    /// A database error.
    pub async fn training_of(&self, model: Id) -> Result<Option<Id>> {
        let found: Option<String> = sqlx::query_scalar(
            "SELECT max(id) FROM trainings WHERE model_id = $1 AND retried_by IS NULL",
        )
        .bind(model.to_string())
        .fetch_one(self.readers())
        .await?;
        found.map(|id| rows::id(&id, "trainings")).transpose()
    }

    /// The hashes of a model's photos that have arrived or are on their way.
    ///
    /// # Errors
    /// A database error.
    pub async fn photos_of(&self, model: Id, purpose: UploadPurpose) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "SELECT sha256 FROM uploads WHERE model_id = $1 AND purpose = $2 \
             AND state NOT IN ('failed','cancelled') AND retried_by IS NULL \
             AND NOT EXISTS (SELECT 1 FROM changes c WHERE c.target = uploads.id \
               AND c.state NOT IN ('failed','cancelled')) ORDER BY id",
        )
        .bind(model.to_string())
        .bind(super::submit::purpose_word(purpose))
        .fetch_all(self.readers())
        .await?)
    }

    /// How many trainings, jobs and uploads that belong to a model have not ended.
    ///
    /// # Errors
    /// A database error.
    pub async fn open_work_of(&self, model: Id) -> Result<u32> {
        Ok(sqlx::query_scalar(super::deletion::OPEN_WORK)
            .bind(model.to_string())
            .fetch_one(self.readers())
            .await?)
    }
}

fn found_output((id, media): (String, String)) -> Result<FoundOutput> {
    Ok(FoundOutput { id: rows::id(&id, "outputs")?, media })
}

impl ModelColumns {
    fn found(self) -> Result<FoundModel> {
        let training = match (self.training, self.training_state) {
            (Some(id), Some(state)) => Some((rows::id(&id, "trainings")?, state)),
            _ => None,
        };
        Ok(FoundModel {
            id: rows::id(&self.id, "models")?,
            name: self.name,
            state: self.state,
            remote_id: self.remote_id,
            remote_status: self.remote_status,
            imported: self.imported,
            training,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_begin_an_id_has_a_range() {
        assert_eq!(id_range("01A"), Some(("01a".to_owned(), "01ag".to_owned())));
        assert_eq!(id_range("Anna"), None);
        assert_eq!(id_range(""), None);
        let id = "018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f";
        assert_eq!(id_range(&id.replace('-', "")).unwrap().0, id);
        assert_eq!(id_range(&"0".repeat(37)), None);
    }
}
