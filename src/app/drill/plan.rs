//! What a seed decides: when each life ends, and what is ordered.

use crate::simulator::Rng;

/// When a daemon is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// So many thousandths into the span of a life, counted from the start of its process: from
    /// before it has opened its file until well into its work.
    Clock(u64),
    /// This many milliseconds after the next call began.
    Call(u64),
}

/// What one submitting command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A picture of a public model.
    Public,
    /// A picture of the newest model ordered here, trained or still in training.
    Trained,
    /// A larger version of an earlier picture; the number picks which.
    Upscale(u64),
    /// A video.
    Video,
    /// A model trained on a dozen photos.
    Train,
}

/// One piece of work and how it is submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) wish: Wish,
    /// The first try of the command is killed after this many milliseconds.
    pub(super) kill_after: Option<u64>,
}

/// Everything that follows from a seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    seed: u64,
}

/// One training for so many orders.
const TRAIN_EVERY: u64 = 50;

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Each number has dice of its own, so that how much was ordered does not move the kills.
    fn dice(&self, purpose: u64, number: u64) -> Rng {
        let mut seed = Rng::new(self.seed ^ purpose.rotate_left(32));
        Rng::new(seed.next() ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// How life number `life` ends.
    pub(super) fn aim(&self, life: u64) -> Aim {
        let mut dice = self.dice(1, life);
        match dice.next() % 2 {
            0 => Aim::Clock(dice.between(5.0, 1000.0) as u64),
            _ => Aim::Call(dice.between(0.0, 300.0) as u64),
        }
    }

    /// Order number `number`.
    pub(super) fn order(&self, number: u64) -> Order {
        let mut dice = self.dice(2, number);
        let draw = dice.unit();
        let wish = match number {
            _ if number % TRAIN_EVERY == 1 => Wish::Train,
            0..6 => Wish::Public,
            _ if draw < 0.35 => Wish::Public,
            _ if draw < 0.80 => Wish::Trained,
            _ if draw < 0.92 => Wish::Upscale(dice.next()),
            _ => Wish::Video,
        };
        // A command takes a few dozen milliseconds; some of the kills come too late.
        let killed = dice.unit() < 0.2;
        Order { wish, kill_after: killed.then(|| dice.between(1.0, 60.0) as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan() {
        let (one, same, other) = (Plan::new(7), Plan::new(7), Plan::new(8));
        assert!((0..50).all(|n| one.aim(n) == same.aim(n) && one.order(n) == same.order(n)));
        assert!((0..50).any(|n| one.aim(n) != other.aim(n)));
    }

    #[test]
    fn both_kinds_of_instants_and_all_kinds_of_work_occur() {
        let plan = Plan::new(1);
        let aimed = (0..1000).filter(|n| matches!(plan.aim(*n), Aim::Call(_))).count();
        assert!((400..600).contains(&aimed), "{aimed}");
        let orders: Vec<Order> = (0..200).map(|n| plan.order(n)).collect();
        for wish in [Wish::Public, Wish::Trained, Wish::Video, Wish::Train] {
            assert!(orders.iter().any(|order| order.wish == wish), "{wish:?}");
        }
        assert!(orders.iter().any(|order| matches!(order.wish, Wish::Upscale(_))));
        assert!(orders.iter().any(|order| order.kill_after.is_some()));
    }
}
