//! A verdict that cannot fail proves nothing: each sort of wrong, planted and found.

use super::facts::{Effect, Facts, FileState, Ordered};
use super::verdict::{Verdict, judge};
use crate::store::audit::{AuditRow, SentCall};
use serde_json::json;

fn row(kind: &str, id: &str, remote_id: &str, about: &str) -> AuditRow {
    AuditRow {
        kind: kind.into(),
        id: id.into(),
        state: "succeeded".into(),
        remote_id: Some(remote_id.into()),
        about: Some(about.into()),
        ..AuditRow::default()
    }
}

fn job(id: &str, remote_id: &str, prompt: &str) -> AuditRow {
    let request = json!({ "type": "image", "prompt": prompt }).to_string();
    AuditRow { request: Some(request), ..row("job", id, remote_id, prompt) }
}

fn output(id: &str, of: &str, remote_id: &str) -> AuditRow {
    let (parent, position) = (Some(of.into()), Some(0));
    AuditRow { parent, position, ..row("output", id, remote_id, "hash") }
}

fn effect(id: &str, prompt: &str, made: &str) -> Effect {
    Effect {
        kind: "job".into(),
        id: id.into(),
        endpoint: Some("triggerImageGenerationJob".into()),
        request: Some(json!({ "prompt": prompt })),
        status: Some("success".into()),
        outputs: vec![made.into()],
        ..Effect::default()
    }
}

/// Two pictures, a model with a photo and its training: all as it should be.
fn facts() -> Facts {
    let of_model = |row: AuditRow| AuditRow { parent: Some("M".into()), ..row };
    let made =
        |kind: &str, id: &str| Effect { kind: kind.into(), id: id.into(), ..Effect::default() };
    let order = |id: &str| Ordered {
        command: "image".into(),
        key: format!("order-{id}"),
        id: Some(id.into()),
        refused: None,
    };
    Facts {
        orders: vec![order("A"), order("B")],
        rows: vec![
            job("A", "job-a", "a hat"),
            output("A0", "A", "image-a"),
            job("B", "job-b", "a dog"),
            output("B0", "B", "image-b"),
            row("model", "M", "model-m", "Ann"),
            of_model(row("upload", "U", "image-u", "bytes")),
            of_model(AuditRow { about: None, ..row("training", "T", "model-m", "") }),
        ],
        effects: vec![
            effect("job-a", "a hat", "image-a"),
            effect("job-b", "a dog", "image-b"),
            Effect { name: Some("Ann".into()), ..made("model", "model-m") },
            Effect {
                content_sha256: Some("bytes".into()),
                model_id: Some("model-m".into()),
                ..made("image", "image-u")
            },
            made("training", "model-m"),
            Effect { kind: "foreign_job".into(), ..effect("job-x", "a cat", "image-x") },
        ],
        files: ["A0", "B0"].map(|id| (id.to_owned(), FileState::Whole)).into(),
        ..Facts::default()
    }
}

fn counts(change: impl FnOnce(&mut Facts)) -> [usize; 4] {
    let mut facts = facts();
    change(&mut facts);
    let verdict = judge(&facts);
    let Verdict { lost, duplicated, reported, wrongly_adopted, .. } = &verdict;
    [lost.len(), duplicated.len(), reported.len(), wrongly_adopted.len()]
}

fn at<'a>(facts: &'a mut Facts, id: &str) -> &'a mut AuditRow {
    facts.rows.iter_mut().find(|row| row.id == id).unwrap()
}

#[test]
fn what_is_right_is_found_right() {
    assert_eq!(judge(&facts()), Verdict::default());
}

#[test]
fn work_that_is_gone_unfinished_or_without_its_file_is_lost() {
    assert_eq!(counts(|facts| facts.orders[0].id = Some("Z".into())), [1, 0, 0, 0]);
    assert_eq!(counts(|facts| facts.orders[0].id = None), [1, 0, 0, 0]);
    assert_eq!(counts(|facts| at(facts, "A").state = "queued".into()), [1, 0, 0, 0]);
    for state in [FileState::Missing, FileState::Damaged] {
        let broken = |facts: &mut Facts| facts.files.extend([("A0".into(), state)]);
        assert_eq!(counts(broken), [1, 0, 0, 0]);
    }
    assert_eq!(counts(|facts| facts.rows.retain(|row| row.id != "A0")), [1, 0, 0, 0]);
}

#[test]
fn a_failure_needs_the_vendors_word() {
    let fail = |facts: &mut Facts, class: &str| {
        let row = at(facts, "A");
        (row.state, row.error_class) = ("failed".into(), Some(class.into()));
    };
    assert_eq!(counts(|facts| fail(facts, "refused")), [1, 0, 0, 0]);
    assert_eq!(counts(|facts| fail(facts, "vendor_failed")), [1, 0, 0, 0], "it says success");
    let failed = |facts: &mut Facts| {
        fail(facts, "vendor_failed");
        facts.effects[0].status = Some("failed".into());
    };
    assert_eq!(counts(failed), [0, 0, 0, 0]);
    let dragged = |facts: &mut Facts| {
        failed(facts);
        let row = at(facts, "B");
        (row.state, row.error_class) = ("failed".into(), Some("dependency".into()));
        facts.dependencies.push(("B".into(), "A".into()));
    };
    assert_eq!(counts(dragged), [0, 0, 0, 0], "what needed it fails too");
}

