//! Who called what and when, so that tests can check poll spacing and concurrency.

use crate::simulator::clock::Wall;
use crate::simulator::op::Op;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};

/// Calls remembered one by one; the counts go on for ever.
const REMEMBERED: usize = 10_000;

/// One finished call.
#[derive(Clone, Debug)]
struct Call {
    seq: u64,
    op: Option<Op>,
    method: String,
    path: String,
    at: Wall,
    /// The status sent; none when the connection was closed instead.
    status: Option<u16>,
    millis: i64,
}

#[derive(Clone, Copy, Default, Debug)]
struct Load {
    calls: u64,
    in_flight: u64,
    peak: u64,
}

impl Load {
    fn enter(&mut self) {
        self.calls += 1;
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
    }

    fn leave(&mut self) {
        // A reset in the middle of a call has forgotten its start.
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn json(&self) -> Value {
        json!({ "calls": self.calls, "in_flight": self.in_flight, "peak": self.peak })
    }
}

/// All calls, counted; the last ones in full.
#[derive(Default, Debug)]
pub(crate) struct Calls {
    by_op: HashMap<Op, Load>,
    total: Load,
    last: VecDeque<Call>,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) op: Option<Op>,
    pub(crate) seq: u64,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) at: Wall,
}

impl Calls {
    /// A call has arrived; returns its number.
    pub(crate) fn enter(&mut self, op: Option<Op>) -> u64 {
        self.total.enter();
        if let Some(op) = op {
            self.by_op.entry(op).or_default().enter();
        }
        self.total.calls
    }

    /// A call has ended, with this status or by hanging up.
    pub(crate) fn leave(&mut self, call: &Entered, status: Option<u16>, now: Wall) {
        self.total.leave();
        if let Some(load) = call.op.and_then(|op| self.by_op.get_mut(&op)) {
            load.leave();
        }
        if self.last.len() >= REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(Call {
            seq: call.seq,
            op: call.op,
            method: call.method.clone(),
            path: call.path.clone(),
            at: call.at,
            status,
            millis: now - call.at,
        });
    }

    /// The counts, and the remembered calls after number `since`, of one operation or all.
    pub(crate) fn report(&self, since: u64, only: Option<&str>) -> Value {
        let mut ops = serde_json::Map::new();
        for (op, load) in &self.by_op {
            ops.insert(op.name().to_owned(), load.json());
        }
        let wanted = |call: &&Call| {
            let name = call.op.map_or("unknown", Op::name);
            call.seq > since && only.is_none_or(|only| only.eq_ignore_ascii_case(name))
        };
        let mut last: Vec<&Call> = self.last.iter().filter(wanted).collect();
        last.sort_by_key(|call| call.seq);
        let each = |call: &&Call| {
            json!({
                "seq": call.seq, "op": call.op.map_or("unknown", Op::name), "method": call.method,
                "path": call.path, "at": call.at, "status": call.status, "ms": call.millis,
            })
        };
        json!({
            "total": self.total.calls, "in_flight": self.total.in_flight, "peak": self.total.peak,
            "ops": ops, "last": last.iter().map(each).collect::<Value>(),
        })
    }
}
