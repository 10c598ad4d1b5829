//! Clients post tasks.

use slamon_domain::{Command, Refusal, Reported, State, Submitted, Sweep, Task};
use slamon_protocol::{PostTask, Terms, parse_id};
use uuid::Uuid;

use crate::driver::submitted;
use crate::fixture::Fixture;
use slamon_domain::testing::commands::{
    DUE, at, completed, completed_as, json, number, poll, poll_for, seconds, submits, task, task_id, task_of,
};

/// JSON objects that a careless store would change.
pub(super) const OBJECTS: [&str; 12] = [
    "{}",
    "{ }",
    r#"{"n":123456789012345678901234567890,"f":1.0,"i":1,"e":1E400,"z":-0,"s":0.10}"#,
    r#"{"zebra":1,"ant":2,"Ant":3,"":4}"#,
    "{ \"b\" : 1 ,\n\t\"a\":[ ]\r\n}",
    r#"{"emoji":"😀 \ud83d\ude00","é":"é","combined":"e\u0301"}"#,
    r#"{"\u0000":"\u0000","a\u0000b":["\u0000\u0001\u001f"]}"#,
    r#"{"lone":"\ud800","other":"\udfff \uD83D"}"#,
    r#"{"quote":"\"'\\","slash":"\/","sql":"'; drop table task; --","dollar":"$1 $$ ?1 :a"}"#,
    r#"{"html":"<script>&amp;</script>","spaces":"  \u2028 "}"#,
    r#"{"copy":"\\N \\. \\t","null":null,"bool":[true,false]}"#,
    r#"{"deep":[[[[[[[[{"a":{"b":{"c":[]}}}]]]]]]]]}"#,
];

pub(crate) async fn task_data_is_kept_to_the_letter(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let tasks: Vec<_> =
        (1..).zip(OBJECTS).map(|(n, data)| PostTask { task_data: Some(json(data)), ..task(n) }).collect();
    store.batch(at(0), tasks.iter().cloned().map(Command::Submit).collect()).await;
    for posted in &tasks {
        assert_eq!(store.stored(number(posted.task_id)).await.posted, *posted);
    }
    let delivered = store.poll(at(1), poll_for(1, 100, &[("wait", 1)])).await;
    let data: Vec<_> = delivered.into_iter().map(|delivery| delivery.task_data.unwrap()).collect();
    assert_eq!(data, OBJECTS.map(json));
    for posted in tasks {
        assert_eq!(store.submit(at(2), posted).await, Ok(Submitted::Repeated));
    }
}

