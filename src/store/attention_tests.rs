//! What waits for a person: what lists lack, what cannot be read, and who may answer it.

use super::listing::{Readable, Unreadable};
use super::report::Duty;
use super::tests::{Bench, one_job};

#[tokio::test]
async fn calls_in_doubt_that_are_asked_about_and_a_list_that_lacks_are_shown() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.by_hand("UPDATE intents SET asked = 'no witness'").await.unwrap();
    let lacks = "INSERT INTO missing VALUES ('r7', 1, 0, 5, 9, 'lacks', NULL)";
    bench.by_hand(lacks).await.unwrap();
    let duties = bench.store.attention().await.unwrap();
    let [Duty::Row(row), Duty::Listed(list)] = duties.as_slice() else { panic!("{duties:?}") };
    assert_eq!((row.id, row.state.as_str()), (id, "in_doubt"));
    assert!(row.why.contains("a person may decide: no witness"), "{}", row.why);
    assert_eq!((list.id.as_str(), list.error_class.as_str()), ("r7", "lacks"));
    let why = "SELECT why || ' ' || reason FROM attention WHERE kind = 'job'";
    assert_eq!(bench.one(why).await.as_deref(), Some("no witness asked"));
    // Pages stay where they are.
    let first = bench.store.attention_page(1, None).await.unwrap();
    let second = bench.store.attention_page(1, first.next).await.unwrap();
    assert_eq!((first.items[0].id(), second.items[0].id()), (id.to_string(), "r7".to_owned()));
    assert!(second.next.is_none());
    bench.resubmit(id).await.unwrap();
    assert_eq!(bench.store.attention_count().await.unwrap(), 1);
}

/// A person may know of a job that the list never shows, but only where the list was seen to lack some.
#[tokio::test]
async fn what_a_list_lacks_may_be_adopted_by_whoever_knows_its_id() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    let error = bench.adopt(id, "r9").await.unwrap_err().to_string();
    assert!(error.contains("has never shown \"r9\""), "{error}");
    bench.by_hand("INSERT INTO missing VALUES ('r7', 1, 0, 5, 9, 'lacks', NULL)").await.unwrap();
    bench.adopt(id, "r9").await.unwrap();
    assert_eq!(bench.book().await, "accepted=r9");
}

/// A list that cannot be read is noted at once; a person is asked when it has lasted.
#[tokio::test]
async fn a_list_that_cannot_be_read_for_hours_is_in_attention_until_it_can() {
    let bench = Bench::new().await;
    let unreadable = |asked| Unreadable { since: 7, why: "it is a page of HTML".into(), asked };
    let duties = async || bench.store.attention().await.unwrap();
    bench.store.writer().write(Readable(Some(unreadable(false)))).await.unwrap();
    assert!(duties().await.is_empty());
    bench.store.writer().write(Readable(Some(unreadable(true)))).await.unwrap();
    let found = duties().await;
    let [Duty::Listed(list)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((list.id.as_str(), list.error_class.as_str()), ("list", "unreadable"));
    assert!(
        list.why.contains("nothing can be bought") && list.why.contains("HTML"),
        "{}",
        list.why
    );
    bench.store.writer().write(Readable(None)).await.unwrap();
    assert!(duties().await.is_empty());
}
