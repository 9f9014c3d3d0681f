//! Whether many open jobs are asked about one by one or through the vendor's list.
//!
//! The list cannot be asked for certain ids: it pages through everything in a window of time, ended
//! jobs included (vendor-api.md 2.15). So it is worth its pages only while many are open, and a few
//! old jobs must not drag the window back over thousands that ended long ago: those are asked about
//! one by one, and the window begins after them.

use super::ids::Millis;

/// The page size is undocumented; before a list has been read, pages are taken to be small.
const PAGE: u32 = 20;
/// And for each open job the list is taken to hold so many.
const UNKNOWN_SHARE: f64 = 2.0;
/// A list that is not in use must be so many times cheaper to be begun with.
const CHEAPER: f64 = 2.0;
/// The window reaches so much further back than the acceptance that we noted: the call may have
/// taken its whole deadline, and clocks differ (ms).
pub const REACH: Millis = 130_000;
/// Below this many open jobs the list is not worth the thought.
const FEW: usize = 4;

/// What the lists read so far have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sight {
    /// Entries on the fullest page.
    pub page: Option<u32>,
    /// Listed jobs per millisecond of the window, ended ones included.
    pub density: Option<f64>,
}

impl Sight {
    /// Takes in a list: its entries, its fullest page, its window in ms. Of one that was not read to
    /// its end it is only known that it holds more than that: it is taken for twice as long, or more
    /// each time.
    pub fn learn(
        &mut self,
        entries: usize,
        fullest: usize,
        pages: usize,
        window: Millis,
        complete: bool,
    ) {
        if pages > 1 {
            self.page = u32::try_from(fullest.max(1)).ok();
        } else if self.page.is_none_or(|page| (page as usize) < fullest) {
            // A single page shows only how many fit at least.
            self.page = u32::try_from(fullest.max(PAGE as usize)).ok();
        }
        let read = entries as f64 / window.max(1) as f64;
        self.density = Some(match self.density {
            _ if complete => read,
            Some(before) => 2.0 * before.max(read),
            None => 2.0 * read,
        });
    }
}

/// How the open jobs are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One by one.
    Direct,
    /// Those accepted at `from` or later through the list, the others one by one.
    List {
        /// Unix milliseconds.
        from: Millis,
        /// How many pages it will probably have, at least 1.
        pages: u32,
    },
}

/// Chooses; `accepted`: when each job that is to be asked about within an interval was accepted,
/// oldest first; `listing`: whether the list is in use already.
pub fn plan(now: Millis, accepted: &[Millis], sight: &Sight, listing: bool) -> Plan {
    let open = accepted.len();
    if open < FEW {
        return Plan::Direct;
    }
    let mut best: Option<(f64, Millis, u32)> = None;
    for part in [0, 64, 32, 16, 8, 4, 2] {
        // So many of the oldest are left to be asked about one by one.
        let left = if part == 0 { 0 } else { open.div_ceil(part) };
        let Some(from) = accepted.get(left).copied() else { continue };
        let pages = pages(now.saturating_sub(from).saturating_add(REACH), open - left, sight);
        let cost = left as f64 + f64::from(pages);
        if best.is_none_or(|(least, ..)| cost < least) {
            best = Some((cost, from, pages));
        }
    }
    match best {
        Some((cost, from, pages)) if cost * if listing { 1.0 } else { CHEAPER } <= open as f64 => {
            Plan::List { from, pages }
        }
        _ => Plan::Direct,
    }
}

/// How many pages a window will probably have.
fn pages(window: Millis, open: usize, sight: &Sight) -> u32 {
    let entries = match sight.density {
        Some(density) => (density * window.max(0) as f64).max(open as f64),
        None => open as f64 * UNKNOWN_SHARE,
    };
    let pages = (entries / f64::from(sight.page.unwrap_or(PAGE).max(1))).ceil();
    // A cast from float saturates.
    (pages as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Millis = 1_000_000_000;

    proptest! {
        #[test]
        fn a_list_is_never_taken_for_more_requests_than_it_saves(
            mut ages in prop::collection::vec(0i64..700_000_000, 0..400),
            page in prop::option::of(1u32..200), density in prop::option::of(0.0f64..0.01),
            listing in any::<bool>(),
        ) {
            ages.sort_unstable_by(|a, b| b.cmp(a));
            let accepted: Vec<Millis> = ages.iter().map(|age| NOW - age).collect();
            let sight = Sight { page, density };
            if let Plan::List { from, pages } = plan(NOW, &accepted, &sight, listing) {
                let left = accepted.iter().filter(|at| **at < from).count();
                prop_assert!(left + pages as usize <= accepted.len());
                prop_assert!(pages >= 1 && accepted.contains(&from));
            }
        }
    }

    #[test]
    fn many_fresh_jobs_are_listed_and_few_are_not() {
        let sight = Sight { page: Some(100), density: Some(5_000.0 / 60_000.0) };
        let young = |n: i64| (0..n).map(|i| NOW - 60_000 + i * 60_000 / n).collect::<Vec<_>>();
        let Plan::List { pages, .. } = plan(NOW, &young(5_000), &sight, false) else {
            panic!("5000 open jobs are worth a list");
        };
        assert!(pages < 200, "{pages} pages");
        assert_eq!(plan(NOW, &young(3), &Sight::default(), false), Plan::Direct);
        assert_eq!(plan(NOW, &young(50), &sight, false), Plan::Direct, "thousands are listed");
    }

    #[test]
    fn one_old_job_does_not_drag_the_window_back() {
        let day = 24 * 60 * 60 * 1000;
        let mut accepted: Vec<Millis> = vec![NOW - 5 * day];
        accepted.extend((0..999).map(|i| NOW - 60_000 + i * 60));
        let sight = Sight { page: Some(100), density: Some(0.01) };
        let Plan::List { from, .. } = plan(NOW, &accepted, &sight, false) else {
            panic!("the young ones are worth a list");
        };
        assert!(from >= NOW - 60_000, "the window begins after the old one");
    }

    #[test]
    fn pages_teach_their_size() {
        let mut sight = Sight::default();
        sight.learn(7, 7, 1, 60_000, true);
        assert_eq!(sight.page, Some(20), "one short page says little");
        sight.learn(250, 100, 3, 60_000, true);
        assert_eq!(sight.page, Some(100));
        sight.learn(40, 40, 1, 60_000, true);
        assert_eq!(sight.page, Some(100));
    }

    #[test]
    fn a_list_that_proves_too_long_is_given_up() {
        let mut sight = Sight::default();
        let accepted: Vec<Millis> = (0..100).map(|i| NOW - 60_000 + i * 100).collect();
        let mut tries = 0;
        // Each time it is broken off after as many pages as there are jobs, of a hundred entries.
        while plan(NOW, &accepted, &sight, false) != Plan::Direct {
            sight.learn(10_000, 100, 100, 190_000, false);
            tries += 1;
        }
        assert!(tries <= 2, "{tries} tries");
    }
}
