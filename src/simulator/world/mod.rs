//! The vendor's state: everything behind one lock, advanced lazily.
//!
//! There are no timers. Statuses follow from the progress clock when somebody looks, and finished
//! jobs get their outputs the next time the lock is taken, so that 100,000 open jobs cost nothing
//! while nobody asks.

pub(crate) mod calls;
mod dates;
pub(crate) mod foreign;
pub(crate) mod image;
pub(crate) mod job;
pub(crate) mod job_list;
mod job_start;
mod job_view;
pub(crate) mod ledger;
pub(crate) mod model;
mod reading;
pub(crate) mod video;

use super::args::Args;
use super::clock::{self, Clock, Progress, Wall};
use super::fault::Value;
use super::fault_table::Kind;
use super::faults::Faults;
use super::op::Op;
use super::reply::Refusal;
use super::rng::{self, Rng};
use calls::Calls;
use image::Image;
use job::Job;
use ledger::{Effect, Ledger, What};
use model::Model;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use video::Video;

/// Index of a user; a key is a user.
pub(crate) type UserId = usize;

/// What one key owns, in order of creation.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) key: Arc<str>,
    pub(crate) models: Vec<String>,
    pub(crate) videos: Vec<String>,
    /// By creation time, then index in `World::jobs`.
    pub(crate) jobs: BTreeSet<(Wall, usize)>,
    pub(crate) active_jobs: usize,
}

/// Who asks, and under which name they reached us.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: UserId,
    pub(crate) op: Op,
    /// `http://host:port`, for links.
    pub(crate) base: Arc<str>,
    /// The number of the call.
    pub(crate) call: Option<u64>,
    /// The effect of the same request when it was delivered first.
    pub(crate) double_of: Option<u64>,
}

impl Caller {
    /// Somebody else with the same key, who made no call here.
    pub(crate) fn nobody(user: UserId) -> Self {
        Self { user, op: Op::Foreign, base: "".into(), call: None, double_of: None }
    }
}

/// Everything the vendor knows.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) args: Arc<Args>,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) ledger: Ledger,
    pub(crate) calls: Calls,
    /// Every API call is dropped while this is set.
    pub(crate) down: bool,
    pub(crate) users: Vec<User>,
    by_key: HashMap<Arc<str>, UserId>,
    pub(crate) models: HashMap<String, Model>,
    pub(crate) images: HashMap<String, Image>,
    pub(crate) videos: HashMap<String, Video>,
    pub(crate) jobs: Vec<Job>,
    job_ids: HashMap<String, usize>,
    /// Jobs in the order in which they ended.
    finished: Vec<usize>,
    /// Jobs by the time they end.
    due: BinaryHeap<Reverse<(Progress, usize)>>,
    /// Media links issued before the link given here no longer work, by path.
    revoked: HashMap<String, Wall>,
    next_foreign: Option<Wall>,
    /// Page tokens that were given out as numbers; the number tells which.
    numbered_tokens: Vec<String>,
    rng: Rng,
    ids: u64,
}

impl World {
    /// An empty vendor.
    pub(crate) fn new(args: Arc<Args>) -> Self {
        Self {
            clock: Clock::new(args.speed, args.clock_skew),
            faults: Faults::new(&args.faults, args.seed),
            rng: Rng::new(args.seed),
            args,
            ledger: Ledger::default(),
            calls: Calls::default(),
            down: false,
            users: Vec::new(),
            by_key: HashMap::new(),
            models: HashMap::new(),
            images: HashMap::new(),
            videos: HashMap::new(),
            jobs: Vec::new(),
            job_ids: HashMap::new(),
            finished: Vec::new(),
            due: BinaryHeap::new(),
            revoked: HashMap::new(),
            next_foreign: None,
            numbered_tokens: Vec::new(),
            ids: 0,
        }
    }

    /// The user behind a key; a key never seen before is a new user.
    pub(crate) fn user(&mut self, key: &str) -> UserId {
        if let Some(user) = self.by_key.get(key) {
            return *user;
        }
        let key: Arc<str> = key.into();
        self.by_key.insert(key.clone(), self.users.len());
        self.users.push(User {
            key,
            models: Vec::new(),
            videos: Vec::new(),
            jobs: BTreeSet::new(),
            active_jobs: 0,
        });
        self.users.len() - 1
    }

    /// Brings everything up to now: due jobs end, foreign jobs appear.
    pub(crate) fn advance(&mut self) {
        let now = self.clock.progress();
        while let Some(Reverse((at, index))) = self.due.peek().copied() {
            if at > now {
                break;
            }
            self.due.pop();
            // Whoever looks first must not make it look late.
            self.settle_at(index, self.clock.wall() - (now - at) / 1000);
        }
        self.foreign_jobs_appear();
    }

