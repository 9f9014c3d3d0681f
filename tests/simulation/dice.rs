//! Chance without state: every throw is named, so that leaving one trouble out of a world changes
//! nothing else about it. That is what makes a failing seed shrink to a story.

use judging::Millis;

/// What a throw is about; together with numbers it names the throw.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About {
    Orders,
    Request,
    Fate,
    Latency,
    Late,
    Doubled,
    Killed,
    Listed,
    Missing,
    Cut,
    Fails,
    Created,
    Record,
    Stranger,
    Person,
    PutBack,
}

/// The dice of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice {
    seed: u64,
}

fn mix(value: u64) -> u64 {
    // splitmix64
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed: mix(seed) }
    }

    fn throw(&self, about: About, (which, again): (u64, u64)) -> u64 {
        mix(mix(mix(self.seed ^ (about as u64)) ^ which) ^ again)
    }

    /// Between 0 and 1.
    fn unit(&self, about: About, name: (u64, u64)) -> f64 {
        (self.throw(about, name) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&self, share: f64, about: About, name: (u64, u64)) -> bool {
        share > 0.0 && self.unit(about, name) < share
    }

    /// From `least` up to `most`, both included.
    pub(crate) fn between(
        &self,
        (least, most): (Millis, Millis),
        about: About,
        name: (u64, u64),
    ) -> Millis {
        let span = (most - least + 1).max(1) as u64;
        least + (self.throw(about, name) % span) as Millis
    }

    /// Exponentially distributed.
    pub(crate) fn waiting(&self, mean: Millis, about: About, name: (u64, u64)) -> Millis {
        (-(1.0 - self.unit(about, name)).ln() * mean as f64) as Millis
    }
}
