//! What a doubt costs in requests: the looks of one that ends absent, at a vendor whose list has many
//! jobs, twenty to a page, read at ten requests a second.

use judging::clocks::{Accepted, Clocks};
use judging::times::Times;
use judging::{DAY, HOUR, MINUTE, Millis, SECOND, list, verdict};

const PAGE: u64 = 20;
const REQUEST: Millis = SECOND / 10;
const NOW: Millis = 100 * DAY;
const EVEN: Clocks = Clocks { spread: 0, offset: Some((0, 0)) };

/// Requests until a call is absent, and how long its looks took in the longest hour (ms), where
/// `in_a_week` jobs are spread evenly and the list before the call was asked from `back` before it.
fn doubt(in_a_week: u64, back: Millis) -> (u64, Millis) {
    let times = Times::auto(30 * SECOND);
    let (settle, listed_from) = (15 * MINUTE, NOW - back);
    let narrow = list::narrow(NOW, Some(listed_from), &EVEN);
    let pages = |since: Millis, at: Millis| {
        let jobs = u64::try_from(at - since).unwrap_or(0) * in_a_week / (7 * DAY).unsigned_abs();
        jobs.div_ceil(PAGE).max(1)
    };
    let (mut at, mut ripe, mut requests, mut busy) = (NOW, None, 0, 0);
    loop {
        let looking = at - NOW;
        let wide = verdict::wants_wide(looking == 0, looking, settle);
        let asked = pages(if wide { listed_from } else { narrow }, at);
        let took = i64::try_from(asked).unwrap_or(i64::MAX) * REQUEST;
        (requests, busy) = (requests + asked, busy + if looking < HOUR { took } else { 0 });
        if looking >= settle && wide {
            match ripe {
                Some(since) if looking - since >= times.relist => return (requests, busy),
                Some(_) => {}
                None => ripe = Some(looking),
            }
        }
        let pause = match ripe {
            Some(_) => times.relist.max(4 * took),
            None => times.pause(looking, took),
        };
        at += took + pause;
    }
}

/// Jobs in a week, how far back the list before the call began, and how many requests at most.
#[test]
fn a_doubt_costs_what_its_list_costs_a_few_times() {
    let table = [
        (100, 2 * HOUR, 19),
        (10_000, 2 * HOUR, 82),
        (100_000, 2 * HOUR, 737),
        (100, 25 * HOUR, 19),
        (10_000, 25 * HOUR, 289),
        (100_000, 25 * HOUR, 2_568),
    ];
    for (jobs, back, most) in table {
        let (requests, busy) = doubt(jobs, back);
        println!("{jobs} jobs in a week, asked {} h back: {requests} requests", back / HOUR);
        assert!(requests <= most, "{jobs} jobs, {} h back: {requests}", back / HOUR);
        assert!(busy <= HOUR / 5 + 3 * MINUTE, "looking takes a fifth of the time at most: {busy}");
    }
}

/// Whoever uses the account daily asks two hours back, or little more.
#[test]
fn in_daily_use_the_list_before_a_call_is_short() {
    let ours: Vec<Accepted> = (1..=3)
        .map(|n| Accepted {
            remote_id: n.to_string(),
            accepted_at: NOW - n * 10 * MINUTE,
            created_at: None,
            shown: true,
            gone: false,
        })
        .collect();
    assert_eq!(NOW - list::before_a_call(NOW, &ours, &EVEN, false), 2 * HOUR);
}
