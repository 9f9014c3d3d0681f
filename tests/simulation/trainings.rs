//! Trainings whose trigger's reply was lost: what the vendor's model shows when, against what really
//! happened.

use crate::dice::{About, Dice};
use crate::worlds::from_env;
use judging::times::Times;
use judging::training::{Delay, READS, Reading, Status, Verdict, asks, judge};
use judging::{DAY, HOUR, MINUTE, Millis, SECOND};

/// Trainings of one run, eight hours apart.
const TRAININGS: u64 = 60;
/// One that is not settled after so long has not ended.
const LONGEST: Millis = 2 * DAY;

/// A vendor of trainings.
#[derive(Clone, Copy, Debug, Default)]
struct Vendor {
    name: &'static str,
    /// How late the status follows, and for this share of them how late instead.
    late: Millis,
    seldom: (f64, Millis),
    /// This share fails some minutes after its begin, and the status falls back to `new`.
    falls_back: f64,
    /// The daemon is away for up to so long after this share of lost calls.
    away: (f64, Millis),
}

/// What became of the trainings of a run.
#[derive(Clone, Debug, Default)]
struct Sums {
    doubts: u32,
    asked: u32,
    found: u32,
    absent: u32,
    twice: u32,
    /// Bought twice: the status came later than twenty times the longest that was measured.
    unknowable: u32,
    stuck: u32,
    settled: Vec<Millis>,
}

/// One training as the vendor knows it: when it began, when its status followed and fell back.
#[derive(Clone, Copy, Debug)]
struct Began {
    shows: Millis,
    falls_back: Option<Millis>,
}

impl Began {
    fn status(&self, at: Millis) -> Status {
        let back = self.falls_back.is_some_and(|back| at >= back);
        if at >= self.shows && !back { Status::PastNew } else { Status::New }
    }
}

impl Vendor {
    fn begins(&self, dice: &Dice, which: u64) -> Began {
        let late = match dice.happens(self.seldom.0, About::Late, (which, 0)) {
            true => self.seldom.1,
            false => self.late,
        };
        let shows = late + dice.between((0, SECOND), About::Latency, (which, 0));
        let falls_back = dice
            .happens(self.falls_back, About::Fate, (which, 1))
            .then(|| shows + dice.between((MINUTE, 30 * MINUTE), About::Fate, (which, 2)));
        Began { shows, falls_back }
    }

    fn run(&self, seed: u64) -> Sums {
        let (dice, times) = (Dice::new(seed), Times::auto(30 * SECOND));
        let (mut sums, mut delay) = (Sums::default(), Delay::default());
        for which in 0..TRAININGS {
            let began = self.begins(&dice, which);
            if dice.happens(0.2, About::Orders, (which, 0)) {
                let arrived = dice.happens(0.5, About::Request, (which, 0)).then_some(began);
                self.doubt(&dice, which, arrived, &delay, &times, &mut sums);
            } else if delay.is_untried() || which % 10 == 0 {
                // Read at the times of a measurement, then every five minutes.
                let later = (1..).map(|more| 2 * MINUTE + more * 5 * MINUTE);
                let mut reads = READS.into_iter().chain(later).take_while(|at| *at < 30 * HOUR);
                if let Some(seen) = reads.find(|at| began.status(*at) == Status::PastNew) {
                    delay = delay.and(seen);
                }
            }
        }
        sums
    }

    fn doubt(
        &self,
        dice: &Dice,
        which: u64,
        arrived: Option<Began>,
        delay: &Delay,
        times: &Times,
        sums: &mut Sums,
    ) {
        let status = |at: Millis| arrived.map_or(Status::New, |began| began.status(at));
        let away = match dice.happens(self.away.0, About::Killed, (which, 0)) {
            true => dice.between((0, self.away.1), About::Killed, (which, 1)),
            false => 0,
        };
        sums.doubts += 1;
        let (mut at, mut last, mut looking, mut hole, mut asked) = (away, 0, 0, false, false);
        while at < LONGEST {
            hole |= at - last > times.hole();
            let reading = Reading { status: status(at), word: "", looking, hole, entry: None };
            match judge(&reading, delay, times) {
                Verdict::Began { .. } => {
                    sums.found += 1;
                    break;
                }
                Verdict::Absent { .. } => {
                    sums.absent += 1;
                    if let Some(began) = arrived {
                        match began.shows > 20 * delay.longest {
                            true => sums.unknowable += 1,
                            false => sums.twice += 1,
                        }
                    }
                    break;
                }
                Verdict::Wait { settles, .. } => asked |= asks(settles, looking, times),
                Verdict::Person { .. } => asked = true,
            }
            let pause = times.pause_for_a_training(looking);
            (last, at, looking) = (at, at + pause, looking + pause);
        }
        sums.asked += u32::from(asked);
        sums.stuck += u32::from(at >= LONGEST && !asked);
        sums.settled.push(at);
    }

    fn sums(&self) -> Sums {
        let mut all = Sums::default();
        for seed in 0..from_env("DARKROOM_SIM_SEEDS", 40) {
            let one = self.run(seed);
            all.doubts += one.doubts;
            all.asked += one.asked;
            all.found += one.found;
            all.absent += one.absent;
            all.twice += one.twice;
            all.unknowable += one.unknowable;
            all.stuck += one.stuck;
            all.settled.extend(one.settled);
        }
        all.settled.sort_unstable();
        all
    }
}

impl Sums {
    fn asked_percent(&self) -> u32 {
        100 * self.asked / self.doubts.max(1)
    }
}

fn vendors() -> [Vendor; 8] {
    let of = |name, late| Vendor { name, late, ..Vendor::default() };
    [
        of("at once", 0),
        of("after 2 s", 2 * SECOND),
        of("after 30 s", 30 * SECOND),
        of("after 20 min", 20 * MINUTE),
        of("after 3 h", 3 * HOUR),
        Vendor { seldom: (0.1, 3 * HOUR), ..of("10 % after 3 h", 2 * SECOND) },
        Vendor { falls_back: 0.3, ..of("falling back to `new`", 2 * SECOND) },
        Vendor {
            falls_back: 0.3,
            away: (0.5, 3 * HOUR),
            ..of("falling back, daemon away", 2 * SECOND)
        },
    ]
}

#[test]
fn no_training_is_bought_twice_but_for_what_no_rule_can_know() {
    for vendor in vendors() {
        let sums = vendor.sums();
        assert_eq!((sums.twice, sums.stuck), (0, 0), "{}: {sums:?}", vendor.name);
        let steady = vendor.seldom.0 == 0.0 && vendor.falls_back == 0.0;
        assert!(!steady || sums.unknowable == 0, "{}: {sums:?}", vendor.name);
        assert!(sums.found > 0, "{}: {sums:?}", vendor.name);
        // The status follows soon: only the first few doubts of a file are a person's.
        if steady && vendor.late <= MINUTE {
            assert!(sums.absent > 0 && sums.asked_percent() <= 6, "{}: {sums:?}", vendor.name);
        }
    }
}

#[test]
#[ignore = "a table, for people"]
fn table_of_trainings() {
    println!("| status | doubts | bought twice | asked, % | settled, median / p95 | unknowable |");
    for vendor in vendors() {
        let sums = vendor.sums();
        let at = |percent: usize| sums.settled[sums.settled.len() * percent / 100] / MINUTE;
        println!(
            "| {} | {} | {} | {} | {} / {} min | {} |",
            vendor.name,
            sums.doubts,
            sums.twice,
            sums.asked_percent(),
            at(50),
            at(95),
            sums.unknowable
        );
    }
}