#[test]
fn an_effect_that_no_row_knows_is_lost() {
    let forgotten = |facts: &mut Facts| {
        let row = at(facts, "A");
        (row.state, row.remote_id) = ("cancelled".into(), None);
    };
    assert!(counts(forgotten)[0] > 0);
    assert_eq!(counts(|facts| facts.effects.push(effect("job-c", "a fox", "x"))), [1, 0, 0, 0]);
    let parked = |facts: &mut Facts| {
        let row = at(facts, "A");
        (row.state, row.remote_id) = ("attention".into(), None);
    };
    assert_eq!(counts(parked), [0, 0, 0, 0], "a person will say");
}

#[test]
fn a_second_effect_is_a_duplicate_unless_it_is_reported() {
    let twice = |facts: &mut Facts| facts.effects.push(effect("job-c", "a hat", "image-c"));
    assert_eq!(counts(twice), [0, 1, 0, 0]);
    let reported = |facts: &mut Facts| {
        twice(facts);
        facts.unclaimed.insert("job-c".into());
    };
    assert_eq!(counts(reported), [0, 0, 1, 0]);
    let other_way_round = |facts: &mut Facts| {
        twice(facts);
        at(facts, "A").remote_id = Some("job-c".into());
        at(facts, "A0").remote_id = Some("image-c".into());
        facts.unclaimed.insert("job-a".into());
    };
    assert_eq!(counts(other_way_round), [0, 0, 1, 0]);
    for kind in ["model", "image", "training"] {
        let again = |facts: &mut Facts| {
            let first = facts.effects.iter().find(|effect| effect.kind == kind).unwrap();
            let mut second = first.clone();
            if kind != "training" {
                second.id.push('2');
            }
            facts.effects.push(second);
        };
        assert_eq!(counts(again), [0, 1, 0, 0], "{kind}");
    }
    let stored = |facts: &mut Facts| {
        facts.rows.extend([job("C", "job-c", "a hat"), output("C0", "C", "image-c")]);
        facts.files.insert("C0".into(), FileState::Whole);
        facts.effects.push(effect("job-c", "a hat", "image-c"));
    };
    assert!(counts(stored)[1] > 0, "one key, two rows");
}

#[test]
fn what_the_network_delivered_twice_is_no_purchase_of_ours() {
    let again = |facts: &mut Facts, double_of: Option<u64>| {
        let first = facts.effects.iter().find(|effect| effect.kind == "training").unwrap();
        let second = Effect { double_of, ..first.clone() };
        facts.effects.push(second);
    };
    let mut doubled = facts();
    again(&mut doubled, Some(1));
    let verdict = judge(&doubled);
    assert!(verdict.is_good(false) && verdict.unseen.len() == 1);
    again(&mut doubled, None);
    assert_eq!(judge(&doubled).duplicated.len(), 1, "and this one is");
}

#[test]
fn a_double_that_the_next_call_took_is_told_apart() {
    let call = |opened_at| SentCall { subject: "B".into(), opened_at, ..SentCall::default() };
    let taken = |double_of, opened_at| {
        let mut facts = facts();
        facts.effects[0].seq = 7;
        facts.effects.push(Effect { double_of, seq: 8, ..effect("job-c", "a hat", "image-c") });
        // The second row was never bought: it holds the double of the first one's call.
        facts.effects.retain(|effect| effect.id != "job-b");
        at(&mut facts, "B").remote_id = Some("job-c".into());
        at(&mut facts, "B0").remote_id = Some("image-c".into());
        facts.calls.push(call(opened_at));
        let verdict = judge(&facts);
        [verdict.mistaken.len(), verdict.wrongly_adopted.len(), verdict.duplicated.len()]
    };
    assert_eq!(taken(Some(7), 9_999), [1, 0, 0]);
    assert_eq!(taken(Some(7), 10_000), [0, 1, 1], "long after that call");
    assert_eq!(taken(None, 1), [0, 1, 1], "nobody's double");
}

#[test]
fn taking_over_what_is_not_ones_own_is_found() {
    let swapped = |facts: &mut Facts| {
        at(facts, "A").remote_id = Some("job-b".into());
        at(facts, "B").remote_id = Some("job-a".into());
    };
    assert!(counts(swapped)[3] >= 2);
    let foreign = |facts: &mut Facts| at(facts, "A").remote_id = Some("job-x".into());
    assert!(counts(foreign)[3] > 0);
    let picture = |facts: &mut Facts| at(facts, "A0").remote_id = Some("image-b".into());
    assert_eq!(counts(picture), [0, 0, 0, 1]);
    let photo = |facts: &mut Facts| at(facts, "U").about = Some("other bytes".into());
    assert!(counts(photo)[3] > 0);
}

#[test]
fn duplicates_are_forgiven_only_where_they_cannot_be_avoided() {
    let mut facts = facts();
    facts.effects.push(effect("job-c", "a hat", "image-c"));
    facts.unclaimed.insert("job-c".into());
    let verdict = judge(&facts);
    assert!(verdict.is_good(true) && !verdict.is_good(false));
}
