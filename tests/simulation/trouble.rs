//! The ways in which a vendor, a network or a machine is not what one hopes, one at a time.

use crate::scripts::Step;
use judging::{DAY, HOUR, MINUTE, Millis, SECOND};

/// Which models the jobs of strangers belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Their own.
    Theirs,
    /// Ours: somebody shares the account and its models.
    Ours,
    /// What they order is, letter by letter, what we ordered a moment ago.
    Twins,
}

/// One kind of trouble. A world has some of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// The list is behind by so much.
    ListLate(Millis),
    /// Each job is listed late, by so much on average.
    ListLateAtRandom(Millis),
    /// The list falls behind by so much more each day.
    ListLateGrowing(Millis),
    /// The list stands still for the first, each time the second has passed.
    ListFrozen(Millis, Millis),
    /// This share of jobs is never listed.
    NeverListed(f64),
    /// This share of entries is missing in any one reading.
    Missing(f64),
    /// This share of readings ends before the newest jobs.
    CutAtNewest(f64),
    /// For so long, from ten, two and seven o'clock on, the list lacks what was made within a quarter
    /// of an hour of that.
    Hole(Millis),
    /// This share of readings fails.
    ListFails(f64),
    /// For so long a day the list cannot be read.
    ListDown(Millis),
    /// What a lost call does happens up to so much later.
    EffectLate(Millis),
    /// `createdAt` is a clock that is off by so much.
    CreatedOff(Millis),
    /// And unsteady by so much either way.
    Disorder(Millis),
    /// It steps by so much on the fifth day.
    CreatedSteps(Millis),
    /// It has whole seconds.
    WholeSeconds,
    /// There is none.
    CreatedMissing,
    /// The list is filtered by another clock, off by so much.
    FilterOff(Millis),
    /// That clock steps by so much on the fifth day.
    FilterSteps(Millis),
    /// Somebody else uses the account, from this day on.
    Strangers(i64, Whose),
    /// This share of requests is delivered twice, the second time up to so much later.
    Doubled(f64, Millis),
    /// The daemon dies in this share of calls and comes back after so long.
    Killed(f64, Millis),
    /// From the fourth day on the daemon is away for so long, in mid-call.
    Away(Millis),
    /// The list reaches back so far.
    Reaches(Millis),
    /// The database is put back by so much.
    PutBack(Millis),
    /// Records name models in another form than the order did.
    OtherIds,
}

/// How the account is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// A dozen orders a day, after three quiet days.
    Daily,
    /// The same, but trouble starts with the first order.
    New,
    /// A few orders on one day a week.
    Weekly,
    /// The first five orders ever, half of whose replies are lost.
    Fresh,
    /// What is written, and nothing else; on a known account after four days without trouble.
    Scripted { known: bool, steps: &'static [Step] },
}

impl Usage {
    /// How long orders are placed.
    pub(crate) fn lasts(self) -> Millis {
        match self {
            Self::Daily | Self::New => 14 * DAY,
            Self::Weekly => 50 * DAY,
            Self::Fresh => 2 * DAY,
            Self::Scripted { .. } => 6 * DAY,
        }
    }

    /// The share of replies that get lost.
    pub(crate) fn lost(self) -> f64 {
        match self {
            Self::Daily | Self::New | Self::Weekly => 0.07,
            Self::Fresh => 0.5,
            Self::Scripted { .. } => 0.0,
        }
    }

    /// How long no reply is lost and nothing is killed, while the daemon learns.
    pub(crate) fn quiet(self) -> Millis {
        match self {
            Self::Daily => 3 * DAY,
            Self::Scripted { .. } => self.lasts(),
            _ => 0,
        }
    }
}

