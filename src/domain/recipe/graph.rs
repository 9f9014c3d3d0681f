//! The order of steps, and the cycles that make one impossible.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Orders `0..after.len()` so that everything in `after[n]` comes before `n`; of those that could
/// come next, the lowest number does. Fails with disjoint cycles that explain every failure, each as a
/// path `a, b, c` in which `a` waits for `b`, `b` for `c` and `c` for `a`.
///
/// Entries out of range are ignored.
pub(super) fn order(after: &[Vec<usize>]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut sorted = Sort::new(after);
    let mut cycles = Vec::new();
    sorted.run();
    while let Some(cycle) = sorted.find_cycle() {
        // Pretending that the cycle is done uncovers cycles behind it.
        for &n in &cycle {
            sorted.finish(n);
        }
        sorted.run();
        cycles.push(cycle);
    }
    if cycles.is_empty() { Ok(sorted.order) } else { Err(cycles) }
}

struct Sort<'a> {
    after: &'a [Vec<usize>],
    before: Vec<Vec<usize>>,
    missing: Vec<usize>,
    done: Vec<bool>,
    ready: BinaryHeap<Reverse<usize>>,
    order: Vec<usize>,
}

impl<'a> Sort<'a> {
    fn new(after: &'a [Vec<usize>]) -> Self {
        let count = after.len();
        let mut before = vec![Vec::new(); count];
        let mut missing = vec![0; count];
        for (n, list) in after.iter().enumerate() {
            for &m in list.iter().filter(|m| **m < count) {
                before[m].push(n);
                missing[n] += 1;
            }
        }
        let free = (0..count).filter(|n| missing[*n] == 0).map(Reverse);
        Self {
            after,
            ready: free.collect(),
            done: vec![false; count],
            before,
            missing,
            order: Vec::new(),
        }
    }

    fn run(&mut self) {
        while let Some(Reverse(n)) = self.ready.pop() {
            if !self.done[n] {
                self.order.push(n);
                self.finish(n);
            }
        }
    }

    fn finish(&mut self, n: usize) {
        self.done[n] = true;
        for m in std::mem::take(&mut self.before[n]) {
            self.missing[m] -= 1;
            if self.missing[m] == 0 && !self.done[m] {
                self.ready.push(Reverse(m));
            }
        }
    }

    /// Walks backwards from anything unfinished until a number comes up again: everything
    /// unfinished waits for something unfinished, so this always ends in a cycle.
    fn find_cycle(&self) -> Option<Vec<usize>> {
        let mut at = self.done.iter().position(|done| !done)?;
        let mut path: Vec<usize> = Vec::new();
        let mut place = vec![None; self.after.len()];
        while place[at].is_none() {
            place[at] = Some(path.len());
            path.push(at);
            let open = |m: &usize| *m < self.done.len() && !self.done[*m];
            at = self.after[at].iter().copied().find(open)?;
        }
        let mut cycle = path.split_off(place[at].unwrap_or(0));
        let lowest = cycle.iter().enumerate().min_by_key(|(_, n)| **n).map_or(0, |(i, _)| i);
        cycle.rotate_left(lowest);
        Some(cycle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn file_order_is_kept_where_nothing_forbids_it() {
        assert_eq!(order(&[]), Ok(vec![]));
        assert_eq!(order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![2], vec![], vec![], vec![0, 1]]), Ok(vec![1, 2, 0, 3]));
    }

    #[test]
    fn separate_cycles_are_all_reported() {
        let after = [vec![1], vec![0], vec![2], vec![0], vec![5, 3], vec![4], vec![]];
        assert_eq!(order(&after), Err(vec![vec![0, 1], vec![2], vec![4, 5]]));
    }

    /// Whether `n` can reach itself: the slow truth.
    fn on_cycle(after: &[Vec<usize>], n: usize) -> bool {
        let mut seen = vec![false; after.len()];
        let mut stack = after[n].clone();
        while let Some(m) = stack.pop() {
            if m == n {
                return true;
            }
            if m < after.len() && !std::mem::replace(&mut seen[m], true) {
                stack.extend(&after[m]);
            }
        }
        false
    }

    proptest! {
        #[test]
        fn edges_that_only_point_back_are_ordered(
            seed in vec(vec(any::<usize>(), 0..4), 1..30),
            shuffle in any::<u64>(),
        ) {
            // Node i of a shuffled numbering may only wait for nodes before it.
            let count = seed.len();
            let mut number: Vec<usize> = (0..count).collect();
            number.sort_by_key(|n| (*n as u64 + 1).wrapping_mul(shuffle | 1).rotate_left(17));
            let mut after = vec![Vec::new(); count];
            for (i, list) in seed.iter().enumerate().skip(1) {
                after[number[i]] = list.iter().map(|m| number[m % i]).collect();
            }
            let got = order(&after).unwrap();
            prop_assert_eq!(got.len(), count);
            let place = |n: usize| got.iter().position(|m| *m == n).unwrap();
            for (n, list) in after.iter().enumerate() {
                for &m in list {
                    prop_assert!(place(m) < place(n));
                }
            }
        }

        #[test]
        fn cycles_are_found_exactly_when_there_are_some(
            after in vec(vec(0_usize..24, 0..3), 0..20),
        ) {
            let cyclic: Vec<usize> =
                (0..after.len()).filter(|n| on_cycle(&after, *n)).collect();
            match order(&after) {
                Ok(order) => {
                    prop_assert!(cyclic.is_empty());
                    prop_assert_eq!(order.len(), after.len());
                }
                Err(cycles) => {
                    prop_assert!(!cyclic.is_empty() && !cycles.is_empty());
                    for cycle in cycles {
                        for (i, n) in cycle.iter().enumerate() {
                            let next = cycle[(i + 1) % cycle.len()];
                            prop_assert!(after[*n].contains(&next), "{cycle:?} in {after:?}");
                        }
                    }
                }
            }
        }
    }
}
