use super::*;
use proptest::prelude::*;

const NOW: Millis = 1_700_000_000_000;

fn work(kind: Kind, state: State) -> Work {
    Work::new(Id(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)), kind, state)
}

fn failure(class: FailureClass) -> Failure {
    Failure { class, message: "m".into(), http_status: None, reply: None, retry_after: None }
}

fn step(work: &Work, event: Event) -> Work {
    work.evolve(&event, NOW, &Timing::default()).unwrap()
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

fn any_class() -> impl Strategy<Value = FailureClass> {
    prop::sample::select(vec![
        FailureClass::NotSent,
        FailureClass::RefusedForGood,
        FailureClass::RefusedForNow,
        FailureClass::Unauthorized,
        FailureClass::InsufficientCredits,
        FailureClass::Unknown,
        FailureClass::ReadFailed,
    ])
}

fn any_event() -> impl Strategy<Value = Event> {
    let text = "[a-z]{1,5}";
    prop_oneof![
        3 => Just(Event::ParentReady),
        1 => text.prop_map(|message| Event::ParentFailed { message }),
        1 => text.prop_map(|message| Event::ParentCancelled { message }),
        4 => (1i64..99).prop_map(|intent| Event::SendStarted { intent }),
        1 => (any::<i32>(), text).prop_map(|(d, note)| Event::Postponed { until: NOW + i64::from(d), note }),
        1 => text.prop_map(|message| Event::Unsendable { message }),
        4 => text.prop_map(|remote_id| Event::Accepted { remote_id }),
        4 => (any_class(), prop::option::of(0i64..1 << 40)).prop_map(|(class, retry_after)| {
            Event::CallFailed { failure: Failure { retry_after, ..failure(class) } }
        }),
        2 => text.prop_map(|note| Event::OutcomeUnknown { note }),
        2 => (any::<i32>(), text).prop_map(|(d, note)| Event::LookAgain { at: NOW + i64::from(d), note }),
        2 => (text, text).prop_map(|(remote_id, note)| Event::Found { remote_id, note }),
        3 => text.prop_map(|note| Event::Absent { note }),
        2 => (any::<i32>(), text).prop_map(|(d, note)| Event::LookFailed { until: NOW + i64::from(d), note }),
        1 => Just(Event::Recovered),
        1 => text.prop_map(|flag| Event::Flagged { flag }),
        4 => (0u32..4).prop_map(|outputs| Event::VendorDone { outputs }),
        1 => (text, any::<bool>()).prop_map(|(message, no_output)| Event::VendorFailed { message, no_output, reply: String::new() }),
        3 => Just(Event::OutputHome),
        1 => text.prop_map(|message| Event::OutputLost { message }),
        1 => Just(Event::OutputResumed),
        2 => Just(Event::Fetched),
        1 => text.prop_map(|note| Event::PrepareAgain { note }),
        1 => text.prop_map(|message| Event::NeedsPerson { reason: Reason::Undecidable, message }),
        1 => Just(Event::CancelRequested),
        1 => text.prop_map(|by| Event::Adopt { remote_id: "r".into(), by }),
        1 => text.prop_map(|by| Event::Resubmit { by }),
        1 => text.prop_map(|by| Event::Abandon { by }),
        1 => text.prop_map(|by| Event::Rewatch { by }),
        1 => text.prop_map(|by| Event::Answered { remote_id: "r".into(), note: "n".into(), by }),
    ]
}

fn any_start() -> impl Strategy<Value = (Kind, State)> {
    (any_kind(), 0u32..3).prop_map(|(kind, parents)| {
        (kind, if parents > 0 { State::Waiting { parents } } else { State::Queued { due: NOW } })
    })
}

/// Every live state names what wakes it; every terminal one has an end and nothing else.
fn assert_has_reason_to_wake(work: &Work) {
    match work.state {
        State::Waiting { parents } => assert!(parents > 0, "waits for nothing: {work:?}"),
        State::Queued { .. } | State::InDoubt { .. } | State::Fetching { .. } => {
            assert!(work.next_look(NOW, &Timing::default()).is_some());
        }
        State::Running { .. } => {
            assert!(work.next_look(NOW, &Timing::default()).is_some_and(|at| at > NOW));
            assert!(work.poll_anchor.is_some(), "running on no grid: {work:?}");
        }
        State::Submitting { intent } => assert!(intent > 0),
        State::Collecting { missing } => assert!(missing > 0, "collects nothing: {work:?}"),
        State::Attention { .. } => assert!(work.error.is_some(), "asks a person nothing: {work:?}"),
        State::Succeeded { .. } => assert!(work.error.is_none(), "{work:?}"),
        State::Failed { .. } => assert!(work.error.is_some(), "failed for no reason: {work:?}"),
        State::Cancelled { .. } => {
            assert!(work.cancel_requested_at.is_some() || work.error.is_some(), "{work:?}");
        }
    }
    if work.state.is_terminal() {
        assert!(work.state.due().is_none() && work.state.intent().is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_sequence_panics_strands_or_revives(
        (kind, state) in any_start(),
        events in prop::collection::vec(any_event(), 0..40),
    ) {
        let timing = Timing::default();
        let mut now = work(kind, state);
        let mut sent = 0u32;
        for (n, event) in events.iter().enumerate() {
            let at = NOW + n as Millis;
            match now.evolve(event, at, &timing) {
                Err(illegal) => prop_assert_eq!(illegal.event, event.name()),
                Ok(next) => {
                    prop_assert!(!now.state.is_terminal(), "a terminal state accepted {:?}", event);
                    assert_has_reason_to_wake(&next);
                    // Only an intent leads to a call, and doubt never leads straight to another one.
                    if matches!(next.state, State::Submitting { .. }) && !matches!(now.state, State::Submitting { .. }) {
                        prop_assert!(matches!(now.state, State::Queued { .. }), "sent from {now:?}");
                        sent += 1;
                    }
                    // What the vendor named stays known.
                    if now.remote_id.is_some() {
                        prop_assert!(next.remote_id.is_some());
                    }
                    now = next;
                }
            }
        }
        prop_assert!(now.attempt <= sent);
    }

    #[test]
    fn a_paid_call_in_doubt_is_only_sent_again_after_absence_or_a_person(
        kind in prop::sample::select(vec![Kind::Training, Kind::Job]),
        event in any_event(),
    ) {
        let doubt = work(kind, State::InDoubt { intent: 7, due: NOW });
        if let Ok(next) = doubt.evolve(&event, NOW, &Timing::default())
            && matches!(next.state, State::Queued { .. })
        {
            let word = matches!(event, Event::Absent { .. } | Event::Resubmit { .. });
            prop_assert!(word, "sent again after {event:?}");
        }
    }
}

#[test]
fn a_training_goes_from_waiting_to_succeeded() {
    let waiting = work(Kind::Training, State::Waiting { parents: 2 });
    let waiting = step(&waiting, Event::ParentReady);
    let queued = step(&waiting, Event::ParentReady);
    assert_eq!(queued.state, State::Queued { due: NOW });
    let sent = step(&queued, Event::SendStarted { intent: 1 });
    let running = step(&sent, Event::Accepted { remote_id: "m".into() });
    let due = running.state.due().unwrap();
    let minute = 60_000;
    assert!((NOW + 5 * minute..NOW + 5 * minute + minute / 2).contains(&due));
    let done = step(&running, Event::VendorDone { outputs: 0 });
    assert_eq!(done.state, State::Succeeded { at: NOW });
    assert_eq!(done.attempt, 1);
}

#[test]
fn every_failure_class_has_its_rule() {
    let cases = [
        (FailureClass::NotSent, "queued", 0),
        (FailureClass::RefusedForNow, "queued", 0),
        (FailureClass::Unauthorized, "queued", 0),
        (FailureClass::InsufficientCredits, "queued", 0),
        (FailureClass::RefusedForGood, "failed", 1),
        (FailureClass::Unknown, "in_doubt", 1),
        (FailureClass::ReadFailed, "in_doubt", 1),
    ];
    for (class, state, attempts) in cases {
        let sent =
            step(&work(Kind::Job, State::Queued { due: NOW }), Event::SendStarted { intent: 1 });
        let next = step(&sent, Event::CallFailed { failure: failure(class) });
        assert_eq!((next.state.as_str(), next.attempt), (state, attempts), "{class:?}");
    }
}

#[test]
fn retry_after_is_honoured() {
    let sent = step(&work(Kind::Job, State::Queued { due: NOW }), Event::SendStarted { intent: 1 });
    let failure = Failure { retry_after: Some(90_000), ..failure(FailureClass::RefusedForNow) };
    let next = step(&sent, Event::CallFailed { failure });
    assert_eq!(next.state, State::Queued { due: NOW + 90_000 });
}

#[test]
fn a_second_absence_asks_a_person_but_only_for_paid_calls() {
    for (kind, end) in [(Kind::Job, "attention"), (Kind::Upload, "queued")] {
        let mut row = work(kind, State::Queued { due: NOW });
        for _ in 0..2 {
            row = step(&row, Event::SendStarted { intent: 1 });
            row = step(&row, Event::OutcomeUnknown { note: "killed".into() });
            row = step(&row, Event::Absent { note: "not listed".into() });
        }
        assert_eq!(row.state.as_str(), end);
    }
}

#[test]
fn cancel_is_a_wish_once_the_call_is_out() {
    let queued = work(Kind::Job, State::Queued { due: NOW });
    assert_eq!(step(&queued, Event::CancelRequested).state.as_str(), "cancelled");

    let sent = step(&queued, Event::SendStarted { intent: 1 });
    let wished = step(&sent, Event::CancelRequested);
    assert_eq!(wished.state, sent.state);
    let doubt = step(&wished, Event::OutcomeUnknown { note: "x".into() });
    assert_eq!(step(&doubt, Event::Absent { note: "n".into() }).state.as_str(), "cancelled");

    let running = step(&doubt, Event::Found { remote_id: "j".into(), note: "n".into() });
    let collecting = step(&running, Event::VendorDone { outputs: 1 });
    assert_eq!(step(&collecting, Event::OutputHome).state.as_str(), "cancelled");
}

#[test]
fn a_repeatable_effect_is_never_in_doubt() {
    for (kind, state) in [(Kind::Output, "running"), (Kind::Change, "queued")] {
        let sent = step(&work(kind, State::Queued { due: NOW }), Event::SendStarted { intent: 1 });
        let next = step(&sent, Event::OutcomeUnknown { note: "killed".into() });
        assert_eq!(next.state.as_str(), state);
    }
}

#[test]
fn a_person_cannot_resubmit_what_the_vendor_already_has() {
    let mut row = work(Kind::Job, State::Attention { missing: 0 });
    row.error = Some(Trouble { reason: Reason::Missing, message: "404".into() });
    row.remote_id = Some("job_1".into());
    let timing = Timing::default();
    assert!(row.evolve(&Event::Resubmit { by: "me".into() }, NOW, &timing).is_err());
    assert_eq!(step(&row, Event::Rewatch { by: "me".into() }).state.as_str(), "running");
}

#[test]
fn a_video_file_that_is_prepared_again_and_again_is_given_up_after_its_time() {
    let mut row = work(Kind::Output, State::Queued { due: NOW });
    row.remote_id = Some("video_1".into());
    for round in 0..3 {
        row = step(&row, Event::SendStarted { intent: 1 });
        row = step(&row, Event::Accepted { remote_id: "video_1".into() });
        row = step(&row, Event::PrepareAgain { note: "error".into() });
        assert_eq!((row.failures, row.trouble_since), (round + 1, Some(NOW)));
    }
    assert!(row.state.due().unwrap() > NOW + 4_000, "the back-off grows");
}

#[test]
fn a_file_without_room_here_is_not_in_trouble_at_the_vendor() {
    let row = work(Kind::Output, State::Fetching { due: NOW });
    let later = step(&row, Event::LookAgain { at: NOW + 30_000, note: "no room".into() });
    assert_eq!(later.state, State::Fetching { due: NOW + 30_000 });
    assert_eq!((later.failures, later.trouble_since), (0, None));
    assert_eq!(later.note.as_deref(), Some("no room"));
}

#[test]
fn only_failed_looks_in_a_row_make_the_next_one_wait_longer() {
    let failed = || Event::LookFailed { until: NOW, note: "HTTP 503".into() };
    let mut row = work(Kind::Job, State::InDoubt { intent: 1, due: NOW });
    for _ in 0..3 {
        row = step(&step(&row, failed()), failed());
        assert_eq!(row.failures, 2);
        row = step(&row, Event::LookAgain { at: NOW, note: "not in the list so far".into() });
        assert_eq!(row.failures, 0);
    }
    row = step(&step(&row, failed()), Event::Absent { note: "not in the list".into() });
    assert_eq!((row.failures, row.absences), (0, 1), "the look that proved it got through");

    // The look before it is sent again.
    row = step(&row, Event::Postponed { until: NOW, note: "HTTP 503".into() });
    assert_eq!(row.failures, 1);
    let late = step(&row, Event::LookAgain { at: NOW + 30_000, note: "perhaps this one".into() });
    assert_eq!((late.failures, late.state), (0, State::Queued { due: NOW + 30_000 }));
    let never = work(Kind::Job, State::Queued { due: NOW });
    let look = Event::LookAgain { at: NOW, note: "of what?".into() };
    assert!(never.evolve(&look, NOW, &Timing::default()).is_err());
}

#[test]
fn a_person_may_settle_a_call_in_doubt() {
    for kind in [Kind::Training, Kind::Job] {
        let mut doubt = work(kind, State::InDoubt { intent: 7, due: NOW + 60_000 });
        (doubt.attempt, doubt.absences, doubt.cancel_requested_at) = (2, 1, Some(NOW));
        let adopted = step(&doubt, Event::Adopt { remote_id: "r".into(), by: "me".into() });
        assert_eq!(adopted.state.as_str(), "running");
        assert_eq!(adopted.remote_id.as_deref(), Some("r"));
        let again = step(&doubt, Event::Resubmit { by: "me".into() });
        assert_eq!(again.state, State::Queued { due: NOW });
        // Nothing is looked for before it is sent, so nothing can be found for it either.
        assert_eq!((again.absences, again.cancel_requested_at), (0, None));
        let found = Event::Found { remote_id: "late".into(), note: "listed".into() };
        assert!(again.evolve(&found, NOW, &Timing::default()).is_err());
        let given_up = step(&doubt, Event::Abandon { by: "me".into() });
        assert_eq!(given_up.state, State::Failed { at: NOW });
    }
}

#[test]
fn what_a_person_says_about_a_listed_job_makes_a_doubt_look_again_and_ends_nothing() {
    let said = || Event::Answered { remote_id: "r".into(), note: "n".into(), by: "me".into() };
    let doubt = work(Kind::Job, State::InDoubt { intent: 7, due: NOW + 60_000 });
    assert_eq!(step(&doubt, said()).state, State::InDoubt { intent: 7, due: NOW });
    let mut queued = work(Kind::Job, State::Queued { due: NOW + 60_000 });
    assert_eq!(step(&queued, said()), queued, "it waits for something else");
    queued.absences = 1;
    assert_eq!(step(&queued, said()).state, State::Queued { due: NOW });
    let running = work(Kind::Job, State::Running { due: NOW });
    assert_eq!(step(&running, said()), running);
    let over = work(Kind::Job, State::Cancelled { at: NOW });
    assert!(over.evolve(&said(), NOW, &Timing::default()).is_err());
}

#[test]
fn a_queued_job_can_be_taken_over_but_nothing_else_that_is_queued() {
    let adopt = || Event::Adopt { remote_id: "r".into(), by: "me".into() };
    let queued = work(Kind::Job, State::Queued { due: NOW });
    assert_eq!(step(&queued, adopt()).state.as_str(), "running");
    let training = work(Kind::Training, State::Queued { due: NOW });
    assert!(training.evolve(&adopt(), NOW, &Timing::default()).is_err());
}
