//! Rows are due once, at their time, and never asked about sooner than an interval after the last
//! time, whatever the clocks do.

use super::*;
use proptest::prelude::*;

const INTERVAL: Millis = 5_000;
const NOW: Millis = 1_800_000_000_000;

fn row(n: u128) -> Ref {
    (Kind::Job, Id(uuid::Uuid::from_u128(n)))
}

fn watched(row: Ref, due: Millis) -> Watched {
    Watched {
        row,
        remote_id: Some(uuid::Uuid::from_u128(7).to_string()),
        word: Some("running".to_owned()),
        accepted_at: Some(NOW),
        anchor: NOW,
        due,
        plain: true,
    }
}

fn at(ms: Millis) -> Moment {
    Moment { now: NOW + ms, steady: 1_000 + ms }
}

#[test]
fn a_row_is_due_once_at_its_newest_time() {
    let mut watch = Watch::default();
    watch.put(watched(row(1), NOW + 10), INTERVAL, at(0));
    watch.put(watched(row(1), NOW + 20), INTERVAL, at(0));
    assert_eq!((watch.first_due(NOW + 15), watch.len()), (None, 1));
    assert_eq!(watch.first_due(NOW + 20), Some(row(1)));
    assert!(watch.take(row(1)).unwrap().is_fresh());
    assert!(watch.first_due(NOW + 99_999).is_none() && watch.take(row(1)).is_none());
    assert_eq!(watch.oldest(), Some(NOW + 20), "the look under way counts");
    watch.asked(row(1), at(25).steady);
    // Meanwhile its row has been read again: that starts no second look.
    watch.put(watched(row(1), NOW + 20), INTERVAL, at(30));
    assert!(watch.first_due(NOW + 99_999).is_none());
    watch.done(row(1), INTERVAL, at(40), None);
    assert_eq!(watch.next(), Some(NOW + 5_050), "the next point of the grid");
    watch.forget(row(1));
    assert_eq!((watch.oldest(), watch.is_empty()), (None, true));
}

#[test]
fn a_training_that_was_held_up_is_back_with_the_others_one_turn_later() {
    let after = |kind: Kind, late: Millis| {
        let row = (kind, row(1).1);
        let mut watch = Watch::default();
        watch.put(watched(row, NOW + 5_050), INTERVAL, at(0));
        watch.take(row).unwrap();
        watch.asked(row, at(5_050 + late).steady);
        watch.done(row, INTERVAL, at(5_050 + late), None);
        watch.next().unwrap() - NOW
    };
    let training = |late| after(Kind::Training, late);
    assert_eq!(
        (training(50), training(300)),
        (10_100, 10_350),
        "still in time to be asked with them"
    );
    assert_eq!(training(301), 15_150);
    assert_eq!(after(Kind::Job, 301), 10_351, "nobody waits for a job");
}

#[test]
fn rows_are_counted_by_kind_once_all_are_read() {
    let mut watch = Watch::default();
    watch.put(watched(row(1), NOW), INTERVAL, at(0));
    watch.put(watched(row(1), NOW), INTERVAL, at(0));
    watch.put(watched(row(2), NOW), INTERVAL, at(0));
    assert_eq!(watch.running(Kind::Job), None);
    watch.set_complete(true);
    watch.forget(row(2));
    watch.forget(row(2));
    assert_eq!((watch.running(Kind::Job), watch.running(Kind::Training)), (Some(1), Some(0)));
}

#[test]
fn ids_come_back_as_they_were_spelt() {
    for text in
        ["8f14e45f-ceea-467f-a0e6-2ea2c9f4b1c3", "8F14E45F-CEEA-467F-A0E6-2EA2C9F4B1C3", "x", ""]
    {
        assert_eq!(Remote::new(text).text(), text);
    }
    assert_ne!(Word::new(Some("running")), Word::new(Some("queued")));
}

/// The table, the queue and their spare room, for a row whose id is a UUID.
#[test]
fn what_a_row_costs() {
    let (entry, queued) = (size_of::<(Ref, Entry)>() + 1, size_of::<(Millis, Ref)>());
    // A table is 7/16 to 7/8 full; nodes of the queue are at least half full, mostly two thirds.
    assert!(entry * 16 / 7 + queued * 2 <= 300, "{entry} + {queued}");
    assert!(entry * 3 / 2 + queued * 3 / 2 <= 200, "{entry} + {queued}");
}

#[test]
fn what_is_due_soon_is_asked_about_together_but_not_within_its_interval() {
    let mut watch = Watch::default();
    for n in 1..=4 {
        watch.put(watched(row(n), NOW + 10), INTERVAL, at(0));
    }
    let by = |watch: &Watch, until: i64, now: i64| {
        watch.due_by(&[Kind::Job], NOW + until, INTERVAL, at(now)).len()
    };
    assert_eq!(by(&watch, 20, 0), 0, "nobody knows when they were asked about last");
    assert_eq!(by(&watch, 20, 10), 4);
    for n in 1..=2 {
        watch.asked(row(n), at(10 + i64::try_from(n).unwrap()).steady);
        watch.put_off(row(n), NOW + INTERVAL + 100);
        watch.put_off(row(n + 2), NOW + INTERVAL + 200);
    }
    assert_eq!(by(&watch, INTERVAL + 200, INTERVAL + 11), 1);
    assert_eq!(by(&watch, INTERVAL + 200, INTERVAL + 12), 2);
    assert_eq!(by(&watch, INTERVAL + 200, INTERVAL + 200), 4);
}

