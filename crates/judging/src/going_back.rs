//! Whether a database was put back in time: the vendor has jobs that nothing in it explains.

use crate::{DAY, Millis};

/// Calls without a job explain one each for so long.
const WITHIN: Millis = 7 * DAY;

/// What a start has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Jobs that the first whole list shows, asked from an hour before the last one's end, that no
    /// earlier list showed and no row claims.
    pub new: Vec<String>,
    /// How long ago each call without a job went out (ms): in doubt, absent, parked or given up.
    pub calls: Vec<Millis>,
    /// Ids that were accepted and could not be stored (the spill file).
    pub spilled: Vec<String>,
    /// Accepted trainings that have no entry in the list yet.
    pub trainings: usize,
    /// Whether nobody else was known to use the account.
    pub exclusive: bool,
}

/// How many of the new jobs nothing explains; none if nobody can say, or all are explained.
pub fn unexplained(found: &Found) -> Option<usize> {
    let new = found.new.iter().filter(|id| !found.spilled.contains(id)).count();
    let calls = found.calls.iter().filter(|age| **age <= WITHIN).count();
    let surplus = new.saturating_sub(calls + found.trainings);
    (found.exclusive && surplus > 0).then_some(surplus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_open_question_explains_one_job() {
        let new: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let all = Found { new, exclusive: true, ..Found::default() };
        assert_eq!(unexplained(&all), Some(4));
        let with = |calls: &[Millis], spilled: &[&str], trainings| {
            let spilled = spilled.iter().map(|id| (*id).to_owned()).collect();
            unexplained(&Found { calls: calls.to_vec(), spilled, trainings, ..all.clone() })
        };
        assert_eq!(with(&[0, 7 * DAY, 8 * DAY], &[], 0), Some(2));
        assert_eq!(with(&[0], &["b", "x"], 0), Some(2));
        assert_eq!(with(&[0, 0], &["b"], 1), None);
        assert_eq!(with(&[0; 9], &[], 0), None);
        let shared = Found { exclusive: false, ..all };
        assert_eq!(unexplained(&shared), None, "a shared account cannot be protected so");
        assert_eq!(unexplained(&Found { exclusive: true, ..Found::default() }), None);
    }
}
