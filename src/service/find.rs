//! Ids as people type them: whole, their beginning, a name, or the vendor's.

use super::{Result, ServiceError, clean};
use crate::domain::ids::Id;
use crate::domain::work::Kind;
use crate::store::Store;
use crate::store::report::{Found, Noun};

/// The row that a text means.
///
/// # Errors
/// A sentence that says that there is none, or lists the candidates.
pub async fn subject(store: &Store, text: &str) -> Result<(Noun, Id)> {
    subject_among(store, text, &Noun::ALL).await
}

/// The same among some kinds only.
///
/// # Errors
/// As [`subject`].
pub async fn subject_among(store: &Store, text: &str, nouns: &[Noun]) -> Result<(Noun, Id)> {
    match store.find_among(text, nouns).await? {
        Found::One(noun, id) => Ok((noun, id)),
        Found::None => {
            let (what, list) = match nouns {
                [noun] => (noun.to_string(), format!("ls {}", noun.plural())),
                _ => ("id".to_owned(), "ls".to_owned()),
            };
            Err(ServiceError::unknown(
                "",
                format!("there is no {what} {text}; `darkroom {list}` shows what there is"),
            ))
        }
        Found::Many(candidates) => {
            let lines: Vec<String> = candidates
                .iter()
                .map(|hit| format!("  {}  {}", hit.id, clean(&hit.label)))
                .collect();
            Err(ServiceError::unknown(
                "",
                format!(
                    "{text} is the beginning of several ids; type more of it:\n{}",
                    lines.join("\n")
                ),
            ))
        }
    }
}

/// Several texts, in their order, each row once.
///
/// # Errors
/// As [`subject`], for the first text that means nothing or too much.
pub async fn subjects(store: &Store, texts: &[String]) -> Result<Vec<(Noun, Id)>> {
    let mut out = Vec::new();
    for text in texts {
        let found = subject(store, text).await?;
        if !out.contains(&found) {
            out.push(found);
        }
    }
    Ok(out)
}

/// The pieces of work that a subject stands for: a run's members; a model with its newest training
/// and its unfinished uploads; anything else itself.
///
/// # Errors
/// A database error.
pub async fn expand(store: &Store, noun: Noun, id: Id) -> Result<Vec<(Kind, Id)>> {
    Ok(match noun {
        Noun::Run => store.run_members(id).await?,
        Noun::Work(Kind::Model) => store.model_work(id).await?,
        Noun::Work(kind) => vec![(kind, id)],
    })
}
