//! Runs: as far as their members are.

use super::super::{Result, Store, rows};
use super::detail::{Detail, OutputFile};
use super::items::{Filter, Item, json_list, sql_limit};
use super::{Noun, Time};
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use sqlx::FromRow;
use std::collections::BTreeMap;

#[derive(FromRow)]
struct RunRow {
    id: String,
    name: String,
    state: String,
    why: String,
    done: i64,
    total: i64,
    created_at: Millis,
}

impl Store {
    /// The pieces of work of a run, without those that were tried again.
    ///
    /// # Errors
    /// A database error.
    pub async fn run_members(&self, run: Id) -> Result<Vec<(Kind, Id)>> {
        let found: Vec<(String, String)> =
            sqlx::query_as("SELECT kind, id FROM run_members WHERE run_id = $1 ORDER BY id")
                .bind(run.to_string())
                .fetch_all(self.readers())
                .await?;
        found
            .iter()
            .filter_map(|(kind, id)| Some((Kind::parse(kind)?, id)))
            .map(|(kind, id)| Ok((kind, rows::id(id, super::super::table(kind))?)))
            .collect()
    }

    /// Runs, newest first, without their members.
    pub(super) async fn list_runs(&self, filter: &Filter) -> Result<Vec<Item>> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM run_status r \
             WHERE ($1 = '[]' OR state IN (SELECT value FROM json_each($1))) \
             AND ($2 IS NULL OR EXISTS (SELECT 1 FROM jobs j \
               WHERE j.run_id = r.id AND j.model_id = $2)) ORDER BY id DESC LIMIT $3",
        )
        .bind(json_list(&filter.states))
        .bind(filter.model.map(|id| id.to_string()))
        .bind(sql_limit(filter.limit))
        .fetch_all(self.readers())
        .await?;
        let ids = ids.iter().map(|id| rows::id(id, "runs")).collect::<Result<Vec<_>>>()?;
        let mut out = self.runs(&ids).await?;
        for item in &mut out {
            if let Detail::Run { members, .. } = &mut item.detail {
                *members = None;
            }
        }
        Ok(out)
    }

    /// These runs with everything in them, newest first.
    pub(super) async fn runs(&self, ids: &[Id]) -> Result<Vec<Item>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<RunRow> = sqlx::query_as(
            "SELECT s.id, s.name, s.state, s.why, s.done, s.total, r.created_at \
             FROM run_status s JOIN runs r ON r.id = s.id \
             WHERE s.id IN (SELECT value FROM json_each($1)) ORDER BY s.id DESC",
        )
        .bind(json_list(ids))
        .fetch_all(self.readers())
        .await?;
        let mut members = self.members_of(ids).await?;
        found
            .into_iter()
            .map(|row| {
                let members = members.remove(&row.id).unwrap_or_default();
                run_item(row, members)
            })
            .collect()
    }

    async fn members_of(&self, runs: &[Id]) -> Result<BTreeMap<String, Vec<Item>>> {
        let found: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT run_id, kind, id FROM run_members \
             WHERE run_id IN (SELECT value FROM json_each($1))",
        )
        .bind(json_list(runs))
        .fetch_all(self.readers())
        .await?;
        let run_of: BTreeMap<&str, &str> =
            found.iter().map(|(run, _, id)| (id.as_str(), run.as_str())).collect();
        let mut out: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        for kind in Kind::ALL {
            let ids = found
                .iter()
                .filter(|(_, word, _)| word == kind.as_str())
                .map(|(_, _, id)| rows::id(id, super::super::table(kind)))
                .collect::<Result<Vec<_>>>()?;
            // Oldest first: a run reads from its beginning to its end.
            for item in self.items(kind, &ids).await?.into_iter().rev() {
                if let Some(run) = run_of.get(item.id.to_string().as_str()) {
                    out.entry((*run).to_owned()).or_default().push(item);
                }
            }
        }
        Ok(out)
    }
}

fn run_item(row: RunRow, members: Vec<Item>) -> Result<Item> {
    let created = Time(row.created_at);
    let finished = members.iter().map(|item| item.finished_at).collect::<Option<Vec<_>>>();
    let trouble = |state: &str| {
        members
            .iter()
            .filter(|item| item.state == state)
            // The cause before its victims.
            .min_by_key(|item| item.error_class.as_deref() == Some("dependency"))
    };
    let culprit = match row.state.as_str() {
        word @ ("attention" | "failed") => trouble(word),
        _ => None,
    };
    let outputs: Vec<OutputFile> = members
        .iter()
        .filter_map(|item| match &item.detail {
            Detail::Job { outputs, .. } => Some(outputs.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    Ok(Item {
        id: rows::id(&row.id, "runs")?,
        kind: Noun::Run,
        state: row.state,
        remote_id: None,
        error: culprit.and_then(|item| item.error.as_ref().map(|e| format!("{}: {e}", item.label))),
        error_class: culprit.and_then(|item| item.error_class.clone()),
        created_at: created,
        updated_at: members.iter().map(|item| item.updated_at).max().unwrap_or(created),
        due_at: members.iter().filter_map(|item| item.due_at).min(),
        finished_at: finished.and_then(|times| times.into_iter().max()),
        label: format!("run {}", row.name),
        why: row.why,
        flag: None,
        note: None,
        attempt: 0,
        accepted_at: None,
        cancel_requested_at: None,
        retry_of: None,
        retried_by: None,
        version: None,
        detail: Detail::Run {
            name: row.name,
            done: row.done,
            total: row.total,
            members: Some(members),
            outputs,
        },
    })
}