/// All the ways of one vendor, put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ways {
    pub(crate) late: Millis,
    pub(crate) late_mean: Millis,
    pub(crate) late_per_day: Millis,
    pub(crate) frozen: Vec<(Millis, Millis)>,
    pub(crate) never_listed: f64,
    pub(crate) missing: f64,
    pub(crate) cut: f64,
    pub(crate) hole: Millis,
    pub(crate) fails: f64,
    pub(crate) list_down: Millis,
    pub(crate) effect_late: Millis,
    pub(crate) created_off: Millis,
    pub(crate) disorder: Millis,
    pub(crate) created_step: Millis,
    pub(crate) whole_seconds: bool,
    pub(crate) created_missing: bool,
    pub(crate) filter_off: Millis,
    pub(crate) filter_step: Millis,
    pub(crate) strangers: Vec<(i64, Whose)>,
    pub(crate) doubled: f64,
    pub(crate) double_late: Millis,
    pub(crate) killed: f64,
    pub(crate) down: Millis,
    pub(crate) away: Millis,
    pub(crate) reaches: Option<Millis>,
    pub(crate) put_back: Option<Millis>,
    pub(crate) other_ids: bool,
}

impl Ways {
    pub(crate) fn of(troubles: &[Trouble]) -> Self {
        let mut ways = Self { double_late: 5 * SECOND, down: 20 * MINUTE, ..Self::default() };
        for trouble in troubles {
            ways.add(*trouble);
        }
        ways
    }

    fn add(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::ListLate(by) => self.late = by,
            Trouble::ListLateAtRandom(mean) => self.late_mean = mean,
            Trouble::ListLateGrowing(by) => self.late_per_day = by,
            Trouble::ListFrozen(long, every) => {
                self.frozen.push((long, every));
            }
            Trouble::NeverListed(share) => self.never_listed = share,
            Trouble::Missing(share) => self.missing = share,
            Trouble::CutAtNewest(share) => self.cut = share,
            Trouble::Hole(long) => self.hole = long,
            Trouble::ListFails(share) => self.fails = share,
            Trouble::ListDown(long) => self.list_down = long,
            Trouble::EffectLate(most) => self.effect_late = most,
            Trouble::CreatedOff(by) => self.created_off = by,
            Trouble::Disorder(by) => self.disorder = by,
            Trouble::CreatedSteps(by) => self.created_step = by,
            Trouble::WholeSeconds => self.whole_seconds = true,
            Trouble::CreatedMissing => self.created_missing = true,
            Trouble::FilterOff(by) => self.filter_off = by,
            Trouble::FilterSteps(by) => self.filter_step = by,
            Trouble::Strangers(from, whose) => self.strangers.push((from, whose)),
            Trouble::Doubled(share, late) => (self.doubled, self.double_late) = (share, late),
            Trouble::Killed(share, down) => (self.killed, self.down) = (share, down),
            Trouble::Away(long) => self.away = long,
            Trouble::Reaches(back) => self.reaches = Some(back),
            Trouble::PutBack(by) => self.put_back = Some(by),
            Trouble::OtherIds => self.other_ids = true,
        }
    }
}

/// A world: how the account is used, and what goes wrong.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) usage: Usage,
    pub(crate) troubles: Vec<Trouble>,
}

fn world(name: &str, usage: Usage, troubles: &[Trouble]) -> World {
    World { name: name.to_owned(), usage, troubles: troubles.to_vec() }
}

