//! Whether a database was put back in time: the vendor has jobs that nothing in it explains. And
//! what becomes of the orders that wait then.

use crate::fit::{self, Call, Candidate, Effect, Fit, Ground};
use crate::{DAY, HOUR, Millis};

/// The list at a start begins so much before the last one: an hour, in case that one came too early for
/// what lagged, and twelve, because the clock that filters the list may be behind by so much and nothing
/// shows it.
const OVERLAP: Millis = 13 * HOUR;

/// Calls without a job explain one each for so long.
const WITHIN: Millis = 7 * DAY;

/// What a start has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Jobs that the first whole list shows, asked from thirteen hours before the last one's end, that no
    /// earlier list showed and no row claims.
    pub new: Vec<String>,
    /// How long before that end each call without a job went out (ms): in doubt, absent, parked or
    /// given up. What was down for a month has no older calls for it.
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

/// From when on (ours) jobs count as new, if everything was listed until `covered` (ours).
pub fn from(covered: Millis) -> Millis {
    covered - OVERLAP
}

/// From when on (ours) calls without a job explain one.
pub fn calls_since(covered: Millis) -> Millis {
    covered - WITHIN
}

/// An order that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its row.
    pub subject: String,
    /// The call that it would be now.
    pub call: Call,
    /// The jobs that a person has been shown for it, or has ruled out.
    pub settled: Vec<String>,
}

/// What becomes of the orders once a person lets the database work again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Those that wait for a person, each with the jobs that may be theirs; the others are sent.
    pub park: Vec<(String, Vec<String>)>,
    /// The jobs that fit no order.
    pub nobodys: Vec<String>,
}

/// The jobs that may be an order's although it was never sent from here. Its time is no time of the
/// call that made them, so only hard conflicts count. A training never is one: its model's status,
/// which is read before it is triggered, tells more.
pub fn fitting(order: &Order, jobs: &[Candidate], ground: &Ground<'_>) -> Vec<String> {
    if matches!(order.call.effect, Effect::Training(_)) {
        return Vec::new();
    }
    let fits = |job: &&Candidate| {
        !order.settled.contains(&job.remote_id)
            && !matches!(fit::fit(&order.call, job, ground), Fit::Conflict(_))
    };
    jobs.iter().filter(fits).map(|job| job.remote_id.clone()).collect()
}

/// Plans. One job may be the candidate of several orders: a person tells which, if any.
pub fn plan(orders: &[Order], jobs: &[Candidate], ground: &Ground<'_>) -> Plan {
    let mut plan = Plan::default();
    for order in orders {
        let fitting = fitting(order, jobs, ground);
        if !fitting.is_empty() {
            plan.park.push((order.subject.clone(), fitting));
        }
    }
    let taken = |id: &String| plan.park.iter().any(|(_, ids)| ids.contains(id));
    plan.nobodys = jobs.iter().map(|job| job.remote_id.clone()).filter(|id| !taken(id)).collect();
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clocks::Clocks;
    use crate::clocks::tests::accepted;
    use crate::fit::tests::{call, images, job, record};
    use crate::fit::{Expected, Media, ModelIds};

    fn order(subject: &str, effect: Effect) -> Order {
        // Weeks after the jobs were made, and still they may be its.
        let call = call(0, effect, 30 * DAY);
        Order { subject: subject.to_owned(), call, settled: Vec::new() }
    }

    #[test]
    fn what_a_job_fits_parks_and_everything_else_is_sent() {
        let (before, models) = ([accepted("a", 0, Some(0))], ModelIds::default());
        let clocks = Clocks::measure(&before, 0);
        let ground = Ground { accepted: &before, clocks: &clocks, models: &models };
        let pictures = || Some(record(None, Some(Media::Images), true));
        let videos = Some(record(None, Some(Media::Videos), true));
        let jobs = [job("j1", 1, pictures()), job("j2", 2, videos), job("j3", 3, None)];
        let movie = Effect::Job(Expected { model: None, media: Media::Videos, count: None });
        let mut said = order("said", images(None));
        said.settled = vec!["j1".to_owned(), "j3".to_owned()];
        let orders = [
            order("pictures", images(None)),
            order("the same", images(None)),
            order("movie", movie),
            order("training", Effect::Training("m".to_owned())),
            said,
        ];
        let parked = |subject: &str, ids: &[&str]| {
            (subject.to_owned(), ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
        };
        let all = plan(&orders, &jobs, &ground);
        let park = [
            parked("pictures", &["j1", "j3"]),
            parked("the same", &["j1", "j3"]),
            parked("movie", &["j2", "j3"]),
        ];
        assert_eq!((all.park.as_slice(), all.nobodys.len()), (&park[..], 0));
        let pictures = plan(&orders[3..], &jobs, &ground);
        assert_eq!(
            pictures,
            Plan {
                park: Vec::new(),
                nobodys: vec!["j1".to_owned(), "j2".to_owned(), "j3".to_owned()]
            }
        );
        assert_eq!(plan(&orders, &[], &ground), Plan::default());
    }

    #[test]
    fn hours_of_overlap_and_a_week_of_calls() {
        assert_eq!((from(DAY), calls_since(8 * DAY)), (11 * HOUR, DAY));
    }

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
