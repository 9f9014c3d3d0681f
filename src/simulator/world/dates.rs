//! The times that jobs and models show, and how they are written.

use super::World;
use crate::simulator::clock::{self, Wall, millis_of};
use crate::simulator::fault_table::Kind;
use crate::simulator::op::Op;
use serde_json::Value;

impl World {
    /// How far off the clock is that stamps what this operation makes now.
    pub(super) fn birth_skew(&mut self, op: Op) -> Wall {
        let skew = self.faults.offset(Kind::CreatedSkew, op);
        let jitter = self.faults.hit(Kind::CreatedJitter, op).map_or(0, |mut hit| {
            let most = millis_of(hit.value.time()) as f64;
            hit.dice.between(-most, most).round() as Wall
        });
        skew.saturating_add(jitter)
    }

    /// Writes `createdAt`, and `updatedAt` where there is one, into a job's or a model's record.
    pub(super) fn date(
        &mut self,
        record: &mut Value,
        op: Op,
        created: Wall,
        updated: Option<Wall>,
    ) {
        let millis = self.args.millis && self.strike(Kind::CreatedWhole, op).is_none();
        let zoneless = self.strike(Kind::CreatedZoneless, op).is_some();
        let write = |at: Wall| {
            let text = clock::rfc3339(at, millis);
            match zoneless {
                true => text.trim_end_matches('Z').to_owned(),
                false => text,
            }
        };
        if self.strike(Kind::CreatedMissing, op).is_none() {
            record["createdAt"] = write(created).into();
        }
        if let Some(updated) = updated {
            record["updatedAt"] = write(updated).into();
        }
    }
}
