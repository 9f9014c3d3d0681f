//! What the page about decisions says of a verb in a state is what happens.

use super::*;
use crate::domain::event::Reason;
use crate::domain::schedule::Timing;
use crate::domain::work::Trouble;

const PAGE: &str = include_str!("../../docs/deciding.md");

/// The rows of the first table whose header has this word, cell by cell.
fn table(word: &str) -> Vec<Vec<String>> {
    let (_, below) = PAGE.split_once(&format!("| {word}")).unwrap();
    let lines = below.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    lines.map(cells).collect()
}

/// A job as the table's first column calls it.
fn job(named: &str) -> Work {
    let state = match named.split('`').nth(1).unwrap() {
        "waiting" => State::Waiting { parents: 1 },
        "queued" => State::Queued { due: 0 },
        "submitting" => State::Submitting { intent: 1 },
        "in_doubt" => State::InDoubt { intent: 1, due: 0 },
        "running" => State::Running { due: 0 },
        "collecting" => State::Collecting { missing: 1 },
        "attention" => State::Attention { missing: 0 },
        "failed" => State::Failed { at: 0 },
        "succeeded" => State::Succeeded { at: 0 },
        other => panic!("what is {other}?"),
    };
    let mut work = Work::new(new_id(), Kind::Job, state);
    let known = named.contains("id known")
        || matches!(work.state, State::Running { .. } | State::Collecting { .. });
    work.remote_id = known.then(|| "r".to_owned());
    if matches!(work.state, State::Attention { .. }) {
        let reason = if known { Reason::Missing } else { Reason::Undecidable };
        work.error = Some(Trouble { reason, message: "?".to_owned() });
    }
    work
}

#[test]
fn each_verb_works_in_the_states_that_the_page_names() {
    let rows = table("a job that is |");
    assert_eq!(rows.len(), 10);
    for row in rows {
        let [named, verbs @ ..] = row.as_slice() else { panic!("{row:?}") };
        let work = job(named);
        let timing = Timing::default();
        let by = || "me".to_owned();
        let takes = |event: Event| work.evolve(&event, 1, &timing).is_ok();
        let says = |verdict: Verdict, event: Event| {
            refuse_undecidable(&work, &verdict, "job").is_ok() && takes(event)
        };
        let adopt = Event::Adopt { remote_id: "r2".into(), by: by() };
        let cancelled = work.evolve(&Event::CancelRequested, 1, &timing);
        let ended = matches!(work.state, State::Failed { .. });
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let is = [
            yes(says(Verdict::Adopt("r2".into()), adopt)),
            yes(says(Verdict::Resubmit, Event::Resubmit { by: by() })),
            yes(says(Verdict::Abandon, Event::Abandon { by: by() })),
            match cancelled {
                Ok(work) if work.state.is_terminal() => "yes",
                Ok(_) => "later",
                Err(_) => "no",
            },
            yes(ended || takes(Event::Rewatch { by: by() })),
        ];
        assert_eq!(verbs, is, "{named}");
    }
}

/// Every word that a person can be asked with is explained.
#[test]
fn each_reason_is_on_the_page() {
    let views = include_str!("../../migrations/0002_views.sql");
    let (_, attention) = views.split_once("CREATE VIEW attention").unwrap();
    let (attention, _) = attention.split_once("CREATE VIEW").unwrap();
    let of_rows = Reason::ALL.into_iter().filter(|reason| {
        let ends = [
            Reason::Refused,
            Reason::Dependency,
            Reason::Unsendable,
            Reason::VendorFailed,
            Reason::NoOutput,
            Reason::Abandoned,
        ];
        !ends.contains(reason)
    });
    let mut words: Vec<String> = of_rows.map(|reason| reason.as_str().to_owned()).collect();
    let literal = |word: &&str| attention.contains(&format!("'{word}'"));
    let others = [
        "asked",
        "unsent",
        "possible_duplicate",
        "foreign",
        "lacks",
        "unreadable",
        "quarantine",
        "account",
        "key",
        "credits",
        "disk",
        "unreachable",
    ];
    assert!(others.iter().all(literal));
    words.extend(others.map(str::to_owned));
    for word in words {
        assert!(PAGE.contains(&format!("`{word}`")), "{word} is not explained");
    }
}