proptest! {
    /// After a start: at once if nobody has asked for an interval, else at a point of the grid, but
    /// not before that, and never before its time; what comes in later keeps to the grid.
    #[test]
    fn what_the_last_daemon_left_is_not_asked_about_within_an_interval(
        due in -50_000i64..50_000, free in prop::option::of(-50_000i64..50_000),
    ) {
        let mut watch = Watch::default();
        if let Some(free) = free {
            watch.may_ask_from(Kind::Job, at(0).steady + free);
        }
        watch.put(watched(row(1), NOW + due), INTERVAL, at(0));
        let grid = schedule::grid_next(NOW, schedule::step(INTERVAL), NOW);
        let next = watch.next().unwrap() - NOW;
        match free {
            _ if due > 0 => prop_assert_eq!(next, due),
            None => prop_assert_eq!(next, grid - NOW),
            Some(free) if free <= 0 => prop_assert_eq!(next, 0),
            Some(free) => prop_assert_eq!(next, free.max(grid - NOW)),
        }
        watch.set_complete(true);
        watch.put(watched(row(2), NOW + due), INTERVAL, at(0));
        let second = watch.get(row(2)).unwrap().at;
        prop_assert_eq!(second, if due > 0 { NOW + due } else { grid });
        watch.asked(row(1), at(1).steady);
        watch.set_complete(false);
        watch.put(watched(row(1), NOW + due), INTERVAL, at(2));
        prop_assert!(watch.get(row(1)).unwrap().at >= NOW + 1 + INTERVAL);
    }

    /// However late looks are and however the wall clock jumps between them.
    #[test]
    fn no_row_is_asked_about_sooner_than_an_interval_after_the_last_time(
        first in 1i64..20_000,
        delays in prop::collection::vec((0i64..8_000, 0i64..500, -50_000i64..50_000), 1..40),
    ) {
        let mut watch = Watch::default();
        let (mut wall, mut steady, mut last) = (NOW, 1_000, None::<Millis>);
        watch.put(watched(row(1), NOW + first), INTERVAL, Moment { now: wall, steady });
        for (late, takes, jump) in delays {
            let next = watch.next().unwrap();
            let wait = (next - wall).max(0) + late;
            (wall, steady) = (wall + wait, steady + wait);
            let due = watch.first_due(wall).unwrap();
            watch.take(due).unwrap();
            prop_assert!(last.is_none_or(|last| steady - last >= INTERVAL));
            last = Some(steady);
            watch.asked(due, steady);
            (wall, steady) = (wall + takes + jump, steady + takes);
            watch.done(due, INTERVAL, Moment { now: wall, steady }, None);
            // A list that did not show it, or shall show it soon.
            let now = Moment { now: wall, steady };
            match late % 3 {
                0 => watch.miss(due, INTERVAL, now),
                1 => watch.leave(due, watch.next().unwrap() + INTERVAL / 2),
                _ => watch.back_to_single(Kind::Job, INTERVAL, now),
            }
            // As after a clock that was set: every row is read anew.
            let read = watched(row(1), NOW + first);
            watch.put(read, INTERVAL, Moment { now: wall, steady });
            // Unless the stored first look lies ahead again, nobody waits for longer than this.
            let most = (2 * INTERVAL + 500).max(NOW + first - wall);
            prop_assert!(watch.next().unwrap() - wall <= most);
        }
    }

    /// A look that is a little late is followed by one on the grid.
    #[test]
    fn small_delays_do_not_add_up(lates in prop::collection::vec(0i64..=50, 1..200)) {
        let mut watch = Watch::default();
        watch.put(watched(row(1), NOW), INTERVAL, at(0));
        let mut moment = at(0);
        for (n, late) in lates.iter().enumerate() {
            let next = watch.next().unwrap();
            prop_assert_eq!(next, NOW + 5_050 * (n as Millis + 1));
            let wait = next - moment.now + late;
            moment = Moment { now: moment.now + wait, steady: moment.steady + wait };
            watch.take(row(1)).unwrap();
            watch.asked(row(1), moment.steady);
            watch.done(row(1), INTERVAL, moment, None);
        }
    }
}

/// A word that is gone by the next look has cost no commit; one look later a row says what is true,
/// however often the vendor changes its word.
#[test]
fn a_word_is_stored_one_look_after_the_first_change() {
    let (queued, running) = (Word::new(Some("queued")), Word::new(Some("running")));
    let mut watch = Watch::default();
    watch.put(Watched { word: None, ..watched(row(1), NOW) }, INTERVAL, at(0));
    let ignores =
        |watch: &Watch, word: Word| watch.get(row(1)).is_some_and(|entry| entry.may_ignore(word));
    assert!(ignores(&watch, queued), "the first one");
    watch.found_open(row(1), queued);
    assert!(!ignores(&watch, running) && !ignores(&watch, queued));
    watch.found_open(row(1), running);
    // It is stored, and so the row is read again.
    watch.put(watched(row(1), NOW), INTERVAL, at(5_000));
    assert!(ignores(&watch, running), "nothing new");
    assert!(ignores(&watch, queued), "the first one again");
    watch.found_open(row(1), queued);
    assert!(!ignores(&watch, queued), "for good");
    assert!(ignores(&watch, running), "back as if nothing had been");
    watch.found_open(row(1), queued);
    watch.stored_word(row(1));
    assert!(ignores(&watch, queued));
}
