//! `darkroom ls`: what there is.

use super::context::Context;
use super::out::{self, Look};
use super::submit::open_if_there;
use super::{CliError, table};
use crate::domain::work::{Kind, State};
use crate::service::find;
use crate::store::Store;
use crate::store::report::{Filter, Item, Noun};
use crate::store::settings::Pause;

/// What to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Trained people.
    Models,
    /// Photos on their way to a model.
    Uploads,
    /// Trainings.
    Trainings,
    /// Image, upscale and video jobs.
    Jobs,
    /// Produced files.
    Outputs,
    /// Executions of recipes.
    Runs,
    /// Updates and deletes of models.
    Changes,
    /// Everything that waits for a person.
    Attention,
}

impl What {
    fn noun(self) -> Option<Noun> {
        Some(match self {
            Self::Models => Noun::Work(Kind::Model),
            Self::Uploads => Noun::Work(Kind::Upload),
            Self::Trainings => Noun::Work(Kind::Training),
            Self::Jobs => Noun::Work(Kind::Job),
            Self::Outputs => Noun::Work(Kind::Output),
            Self::Runs => Noun::Run,
            Self::Changes => Noun::Work(Kind::Change),
            Self::Attention => return None,
        })
    }
}

/// List work: without a kind, what is live and what ended last.
#[derive(Clone, Debug, clap::Args)]
pub struct Ls {
    /// What to list.
    #[arg(value_enum)]
    what: Option<What>,
    /// Only rows in this state; may be repeated.
    #[arg(long, value_name = "STATE", value_parser = clap::builder::PossibleValuesParser::new(State::WORDS))]
    state: Vec<String>,
    /// Only what belongs to this model.
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// At most this many rows, newest first; 0 lists all [default: 50, without a kind 20].
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Leave out the line of column names.
    #[arg(long)]
    no_header: bool,
}

impl Ls {
    /// For all models.
    pub fn models() -> Self {
        let (state, model) = (Vec::new(), None);
        Self { what: Some(What::Models), state, model, limit: Some(0), no_header: false }
    }
}

/// Lists.
///
/// # Errors
/// No database, a bad id, or a database error.
pub async fn run(context: &Context, args: &Ls) -> Result<u8, CliError> {
    let Some(store) = open_if_there(context).await? else {
        return nothing_yet(context);
    };
    if args.what == Some(What::Attention) {
        return attention(context, &store, args).await;
    }
    let items = select(&store, args).await?;
    if context.global.json {
        out::json(&items)?;
    } else if context.global.quiet {
        for item in &items {
            out::line(&item.id.to_string())?;
        }
    } else {
        let mut look = Look::of_stdout(&context.global);
        look.header = !args.no_header;
        let columns = table::columns(args.what.and_then(What::noun));
        if items.is_empty() {
            out::talk("nothing here");
        } else {
            table::print(&store, &items, columns, &look).await?;
        }
        say_pauses(&store).await?;
    }
    Ok(super::exit::DONE)
}

/// Before anything was submitted there is no database, and nothing is wrong with that.
fn nothing_yet(context: &Context) -> Result<u8, CliError> {
    if context.global.json {
        out::json(&[(); 0])?;
    } else if !context.global.quiet {
        out::talk(&format!("nothing here yet ({})", context.paths.data_dir().display()));
    }
    Ok(super::exit::DONE)
}

/// What waits for a person: rows, and jobs at the vendor that are no rows.
async fn attention(context: &Context, store: &Store, args: &Ls) -> Result<u8, CliError> {
    let limit = match args.limit.unwrap_or(50) {
        0 => u32::MAX,
        limit => limit,
    };
    let duties = store.attention_page(limit, None).await?.items;
    if context.global.json {
        out::json(&duties)?;
    } else if context.global.quiet {
        for duty in &duties {
            out::line(&duty.id())?;
        }
    } else {
        let mut look = Look::of_stdout(&context.global);
        look.header = !args.no_header;
        if duties.is_empty() {
            out::talk("nothing here");
        } else {
            table::print_duties(store, &duties, &look).await?;
        }
        say_pauses(store).await?;
    }
    Ok(super::exit::DONE)
}

async fn select(store: &Store, args: &Ls) -> Result<Vec<Item>, CliError> {
    let model = match &args.model {
        Some(text) => {
            let model = [Noun::Work(Kind::Model)];
            Some(find::subject_among(store, text, &model).await?.1)
        }
        None => None,
    };
    let limit = args.limit.unwrap_or(if args.what.is_some() { 50 } else { 20 });
    let filter = Filter { states: args.state.clone(), model, limit };
    if let Some(noun) = args.what.and_then(What::noun) {
        return Ok(store.list(noun, &filter).await?);
    }
    if filter.states.is_empty() && model.is_none() {
        return Ok(store.overview(limit).await?);
    }
    let mut items = Vec::new();
    for noun in Noun::ALL {
        items.extend(store.list(noun, &filter).await?);
    }
    items.sort_by_key(|item| std::cmp::Reverse(item.updated_at));
    if limit > 0 {
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    Ok(items)
}

/// Says on stderr what is paused or in quarantine: it explains a list full of rows that do not move.
pub async fn say_pauses(store: &Store) -> Result<(), CliError> {
    if let Some(quarantine) = store.quarantine().await? {
        out::talk(&format!(
            "in quarantine, nothing is sent: {}; `darkroom doctor` explains, `darkroom release` \
             opens it",
            out::clean(&quarantine.reason)
        ));
    }
    let pauses = store.pauses().await?;
    for (word, pause) in [("spending", pauses.spending), ("watching", pauses.watching)] {
        if let Some(pause) = pause {
            out::talk(&pause_sentence(word, &pause));
        }
    }
    Ok(())
}

/// What is paused, by whom and why, and how it ends.
pub fn pause_sentence(word: &str, pause: &Pause) -> String {
    let said =
        format!("{word} is paused by {}: {}", out::clean(&pause.by), out::clean(&pause.reason));
    // Its reason says how it ends.
    if pause.heals_by_itself() {
        return said;
    }
    format!("{said}; `darkroom resume {word}` lifts it")
}
