//! From what a person typed to a row.

use super::super::{Result, Store, rows};
use super::Noun;
use crate::domain::ids::Id;
use crate::domain::work::Kind;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

/// More candidates than this are not listed.
const MANY: usize = 20;
/// Characters of an id that are its time stamp.
const SHORTEST: usize = 13;

/// One of several rows that a text may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is.
    pub noun: Noun,
    /// Its id.
    pub id: Id,
    /// How people call it.
    pub label: String,
}

/// What a text leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Exactly one row.
    One(Noun, Id),
    /// No row.
    None,
    /// Several rows; at most twenty of them are listed.
    Many(Vec<Candidate>),
}

/// The canonical spelling of the beginning of an id; `None` when it cannot be one.
fn id_prefix(text: &str) -> Option<String> {
    let digits: String =
        text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let hex = digits.chars().all(|c| c.is_ascii_hexdigit());
    if digits.is_empty() || digits.len() > 32 || !hex {
        return None;
    }
    let mut out = String::with_capacity(36);
    for (at, digit) in digits.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    Some(out)
}

/// Kinds whose vendor ids name exactly one thing, with an index to find them by.
const BY_REMOTE_ID: [Kind; 4] = [Kind::Model, Kind::Upload, Kind::Job, Kind::Output];

impl Store {
    /// Finds a row of any kind by a unique beginning of its id (case and dashes do not matter),
    /// by its exact vendor id, or a model by its exact name.
    ///
    /// # Errors
    /// A database error.
    pub async fn find(&self, text: &str) -> Result<Found> {
        self.find_among(text, &Noun::ALL).await
    }

    /// The same among some kinds only.
    ///
    /// # Errors
    /// A database error.
    pub async fn find_among(&self, text: &str, nouns: &[Noun]) -> Result<Found> {
        let text = text.trim();
        let mut hits = match id_prefix(text) {
            Some(prefix) => self.by_prefix(&prefix, nouns).await?,
            None => Vec::new(),
        };
        if hits.is_empty() && !text.is_empty() {
            hits = self.by_remote_id(text, nouns).await?;
        }
        if hits.is_empty() && nouns.contains(&Noun::Work(Kind::Model)) {
            hits = self.by_model_name(text).await?;
        }
        match hits.as_slice() {
            [] => Ok(Found::None),
            [(noun, id)] => Ok(Found::One(*noun, *id)),
            _ => Ok(Found::Many(self.candidates(hits).await?)),
        }
    }

    async fn by_prefix(&self, prefix: &str, nouns: &[Noun]) -> Result<Vec<(Noun, Id)>> {
        let mut out = Vec::new();
        for noun in nouns {
            // A range, so that the primary key's index answers; 'g' follows every hex digit.
            let sql = format!(
                "SELECT id FROM {} WHERE id >= $1 AND id < $1 || 'g' ORDER BY id LIMIT {}",
                noun.plural(),
                MANY + 1
            );
            let ids: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(prefix)
                .fetch_all(self.readers())
                .await?;
            for id in ids {
                out.push((*noun, rows::id(&id, noun.plural())?));
            }
        }
        Ok(out)
    }

    /// For each of these ids its shortest beginning that names no other row of any kind, but never
    /// fewer than its time stamp's digits.
    ///
    /// # Errors
    /// A database error.
    pub async fn short_ids(&self, ids: &[Id]) -> Result<BTreeMap<Id, String>> {
        // In order of ids, only the two neighbours in each table can share more than the others.
        let neighbours = |noun: &Noun| {
            let table = noun.plural();
            format!(
                "SELECT j.value, (SELECT max(id) FROM {table} WHERE id < j.value), \
                 (SELECT min(id) FROM {table} WHERE id > j.value) FROM json_each($1) j"
            )
        };
        let sql = Noun::ALL.iter().map(neighbours).collect::<Vec<_>>().join(" UNION ALL ");
        let found: Vec<(String, Option<String>, Option<String>)> =
            sqlx::query_as(AssertSqlSafe(sql))
                .bind(super::items::json_list(ids))
                .fetch_all(self.readers())
                .await?;
        let mut out: BTreeMap<Id, usize> = ids.iter().map(|id| (*id, SHORTEST)).collect();
        for (id, before, after) in found {
            let Some(length) = Id::parse(&id).and_then(|id| out.get_mut(&id)) else { continue };
            for other in before.iter().chain(&after) {
                let shared = id.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
                *length = (*length).max(shared + 1);
            }
        }
        Ok(out
            .into_iter()
            .map(|(id, length)| (id, id.to_string().chars().take(length).collect()))
            .collect())
    }

    async fn by_remote_id(&self, text: &str, nouns: &[Noun]) -> Result<Vec<(Noun, Id)>> {
        let mut out = Vec::new();
        for kind in BY_REMOTE_ID {
            if !nouns.contains(&Noun::Work(kind)) {
                continue;
            }
            let sql = format!(
                "SELECT id FROM {} WHERE remote_id = $1 AND retried_by IS NULL \
                 ORDER BY id DESC LIMIT 1",
                super::super::table(kind)
            );
            let id: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(text)
                .fetch_optional(self.readers())
                .await?;
            if let Some(id) = id {
                out.push((Noun::Work(kind), rows::id(&id, super::super::table(kind))?));
            }
        }
        Ok(out)
    }

    async fn by_model_name(&self, text: &str) -> Result<Vec<(Noun, Id)>> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM models WHERE name = $1 AND retried_by IS NULL \
             AND remote_status IS NOT 'deleted'",
        )
        .bind(text)
        .fetch_all(self.readers())
        .await?;
        ids.iter().map(|id| Ok((Noun::Work(Kind::Model), rows::id(id, "models")?))).collect()
    }

    async fn candidates(&self, hits: Vec<(Noun, Id)>) -> Result<Vec<Candidate>> {
        let mut out = Vec::new();
        for (noun, id) in hits.into_iter().take(MANY) {
            let label = self.label(noun, id).await?;
            out.push(Candidate { noun, id, label });
        }
        Ok(out)
    }

    /// How people call a row.
    ///
    /// # Errors
    /// A database error.
    pub async fn label(&self, noun: Noun, id: Id) -> Result<String> {
        let sql = match noun {
            Noun::Work(_) => "SELECT label FROM named WHERE id = $1 AND kind = $2",
            Noun::Run => "SELECT 'run ' || name FROM runs WHERE id = $1 AND $2 = 'run'",
        };
        let label: Option<String> = sqlx::query_scalar(sql)
            .bind(id.to_string())
            .bind(noun.as_str())
            .fetch_optional(self.readers())
            .await?;
        Ok(label.unwrap_or_else(|| noun.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::id_prefix;

    #[test]
    fn dashes_and_case_do_not_matter() {
        assert_eq!(id_prefix("0199ABcd").as_deref(), Some("0199abcd"));
        assert_eq!(id_prefix("0199abcd-").as_deref(), Some("0199abcd"));
        assert_eq!(id_prefix("0199abcdef").as_deref(), Some("0199abcd-ef"));
        assert_eq!(id_prefix("0199abcd-ef").as_deref(), Some("0199abcd-ef"));
        assert_eq!(
            id_prefix("0199abcdef01712389abcdef01234567").as_deref(),
            Some("0199abcd-ef01-7123-89ab-cdef01234567")
        );
    }

    #[test]
    fn other_texts_are_no_ids() {
        assert_eq!(id_prefix(""), None);
        assert_eq!(id_prefix("--"), None);
        assert_eq!(id_prefix("job_17"), None);
        assert_eq!(id_prefix(&"a".repeat(33)), None);
    }
}