    /// Whether this trouble strikes this call, and with which value.
    pub(crate) fn strike(&mut self, kind: Kind, op: Op) -> Option<Value> {
        self.faults.strike(kind, op)
    }

    /// A status word as this reply spells it.
    pub(crate) fn spelled(&mut self, word: &str, op: Op) -> String {
        if self.strike(Kind::MixedCase, op).is_none() {
            return word.to_owned();
        }
        let alternate = |(index, letter): (usize, char)| match index % 2 {
            0 => letter.to_ascii_uppercase(),
            _ => letter.to_ascii_lowercase(),
        };
        word.chars().enumerate().map(alternate).collect()
    }

    /// A timestamp as this vendor writes them.
    pub(crate) fn stamp(&self, at: Wall) -> String {
        clock::rfc3339(at, self.args.millis)
    }

    /// Records an effect of a call and returns its number.
    pub(crate) fn record(&mut self, caller: &Caller, what: What, id: &str) -> u64 {
        let effect = self.effect(caller, what, id);
        self.ledger.record(effect)
    }

    /// An effect of a call, to be completed and recorded.
    pub(crate) fn effect(&self, caller: &Caller, what: What, id: &str) -> Effect {
        Effect {
            what,
            id: id.to_owned(),
            model_id: None,
            at: self.clock.wall(),
            key: self.users.get(caller.user).map_or_else(|| "".into(), |user| user.key.clone()),
            endpoint: Some(caller.op),
            content_sha256: None,
            name: None,
            request: None,
            credits: 0,
            call: caller.call,
            double_of: caller.double_of,
            like: None,
        }
    }

    /// The next random number of durations and pictures.
    pub(crate) fn dice(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// A new opaque id like `job_018f...`.
    pub(crate) fn new_id(&mut self, prefix: &str) -> String {
        let (high, low) = self.unique_bits();
        format!("{prefix}_{:011x}{:08x}", high, low as u32)
    }

    /// A new id with the shape of a UUIDv7, like the vendor's model ids.
    pub(crate) fn new_uuid(&mut self) -> String {
        let (millis, random) = self.unique_bits();
        format!(
            "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
            (millis >> 16) & 0xFFFF_FFFF,
            millis & 0xFFFF,
            random >> 52,
            0x8000 | ((random >> 36) & 0x3FFF),
            random & 0xFFFF_FFFF_FFFF
        )
    }

    /// Milliseconds, so that a restarted simulator never issues an old id again, and bits that
    /// differ within one run because they are a scrambled counter.
    fn unique_bits(&mut self) -> (u64, u64) {
        self.ids += 1;
        let millis = u64::try_from(self.clock.wall()).unwrap_or_default();
        // Multiplying by an odd number keeps the low 32 bits distinct for 2^32 ids.
        (millis, rng::mix(self.ids) << 32 | (self.ids.wrapping_mul(0x9E37_79B1) & 0xFFFF_FFFF))
    }

    /// A link to a file, valid for the configured time from now.
    pub(crate) fn link(&self, caller: &Caller, path: &str) -> String {
        let ttl = clock::millis_of(self.args.url_ttl);
        let revoked = self.revoked.get(path).copied().unwrap_or(Wall::MIN);
        let expires = self.clock.wall().saturating_add(ttl).max(revoked.saturating_add(1));
        format!("{}{path}?{}", caller.base, self.signature(path, expires))
    }

    /// The query that makes a link valid.
    pub(crate) fn signature(&self, path: &str, expires: Wall) -> String {
        format!("exp={expires}&sig={}", self.sign(path, expires))
    }

    fn sign(&self, path: &str, expires: Wall) -> String {
        let text = format!("{}|{path}|{expires}", self.args.seed);
        format!("{:016x}", rng::hash(text.as_bytes()))
    }

    /// Checks a link that was followed.
    pub(crate) fn check_link(&self, path: &str, expires: Wall, sig: &str) -> Result<(), Refusal> {
        let revoked = self.revoked.get(path).copied().unwrap_or(Wall::MIN);
        let denied = |why| Err(Refusal::new(axum::http::StatusCode::FORBIDDEN, why));
        if sig != self.sign(path, expires) {
            return denied("Invalid signature");
        }
        if expires <= self.clock.wall() || expires <= revoked {
            return denied("Request has expired");
        }
        Ok(())
    }

    /// Makes a link, and all before it, useless.
    pub(crate) fn revoke(&mut self, path: &str, expires: Wall) {
        self.revoked.insert(path.to_owned(), expires);
    }
}