/// The worlds of the rules, one kind of trouble each.
pub(crate) fn worlds() -> Vec<World> {
    use Trouble as T;
    use Usage::{Daily, Fresh, New, Weekly};
    let (ten, hour) = (10 * MINUTE, HOUR);
    vec![
        world("honest, used daily", Daily, &[]),
        world("honest, used weekly", Weekly, &[]),
        world("honest, fresh account", Fresh, &[]),
        world("list 10 min late, known account", Daily, &[T::ListLate(ten)]),
        world("list 10 min late, new account", New, &[T::ListLate(ten)]),
        world("list late at random", Daily, &[T::ListLateAtRandom(2 * MINUTE)]),
        world("list late at random, by more", Daily, &[T::ListLateAtRandom(ten)]),
        world("list 3 h late, fresh account", Fresh, &[T::ListLate(3 * hour)]),
        world("list late, growing", Daily, &[T::ListLateGrowing(4 * MINUTE)]),
        world("list frozen 20 min daily", Daily, &[T::ListFrozen(2 * ten, DAY)]),
        world("list frozen 45 min, 3 a day", Daily, &[T::ListFrozen(45 * MINUTE, 8 * hour)]),
        world("list frozen 3 h, every 5 days", Daily, &[T::ListFrozen(3 * hour, 5 * DAY)]),
        world("2 % never listed", Daily, &[T::NeverListed(0.02)]),
        world("20 % never listed", Daily, &[T::NeverListed(0.2)]),
        world("3 % missing per reading", Daily, &[T::Missing(0.03)]),
        world("cut at the newest", Daily, &[T::CutAtNewest(0.3)]),
        world("a page is lost for 3 h", Daily, &[T::Hole(3 * hour)]),
        world(
            "a page is lost, shared",
            Daily,
            &[T::Hole(3 * hour), T::Strangers(-1, Whose::Theirs)],
        ),
        world("20 % of lists fail", Daily, &[T::ListFails(0.2)]),
        world("list down 3 h a day", Daily, &[T::ListDown(3 * hour)]),
        world("effect up to 30 min late", Daily, &[T::EffectLate(30 * MINUTE)]),
        world("effect up to 3 h late", Daily, &[T::EffectLate(3 * hour)]),
        world("createdAt -2 h", Daily, &[T::CreatedOff(-2 * hour)]),
        world("createdAt +9 h", Daily, &[T::CreatedOff(9 * hour)]),
        world("list filter +5 h", Daily, &[T::FilterOff(5 * hour)]),
        world("list filter -5 h", Daily, &[T::FilterOff(-5 * hour)]),
        world("disorder 2 s", Daily, &[T::Disorder(2 * SECOND)]),
        world("disorder 30 s", Daily, &[T::Disorder(30 * SECOND)]),
        world("createdAt steps -30 h", Daily, &[T::CreatedSteps(-30 * hour)]),
        world("list filter steps -5 h", Daily, &[T::FilterSteps(-5 * hour)]),
        world("createdAt in whole seconds", Daily, &[T::WholeSeconds]),
        world("createdAt missing", Daily, &[T::CreatedMissing]),
        world("first stranger on day 3", Daily, &[T::Strangers(3, Whose::Theirs)]),
        world("shared, their own models", Daily, &[T::Strangers(-1, Whose::Theirs)]),
        world("shared, our models", Daily, &[T::Strangers(-1, Whose::Ours)]),
        world("shared, identical jobs", Daily, &[T::Strangers(-1, Whose::Twins)]),
        world("2 % delivered twice", Daily, &[T::Doubled(0.02, 5 * SECOND)]),
        world("2 % delivered twice, late", Daily, &[T::Doubled(0.02, 2 * MINUTE)]),
        world("killed at 5 % of calls", Daily, &[T::Killed(0.05, 20 * MINUTE)]),
        world("list of 24 h, away 5 days", Daily, &[T::Reaches(DAY), T::Away(5 * DAY)]),
        world("taken off after 1 h", Daily, &[T::Reaches(hour)]),
        world("put back by 6 h", Daily, &[T::PutBack(6 * hour)]),
        world("put back, shared", Daily, &[T::PutBack(6 * hour), T::Strangers(-1, Whose::Theirs)]),
        world("ids in another form", Daily, &[T::OtherIds]),
    ]
}

/// Any two kinds of trouble at once, in an account that is used daily.
pub(crate) fn pairs() -> Vec<World> {
    let alone: Vec<World> = worlds()
        .into_iter()
        .filter(|world| world.usage == Usage::Daily && world.troubles.len() == 1)
        .collect();
    let mut pairs = Vec::new();
    for (at, first) in alone.iter().enumerate() {
        for second in &alone[at + 1..] {
            let (one, other) = (first.troubles[0], second.troubles[0]);
            if std::mem::discriminant(&one) == std::mem::discriminant(&other) {
                continue;
            }
            pairs.push(World {
                name: format!("{} + {}", first.name, second.name),
                usage: Usage::Daily,
                troubles: vec![one, other],
            });
        }
    }
    pairs
}