pub(crate) async fn a_megabyte_of_task_data_is_kept(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let data = json(format!(r#"{{"long":"{}"}}"#, "0123456789abcdeé".repeat(1 << 16)));
    let posted = PostTask { task_data: Some(data.clone()), ..task(1) };
    assert_eq!(store.submit(at(0), posted.clone()).await, Ok(Submitted::Stored));
    assert_eq!(store.submit(at(0), posted.clone()).await, Ok(Submitted::Repeated));
    // Compared without assert_eq, which would print it.
    assert!(store.stored(1).await.posted == posted);
    let delivered = store.poll(at(1), poll_for(1, 1, &[("wait", 1)])).await;
    assert!(delivered[0].task_data == Some(data));
}

pub(crate) async fn no_task_data_stays_none(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let posted = PostTask { task_data: None, ..task(1) };
    assert_eq!(store.submit(at(0), posted.clone()).await, Ok(Submitted::Stored));
    let stored = store.stored(1).await;
    assert_eq!(stored, Task { posted, created: at(0), attempts: 0, state: State::Pending });
    let delivered = store.poll(at(1), poll_for(1, 1, &[("wait", 1)])).await;
    assert_eq!(delivered[0].task_data, None);
}

pub(crate) async fn any_type_and_version_can_be_stored_and_claimed(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let long = "type é😀 ".repeat(2_000);
    let longer = format!("{long}!");
    let kinds = [
        ("", 0),
        ("", i64::MIN),
        ("", i64::MAX),
        (" ", -1),
        ("wait\n", 1),
        ("'; drop table task; --", 1),
        ("名前 é e\u{301} 😀 \u{1} \u{7f} \u{2028} \u{10ffff}", 1),
        (long.as_str(), 1),
        (longer.as_str(), 1),
    ];
    assert!(long.chars().count() >= 16_000);
    for (n, (task_type, version)) in (1..).zip(kinds) {
        let posted = task_of(task_type, version, n);
        assert_eq!(store.submit(at(0), posted.clone()).await, Ok(Submitted::Stored));
        assert_eq!(store.stored(n).await.posted, posted);
    }
    for (n, kind) in (1..).zip(kinds) {
        let delivered = store.poll(at(1), poll_for(1, 100, &[kind])).await;
        assert_eq!(delivered.len(), 1, "{kind:?}");
        let delivered = &delivered[0];
        assert_eq!(
            (delivered.task_id, delivered.task_type.as_str(), delivered.task_version),
            (task_id(n), kind.0, kind.1)
        );
    }
}

pub(crate) async fn ids_are_the_same_in_any_case(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let post = |id: &str| {
        let body = format!(r#"{{"task_id":"{id}","test_id":"{id}","task_type":"wait","task_version":1}}"#);
        PostTask::parse(&body).unwrap()
    };
    assert_eq!(
        store.submit(at(0), post("ABCDEF01-2345-4678-89ab-cdefABCDEF01")).await,
        Ok(Submitted::Stored)
    );
    let lower = "abcdef01-2345-4678-89ab-cdefabcdef01";
    assert_eq!(store.submit(at(1), post(lower)).await, Ok(Submitted::Repeated));
    let stored = store.task(parse_id(lower).unwrap()).await.unwrap().unwrap();
    assert_eq!(stored.posted.task_id.to_string(), lower);
}

pub(crate) async fn a_repeated_task_changes_nothing(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    let before = store.stored(1).await;
    assert_eq!(store.submit(at(5), task(1)).await, Ok(Submitted::Repeated));
    let respaced = PostTask { task_data: Some(json(r#"{ "n": 1 }"#)), ..task(1) };
    assert_eq!(store.submit(at(6), respaced).await, Ok(Submitted::Repeated));
    assert_eq!(store.stored(1).await, before);
    assert_eq!(store.waiting().await, 2);
    assert_eq!(store.claim(at(7), 1, 9).await, [1, 2]);
}

pub(crate) async fn a_task_repeated_after_its_end_changes_nothing(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    store.claim(at(1), 1, 1).await;
    assert_eq!(store.submit(at(2), task(1)).await, Ok(Submitted::Repeated));
    assert_eq!(store.report(at(3), completed(1, "{}")).await, Ok(Reported::Stored));
    let before = store.stored(1).await;
    assert_eq!(store.submit(at(4), task(1)).await, Ok(Submitted::Repeated));
    assert_eq!(store.stored(1).await, before);
    assert!(store.claim(at(5), 1, 1).await.is_empty());
}

pub(crate) async fn another_task_with_the_same_id_is_refused(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    let before = store.stored(1).await;
    for (posted, field) in [
        (PostTask { test_id: Uuid::from_u128(3), ..task(1) }, "test_id"),
        (PostTask { task_type: "Wait".to_owned(), ..task(1) }, "task_type"),
        (PostTask { task_type: "wait ".to_owned(), ..task(1) }, "task_type"),
        (PostTask { task_version: -1, ..task(1) }, "task_version"),
        (PostTask { task_data: Some(json(r#"{"n":1.0}"#)), ..task(1) }, "task_data"),
        (PostTask { task_data: None, ..task(1) }, "task_data"),
    ] {
        assert_eq!(store.submit(at(1), posted.clone()).await, Err(Refusal::IdTaken(field)), "{posted:?}");
        assert_eq!(store.stored(1).await, before);
    }
    assert_eq!(store.waiting().await, 1);
}

pub(crate) async fn the_same_task_twice_in_a_batch(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let outcomes = store.batch(at(0), submits([1, 2, 1, 1, 2])).await;
    let outcomes: Vec<_> = outcomes.iter().map(|outcome| submitted(outcome).unwrap()).collect();
    use Submitted::{Repeated, Stored};
    assert_eq!(outcomes, [Stored, Stored, Repeated, Repeated, Repeated]);
    assert_eq!(store.claim(at(1), 1, 9).await, [1, 2]);
}

pub(crate) async fn two_tasks_with_one_id_in_a_batch(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [3]).await;
    let batch = [
        task_of("first", 1, 1),
        task_of("second", 1, 1),
        task_of("first", 2, 1),
        task_of("first", 1, 1),
        task_of("other", 1, 3),
        task(3),
        task_of("only", 1, 2),
    ];
    let outcomes = store.batch(at(1), batch.map(Command::Submit).into()).await;
    let outcomes: Vec<_> = outcomes.iter().map(submitted).collect();
    assert_eq!(
        outcomes,
        [
            Ok(Submitted::Stored),
            Err(Refusal::IdTaken("task_type")),
            Err(Refusal::IdTaken("task_version")),
            Ok(Submitted::Repeated),
            Err(Refusal::IdTaken("task_type")),
            Ok(Submitted::Repeated),
            Ok(Submitted::Stored),
        ]
    );
    assert_eq!(store.stored(1).await.posted, task_of("first", 1, 1));
    assert_eq!(store.stored(3).await.posted, task(3));
    assert_eq!(store.waiting().await, 3);
}

pub(crate) async fn a_batch_of_thousands(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 0..5_000).await;
    assert_eq!(store.waiting().await, 5_000);
    assert_eq!(store.stored(4_999).await.posted, task(4_999));
}

pub(crate) async fn a_batch_of_nothing(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(store.batch(at(0), Vec::new()).await, []);
}

pub(crate) async fn unknown_tasks_are_not_found(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    assert_eq!(store.task(task_id(2)).await.unwrap(), None);
    assert_eq!(store.task(Uuid::nil()).await.unwrap(), None);
    assert_eq!(store.task(Uuid::max()).await.unwrap(), None);
}

pub(crate) async fn the_id_of_an_attempt_is_no_tasks(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms { timeout: Some(seconds(5)), max_attempts: 3, ..Terms::default() };
    store.post_under(at(0), terms, 1).await;
    store.take(at(0), 1).await;
    store.sweep(at(5), DUE).await;
    let running = store.take(at(6), 1).await;
    let under = |id, n| PostTask { task_id: id, ..task(n) };
    assert_eq!(store.submit(at(7), under(running, 2)).await, Err(Refusal::IdOfAttempt));
    // Also in one batch with others, and twice.
    let batch = vec![
        Command::Submit(task(3)),
        Command::Submit(under(running, 4)),
        Command::from(poll(2, 0)),
        Command::Submit(under(running, 5)),
        Command::Submit(task(3)),
    ];
    let outcomes = store.batch(at(7), batch).await;
    assert_eq!(submitted(&outcomes[0]), Ok(Submitted::Stored));
    assert_eq!(submitted(&outcomes[1]), Err(Refusal::IdOfAttempt));
    assert_eq!(submitted(&outcomes[3]), Err(Refusal::IdOfAttempt));
    assert_eq!(submitted(&outcomes[4]), Ok(Submitted::Repeated));
    assert_eq!(store.task(running).await.unwrap(), None);
    // Of an attempt that is over, a late result may still come.
    store.sweep(at(11), DUE).await;
    assert_eq!(store.submit(at(12), under(running, 2)).await, Err(Refusal::IdOfAttempt));
    assert_eq!(store.report(at(12), completed_as(running, "{}")).await, Err(Refusal::TooLate(2)));
    let last = store.poll(at(12), poll(1, 1)).await.remove(0).alias;
    assert_eq!(store.report(at(13), completed_as(last, "{}")).await, Ok(Reported::Stored));
    assert_eq!(store.submit(at(14), under(last, 2)).await, Err(Refusal::IdOfAttempt));
    assert_eq!(store.state(1).await.name(), "completed");
    // The first attempt has the task's own id.
    assert_eq!(store.submit(at(14), store.stored(1).await.posted).await, Ok(Submitted::Repeated));
    // Once the task is deleted, its ids are free.
    store.sweep(at(99), Sweep { delete_after: Some(seconds(1)), ..DUE }).await;
    assert_eq!(store.submit(at(99), under(running, 2)).await, Ok(Submitted::Stored));
}

pub(crate) async fn the_poster_of_a_task_is_kept_and_compared(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms { max_attempts: 2, priority: 1, ..Terms::default() };
    let by = |poster: Option<&str>, n| {
        let terms = if n % 2 == 0 { terms.clone() } else { Terms::default() };
        PostTask { posted_by: poster.map(str::to_owned), terms, ..task(n) }
    };
    let posters = [None, Some(""), Some("shop"), Some("shop "), Some("Sh\u{f6}p's \"\\😀\n")];
    let posts: Vec<PostTask> =
        (1..).zip(posters.iter().chain(&posters)).map(|(n, by_whom)| by(*by_whom, n)).collect();
    let outcomes = store.batch(at(0), posts.iter().cloned().map(Command::Submit).collect()).await;
    assert!(outcomes.iter().all(|outcome| submitted(outcome) == Ok(Submitted::Stored)), "{outcomes:?}");
    let all_kept = async || {
        for (n, posted) in (1..).zip(&posts) {
            assert_eq!(store.stored(n).await.posted, *posted);
        }
    };
    all_kept().await;
    for (n, posted) in (1..).zip(&posts) {
        assert_eq!(store.submit(at(1), posted.clone()).await, Ok(Submitted::Repeated));
        for other in posters.iter().filter(|other| other.map(str::to_owned) != posted.posted_by) {
            // Nothing is said of what else differs.
            let other = PostTask { task_version: 7, ..by(*other, n) };
            assert_eq!(store.submit(at(1), other).await, Err(Refusal::IdTaken("who posted it")));
        }
    }
    assert_eq!(store.claim(at(2), 1, 20).await.len(), posts.len());
    store.report(at(3), completed(3, "{}")).await.unwrap();
    store.cancel(at(3), 4).await.unwrap();
    all_kept().await;
    assert_eq!(store.submit(at(4), posts[2].clone()).await, Ok(Submitted::Repeated));
    assert_eq!(store.submit(at(4), by(None, 3)).await, Err(Refusal::IdTaken("who posted it")));

    // In one batch, the first one decides.
    let batch = [by(Some("a"), 21), by(Some("b"), 21), by(Some("a"), 21), by(None, 21)];
    let outcomes = store.batch(at(5), batch.clone().map(Command::Submit).into()).await;
    let refused = Err(Refusal::IdTaken("who posted it"));
    let expected = [Ok(Submitted::Stored), refused, Ok(Submitted::Repeated), refused];
    assert_eq!(outcomes.iter().map(submitted).collect::<Vec<_>>(), expected);
    assert_eq!(store.stored(21).await.posted, batch[0]);
}
