//! What is ordered, and when.

use crate::dice::{About, Dice};
use crate::scripts::{self, Step};
use crate::trouble::{Usage, Ways, Whose};
use crate::vendor::{Maker, Request, Vendor};
use judging::fit::Media;
use judging::{DAY, HOUR, MINUTE, Millis};

/// An order, as it will be placed.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) at: Millis,
    pub(crate) request: Request,
    /// What becomes of it, if that is written.
    pub(crate) step: Option<&'static Step>,
}

/// When the state is saved that will be put back.
pub(crate) fn snapshot_at(dice: &Dice) -> Millis {
    dice.between((5 * DAY, 11 * DAY), About::PutBack, (0, 0))
}

/// All orders of a run that are placed until then.
pub(crate) fn all(usage: Usage, ways: &Ways, dice: &Dice, until: Millis) -> Vec<Order> {
    let mut at = times(usage, dice);
    if ways.put_back.is_some() {
        // What is put back matters most with much in the queue.
        at.extend([snapshot_at(dice) - MINUTE / 60; 12]);
    }
    at.sort_unstable();
    let mut orders: Vec<Order> = Vec::new();
    for (nth, at) in at.into_iter().enumerate() {
        let name = |what| (nth as u64, what);
        let same = dice.happens(0.06, About::Request, name(0));
        let earlier = orders.len().checked_sub(2).filter(|_| same);
        let request = match earlier.and_then(|at| orders.get(at)) {
            Some(order) => order.request.clone(),
            None => request(nth, dice),
        };
        orders.push(Order { at, request, step: None });
    }
    if let Usage::Scripted { known, steps } = usage {
        let order = |(nth, step): (usize, &'static Step)| Order {
            at: scripts::begins(known) + step.at,
            request: step.request(nth),
            step: Some(step),
        };
        orders.extend(steps.iter().enumerate().map(order));
    }
    orders.retain(|order| order.at <= until);
    orders
}

fn times(usage: Usage, dice: &Dice) -> Vec<Millis> {
    let sessions: Vec<Millis> = match usage {
        Usage::Daily | Usage::New => (0..usage.lasts() / DAY)
            .flat_map(|day| [9, 13, 18].map(|hour| day * DAY + hour * HOUR))
            .collect(),
        Usage::Weekly => (0..usage.lasts() / DAY)
            .filter(|day| day % 7 == 2)
            .flat_map(|day| [10, 16].map(|hour| day * DAY + hour * HOUR))
            .collect(),
        Usage::Fresh => vec![9 * HOUR, 20 * HOUR],
        Usage::Scripted { known: true, .. } => {
            (0..4).flat_map(|day| [9, 13, 18].map(|hour| day * DAY + hour * HOUR)).collect()
        }
        Usage::Scripted { .. } => Vec::new(),
    };
    let mut all = Vec::new();
    for (session, begin) in (0_u64..).zip(sessions) {
        let throw = |least, most, what| dice.between((least, most), About::Orders, (session, what));
        let orders = match usage {
            Usage::Fresh => 2 + (session as Millis + 1) % 2,
            _ => throw(3, 5, 0),
        };
        let mut at = begin + throw(0, 2 * HOUR, 1);
        for nth in 0..orders as u64 {
            all.push(at);
            at += dice.waiting(6 * MINUTE, About::Orders, (session, 2 + nth));
        }
    }
    all
}

fn request(nth: usize, dice: &Dice) -> Request {
    let throw = |least, most, what| dice.between((least, most), About::Request, (nth as u64, what));
    let model = throw(0, 4, 1);
    Request {
        hash: format!("order {nth}"),
        model: (model < 3).then(|| format!("m{model}")),
        media: if throw(0, 3, 2) == 0 { Media::Videos } else { Media::Images },
        count: throw(1, 4, 3) as u32,
    }
}

/// Where strangers order what we order: their jobs around ours.
pub(crate) fn twins(vendor: &mut Vendor, orders: &[Order], dice: &Dice) {
    if !vendor.ways.strangers.iter().any(|(_, whose)| *whose == Whose::Twins) {
        return;
    }
    for (nth, order) in orders.iter().enumerate() {
        let name = |what| (nth as u64, what);
        if dice.happens(0.2, About::Stranger, name(5)) {
            let hash = format!("twin {nth}");
            let request = Request { hash, ..order.request.clone() };
            let after = dice.between((-5 * MINUTE, 10 * MINUTE), About::Stranger, name(6));
            vendor.make(Maker::Stranger, request, order.at + after, false);
        }
    }
}
