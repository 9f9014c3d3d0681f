//! What a profile means: the vendor's faults and the daemon's configuration.

use crate::cli::drill::Profile;
use std::time::Duration;

/// Trainings take about two seconds, pictures a tenth of one.
pub(super) const SPEED: &str = "600";

/// Short delays before and after every effect, so that kills hit calls in all their stages; most
/// calls go on to their end when the daemon that made them is dead, as real ones do.
const DELAYS: &[&str] = &[
    "goes-on@effects,p=0.7",
    "delay-before=30ms@effects,p=0.5",
    "delay-before=120ms@effects,p=0.25",
    "delay=60ms@effects,p=0.5",
    "delay=220ms@effects,p=0.3",
];

/// What real services do on a bad day.
const TROUBLE: &[&str] = &[
    "lost-request@effects,p=0.03",
    "status=503@effects,p=0.02",
    "html@effects,p=0.02",
    "rate-limit@effects,p=0.02",
    "lost-reply@effects,p=0.04",
    "status-after@effects,p=0.02",
    "html-after=504@effects,p=0.02",
    "bad-json@effects,p=0.01",
    "status=503@reads,p=0.03",
    "bad-json@reads,p=0.01",
    "truncated,p=0.02",
    "job-failed,p=0.03",
    "job-404=1,p=0.05",
    "training-lag=300ms,p=0.3",
];

/// A list that runs behind, by less than the settle time.
const SMALL_LAG: &str = "list-lag=250ms,p=0.5";

/// What cannot be told apart from outside.
const MALICE: &[&str] = &[
    "list-lag=4s,p=0.15",
    "list-lag=500ms,p=0.5",
    "late-accept=1s,p=0.02",
    "late-accept=4s,p=0.02",
    "foreign=4s",
    "training-listed,p=0.5",
    "hide-deleted,p=0.5",
    "mixed-case,p=0.2",
    "odd-status,p=0.1",
    "expired-url,p=0.05",
];

/// A vendor that shows badly what it truly has, each way by itself.
const LIES: &[&str] = &[
    "created-jitter=800ms@jobs",
    "created-whole,p=0.3",
    "filter-skew=-40m",
    "filter-skew=25m,from=25s",
    "no-future-end",
    "list-lag=0s..1500ms,p=0.5",
    "list-shuffled",
    "token-beside,p=0.3",
    "token-number,p=0.3",
    "token-object,p=0.02",
    "list-drops=0.001",
    "list-cut=1,p=0.03",
    "list-headless=2,p=0.03",
    "list-loops,p=0.01",
    "list-empty=null,p=0.03",
    "list-empty=missing,p=0.03",
    "list-empty=array,p=0.03",
    "empty-as=null",
    "list-frozen,from=15s,for=3s",
    "list-frozen,from=40s,for=2s",
    "date-skew=-90s..90s,p=0.3",
    "off-list=20s,p=0.02",
    "unauthorized@reads,p=0.003",
    "bare-end=canceled,p=0.02",
    "odd-end=baked,p=0.05",
    "model-id-form=prefix,p=0.1",
    "deliver-twice,p=0.03",
    "deliver-twice=700ms,p=0.02",
];

/// The longest time after which an effect shows in the list, from the call on.
pub(super) fn slowest_listing(profile: Profile) -> Duration {
    match profile {
        Profile::Clean => Duration::ZERO,
        Profile::Flaky => Duration::from_millis(500),
        Profile::Liar => Duration::from_secs(3),
        Profile::Hostile => Duration::from_secs(9),
    }
}

/// The specs for `--fault`.
pub(super) fn faults(profile: Profile) -> Vec<&'static str> {
    // What settles a call comes after the delays, which would not be asked otherwise.
    let mut faults = DELAYS.to_vec();
    match profile {
        Profile::Clean => {}
        Profile::Flaky => {
            faults.extend(TROUBLE);
            faults.push(SMALL_LAG);
        }
        Profile::Liar => {
            faults.extend(LIES);
            faults.extend(TROUBLE);
        }
        Profile::Hostile => {
            faults.extend(MALICE);
            faults.extend(TROUBLE);
        }
    }
    faults
}

/// The daemon's configuration: everything short, so that a life is long enough to do something.
///
/// The settle time has to exceed the vendor's slowest listing by more than two seconds, because
/// the vendor's clock is known to whole seconds only.
pub(super) fn config(profile: Profile) -> String {
    let exclusive = profile != Profile::Hostile;
    format!(
        "# Made by `darkroom drill`: everything is fast here. See config/darkroom.toml for a real \
         one.\n\
         [poll]\ntraining = \"300ms\"\njob = \"100ms\"\ndownload = \"50ms\"\n\n\
         [doubt]\nsettle = \"2500ms\"\nrelist = \"200ms\"\nfree_settle = \"2s\"\n\n\
         [limits]\nrequests_per_second = 500\nopen_jobs = 50\n\n\
         [sweep]\nevery = \"1s\"\n\n\
         [account]\nexclusive = {exclusive}\n\n\
         [disk]\nfloor = \"1MB\"\n\n\
         [log]\nformat = \"text\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::Fault;

    #[test]
    fn every_fault_is_one() {
        for profile in [Profile::Clean, Profile::Flaky, Profile::Hostile, Profile::Liar] {
            for spec in faults(profile) {
                assert!(spec.parse::<Fault>().is_ok(), "{spec}");
            }
        }
    }
}
