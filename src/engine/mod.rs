//! The daemon's work: what is due, doing it, and storing what came of it.

use crate::config::{Auto, Config};
use crate::domain::ids::Millis;
use crate::domain::schedule::Timing;
use std::time::Duration;

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// The configured durations, as the rules need them.
pub fn timing(config: &Config) -> Timing {
    let settle = match config.doubt.settle {
        Auto::Set(fixed) => millis(fixed),
        Auto::Auto => Timing::default().settle,
    };
    Timing {
        poll_training: millis(config.poll.training),
        poll_job: millis(config.poll.job),
        poll_download: millis(config.poll.download),
        free_settle: millis(config.doubt.free_settle),
        settle,
        relist: millis(config.doubt.relist),
        flag_training_after: millis(config.training.flag_after),
        give_up_after: millis(config.outputs.give_up_after),
    }
}
