//! The fault grammar and the command line.

use super::*;
use crate::simulator::Fault;
use crate::simulator::fault_table::{FAULTS, Kind, Takes};
use crate::simulator::faults::Faults;
use crate::simulator::op::{OPERATIONS, Op};
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn error(spec: &str) -> String {
    spec.parse::<Fault>().unwrap_err()
}

#[test]
fn every_fault_parses_with_and_without_endpoint() {
    for row in FAULTS {
        let value = match row.takes {
            Takes::Time => "=5ms",
            Takes::Offset => "=-5m",
            Takes::Share => "=0.5",
            Takes::AnyCode => "=503",
            _ => "",
        };
        for spec in [
            format!("{}{value}", row.name),
            format!("{}{value}@any,times=1,skip=2,p=0.5,from=1s,for=2m", row.name),
            format!("{}{value}@getJobStatus+media", row.name),
        ] {
            let fault: Fault = spec.parse().unwrap_or_else(|why| panic!("{spec}: {why}"));
            assert_eq!(fault.to_string(), spec);
        }
        assert_eq!(row.kind.row().name, row.name);
    }
}

#[test]
fn every_operation_can_be_selected() {
    for row in OPERATIONS {
        assert!(format!("status=500@{}", row.name.to_uppercase()).parse::<Fault>().is_ok());
    }
}

#[test]
fn mistakes_are_explained_in_a_sentence() {
    let unknown = error("lost-replies");
    assert!(unknown.contains("`lost-replies`") && unknown.contains("lost-reply, late-accept"));
    assert!(error("lost-reply@train").contains("triggerModelTraining"));
    assert!(error("delay").contains("delay=500ms"));
    assert!(error("delay=fast").contains("not a duration"));
    assert!(error("status=9000").contains("not an HTTP status"));
    assert!(error("lost-reply=1").contains("takes no value"));
    assert!(error("nok,from=soon").contains("from=TIME or for=TIME"));
    assert!(error("delay=2s..1s").contains("ends before it begins"));
    assert!(error("date-skew").contains("date-skew=-30m"));
    assert!(error("list-drops=3").contains("between 0 and 1"));
    assert!(error("list-empty=nearly").contains("one of array, null"));
    for spec in ["nok,times", "nok,times=x", "nok,p=2", "nok,often=1", "fewer=x", "nok,for=x"] {
        assert!(!error(spec).contains('\n'), "{spec}");
    }
}

#[test]
fn skip_times_and_dice_decide_who_is_struck() {
    let strikes = |spec: &str, seed| {
        let mut faults = Faults::new(&[spec.parse().unwrap()], seed);
        let hit = |_| faults.strike(Kind::Nok, Op::Ping).is_some();
        (0..200).map(hit).collect::<Vec<bool>>()
    };
    let some = strikes("nok,skip=2,times=3", 1);
    assert_eq!(&some[..6], [false, false, true, true, true, false]);
    let dice = strikes("nok,p=0.3", 7);
    assert_eq!(dice, strikes("nok,p=0.3", 7));
    assert_ne!(dice, strikes("nok,p=0.3", 8));
    assert!((30..90).contains(&dice.iter().filter(|hit| **hit).count()));
    assert!(!strikes("nok@getModel", 1).contains(&true));
}

#[test]
fn a_fault_begins_and_ends() {
    let mut faults = Faults::new(&["nok,from=60ms,for=80ms".parse().unwrap()], 1);
    let begun = std::time::Instant::now();
    let mut in_force = 0;
    while begun.elapsed() < Duration::from_millis(200) {
        let before = begun.elapsed().as_millis();
        let (struck, peeked) =
            (faults.strike(Kind::Nok, Op::Ping).is_some(), faults.peek(Kind::Nok).is_some());
        // A slow machine may look on both sides of an edge.
        match (before, begun.elapsed().as_millis()) {
            (_, 0..60) | (150.., _) => assert!(!struck && !peeked, "at {before} ms"),
            (65.., 0..135) => {
                assert!(struck && peeked, "at {before} ms");
                in_force += 1;
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(in_force > 0);
}

#[test]
fn a_range_is_drawn_from_anew_and_alike_for_one_seed() {
    let drawn = |specs: &[&str], seed| {
        let specs: Vec<Fault> = specs.iter().map(|spec| spec.parse().unwrap()).collect();
        let mut faults = Faults::new(&specs, seed);
        let mut draw = || faults.offset(Kind::DateSkew, Op::Ping);
        (0..50).map(|_| draw()).collect::<Vec<i64>>()
    };
    let range = drawn(&["date-skew=-2s..3s"], 7);
    assert!(range.iter().all(|offset| (-2000..=3000).contains(offset)), "{range:?}");
    assert!(range.iter().any(|offset| *offset < 0) && range.iter().any(|offset| *offset > 0));
    assert_eq!(range, drawn(&["delay=1s..2s", "date-skew=-2s..3s"], 7), "dice of its own");
    assert_ne!(range, drawn(&["date-skew=-2s..3s"], 8));
    assert_eq!(drawn(&["date-skew=-30m", "date-skew=1m"], 1)[0], -29 * 60_000);
    let mut delays = Faults::new(&["delay=1s..2s".parse().unwrap()], 1);
    for _ in 0..20 {
        let time = delays.strike(Kind::Delay, Op::Ping).unwrap().time();
        assert!((1000..=2000).contains(&time.as_millis()), "{time:?}");
    }
}

#[test]
fn the_command_line_agrees_with_the_defaults() {
    let parsed = Line::try_parse_from(["simulate"]).unwrap().args;
    assert_eq!(format!("{parsed:?}"), format!("{:?}", Args::default()));
    let line = [
        "simulate",
        "--listen",
        "127.0.0.1:0",
        "--speed",
        "60",
        "--fault",
        "lost-reply,times=1",
        "--fault",
        "list-lag=3s",
        "--clock-skew",
        "-5m",
        "--retrain",
        "double",
        "--url-ttl",
        "1s",
        "--require-version",
        "false",
        "--retry-after",
        "3",
    ];
    let parsed = Line::try_parse_from(line).unwrap().args;
    assert_eq!((parsed.faults.len(), parsed.clock_skew), (2, -300_000));
    for wrong in [["--speed", "0"], ["--page-size", "0"], ["--fault", "nonsense"]] {
        assert!(Line::try_parse_from(["simulate", wrong[0], wrong[1]]).is_err());
    }
}

#[test]
fn the_help_lists_every_fault() {
    use clap::CommandFactory;
    let help = Line::command().render_long_help().to_string();
    for row in FAULTS {
        assert!(help.contains(row.name), "{}", row.name);
    }
}
