//! How long one order takes at 100 a second, until it is durable.

use crate::burst::{ORDER, PAUSE, paused_site};
use crate::report::Figure;
use crate::world::num;
use crate::{Bench, Result, median, share};
use std::time::{Duration, Instant};

const PER_SECOND: usize = 100;
const ROUNDS: usize = 3;

/// Orders at a steady rate over one connection, with raw syncs before and after in each round.
pub(crate) fn latency(bench: &mut Bench) -> Result<()> {
    let orders = if bench.quick { 300 } else { 1_000 };
    let (mut ours, mut raw, mut paced) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let folder = bench.folder("raw")?;
        let file = folder.join("sync").to_string_lossy().into_owned();
        raw.push(bench.limit(&["fsync", &file, "2000", "0"])?);
        paced.push(bench.limit(&["fsync", &file, "300", &PER_SECOND.to_string()])?);
        let site = paused_site(bench, "latency")?;
        let daemon = site.serve()?;
        let mut client = site.client(&daemon)?;
        client.post(PAUSE.0, PAUSE.1)?.json()?;
        let mut millis = Vec::with_capacity(orders);
        let begun = Instant::now();
        for n in 0..orders {
            let at = begun + Duration::from_secs(1).mul_f64(n as f64 / PER_SECOND as f64);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let one = Instant::now();
            client.post(ORDER.0, ORDER.1)?.json()?;
            millis.push(one.elapsed().as_secs_f64() * 1e3);
        }
        ours.push(millis);
        daemon.kill()?;
        raw.push(bench.limit(&["fsync", &file, "2000", "0"])?);
    }
    for (name, part, field, most) in [("p50", 0.5, "p50_us", 4.0), ("p99", 0.99, "p99_us", 3.0)] {
        let of = |rounds: &[serde_json::Value]| -> Result<f64> {
            let values = rounds.iter().map(|round| Ok(num(round, field)? / 1e3));
            Ok(median(values.collect::<Result<_>>()?))
        };
        let value = median(ours.iter_mut().map(|millis| share(millis, part)).collect());
        let note = format!("{orders} orders, median of {ROUNDS} rounds");
        let metric = format!("order at {PER_SECOND}/s, {name}");
        bench.report.add(
            Figure::new(&metric, "ms", value)
                .against("4 KiB and fdatasync, one after the other", of(&raw)?)
                .at_most(most)
                .note(note),
        );
        bench.report.add(
            Figure::new(metric, "ms", value).against("the same syncs at this rate", of(&paced)?),
        );
    }
    Ok(())
}
