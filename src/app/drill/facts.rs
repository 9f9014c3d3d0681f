//! What is compared at the end: what was ordered, what the database says, what the vendor did,
//! what lies on disk. Stored beside the database, so that it can be compared again.

use super::world;
use crate::cli::CliError;
use crate::cli::drill::Profile;
use crate::store::audit::{Audit, AuditRow, Doubts, OpenCall, SentCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The diary's file name below the drill's folder.
const DIARY: &str = "drill.json";

/// A piece of work that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ordered {
    /// The command's word.
    pub(super) command: String,
    /// The idempotency key.
    pub(super) key: String,
    /// The id that the command answered.
    pub(super) id: Option<String>,
    /// What it said instead, if it refused.
    pub(super) refused: Option<String>,
}

/// One kill.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Killed {
    /// When the daemon was gone (Unix ms).
    pub(super) at: i64,
    /// Whether the instant was counted from a call's begin rather than from the life's.
    pub(super) aimed: bool,
    /// The calls that were out.
    pub(super) calls: Vec<OpenCall>,
}

/// What a drill remembers of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Diary {
    pub(super) seed: u64,
    pub(super) profile: Profile,
    pub(super) kills: u32,
    pub(super) orders: Vec<Ordered>,
    pub(super) killed: Vec<Killed>,
    pub(super) commands_killed: u32,
    pub(super) seconds: f64,
    /// Seconds between the last kill and the end of all work.
    pub(super) drained: f64,
    /// What the last daemon answered to SIGTERM.
    pub(super) exit_code: Option<i32>,
    pub(super) ledger: Value,
}

impl Diary {
    /// Writes it down.
    pub(super) fn save(&self, dir: &Path) -> Result<(), CliError> {
        let path = dir.join(DIARY);
        let text = serde_json::to_string(self).unwrap_or_default();
        std::fs::write(&path, text)
            .map_err(|error| CliError::Error(format!("{}: {error}", path.display())))
    }

    /// Reads what an earlier drill wrote.
    pub(super) fn load(dir: &Path) -> Result<Self, CliError> {
        let path = dir.join(DIARY);
        let bad = |why: String| {
            CliError::Usage(format!("{} is no folder of a drill: {why}", dir.display()))
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| bad(format!("{}: {error}", path.display())))?;
        serde_json::from_str(&text).map_err(|error| bad(format!("{}: {error}", path.display())))
    }
}

/// One thing that really happened at the vendor.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Effect {
    /// Its place in the ledger.
    #[serde(default)]
    pub(super) seq: u64,
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) at: i64,
    pub(super) model_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) content_sha256: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) request: Option<Value>,
    /// The first effect of the same request, if the network delivered it twice.
    #[serde(default)]
    pub(super) double_of: Option<u64>,
    /// How a job stands.
    pub(super) status: Option<String>,
    /// What a job made.
    #[serde(default)]
    pub(super) outputs: Vec<String>,
}

/// What is true of a file that should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    Whole,
    Missing,
    Damaged,
}

/// Everything that the verdict is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) orders: Vec<Ordered>,
    pub(super) rows: Vec<AuditRow>,
    pub(super) dependencies: Vec<(String, String)>,
    pub(super) calls: Vec<SentCall>,
    pub(super) doubts: Doubts,
    pub(super) effects: Vec<Effect>,
    /// Jobs that the database reports as claimed by no row.
    pub(super) unclaimed: BTreeSet<String>,
    /// By the output's id.
    pub(super) files: BTreeMap<String, FileState>,
}

impl Facts {
    /// Reads it all; changes nothing.
    pub(super) async fn gather(dir: &Path, diary: &Diary) -> Result<Self, CliError> {
        let data = world::data(dir);
        let Some(mut audit) = Audit::open(&data).await? else {
            return Err(CliError::Error(format!("there is no database in {}", data.display())));
        };
        let mut facts = Self {
            orders: diary.orders.clone(),
            rows: audit.rows().await?,
            dependencies: audit.dependencies().await?,
            calls: audit.calls().await?,
            doubts: audit.doubts().await?,
            effects: effects(&diary.ledger)?,
            unclaimed: audit.unclaimed().await?.into_iter().collect(),
            files: BTreeMap::new(),
        };
        audit.close().await?;
        facts.files = files(&data, &facts.rows);
        Ok(facts)
    }
}

/// The effects of a ledger.
pub(super) fn effects(ledger: &Value) -> Result<Vec<Effect>, CliError> {
    let list = ledger.get("effects").cloned().unwrap_or(Value::Null);
    serde_json::from_value(list)
        .map_err(|error| CliError::Error(format!("the ledger cannot be read: {error}")))
}

/// Looks at the file of every output that succeeded.
fn files(data: &Path, rows: &[AuditRow]) -> BTreeMap<String, FileState> {
    let home = rows.iter().filter(|row| row.kind == "output" && row.state == "succeeded");
    home.map(|row| (row.id.clone(), file_state(data, row))).collect()
}

fn file_state(data: &Path, row: &AuditRow) -> FileState {
    let Some(path) = &row.path else {
        return FileState::Missing;
    };
    match std::fs::read(data.join(path)) {
        Ok(bytes) if row.about.as_deref() == Some(&hex::encode(Sha256::digest(&bytes))) => {
            FileState::Whole
        }
        Ok(_) => FileState::Damaged,
        Err(_) => FileState::Missing,
    }
}
