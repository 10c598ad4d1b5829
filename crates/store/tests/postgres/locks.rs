//! Rows that somebody else keeps locked: what needs them is told so, and nobody else waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slamon_domain::{Command, Refusal, Reported, State, Submitted, Sweep, Swept};
use slamon_protocol::Terms;
use slamon_store::{PostgresStore, Store, StoreError, TraceStore};
use tokio_postgres::Client;

use crate::cluster::Cluster;
use crate::{apply, at, given, id, poll, report, report_under, submit, submit_under, try_apply};
use slamon_domain::testing::outcome::Outcome;

const STORED: Outcome = Outcome::Submit(Ok(Submitted::Stored));
const REPORTED: Outcome = Outcome::Report(Ok(Reported::Stored));

/// Much less than the 20 s that a statement of these stores may take.
const IN_TIME: Duration = Duration::from_secs(10);

async fn start() -> (Cluster, Arc<PostgresStore>) {
    let cluster = Cluster::start();
    let store = Arc::new(cluster.store());
    store.create_tables().await.unwrap();
    (cluster, store)
}

/// Somebody who has run these statements in a transaction, and does not end it until told to.
async fn somebody(cluster: &Cluster, sql: &str) -> Client {
    let client = cluster.connect().await;
    client.batch_execute(&format!("begin; {sql}")).await.unwrap();
    client
}

async fn end(somebody: Client) {
    somebody.batch_execute("rollback").await.unwrap();
}

/// Applies a batch, which must not take long.
async fn in_time(store: &PostgresStore, batch: Vec<Command>, second: i64) -> Vec<Outcome> {
    let began = Instant::now();
    let outcomes = try_apply(store, batch, second).await.unwrap();
    assert!(began.elapsed() < IN_TIME, "it took {:?}", began.elapsed());
    outcomes
}

fn sql_id(n: u128) -> String {
    format!("'{}'", id(n))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_task_keeps_only_what_needs_it() {
    let (cluster, store) = start().await;
    apply(&store, (1..=6).map(|n| submit(n, "t")).collect()).await;
    apply(&store, vec![poll(1, &["t"], 6)]).await;
    let rows =
        format!("select from task where id in ({}, {}, {}) for update", sql_id(1), sql_id(2), sql_id(3));
    let somebody = somebody(&cluster, &rows).await;
    let claimed_at = at(0);
    let release = |n: u128| {
        let task_ids = vec![id(n), id(6)];
        Command::Release { agent_id: id(1), claimed_at, task_ids, cancelled: Vec::new() }
    };
    let batch = vec![submit(7, "t"), report(1), Command::Cancel(id(2)), report(4), release(3), report(9)];
    let outcomes = in_time(&store, batch.clone(), 0).await;
    let unknown = Outcome::Report(Err(Refusal::UnknownTask));
    assert_eq!(outcomes, [STORED, Outcome::Locked, Outcome::Locked, REPORTED, Outcome::Locked, unknown]);
    // What nobody has locked is released all the same.
    assert_eq!(store.task(id(6)).await.unwrap().unwrap().state, State::Pending);
    end(somebody).await;
    let outcomes = in_time(&store, batch, 0).await;
    assert_eq!(outcomes[1], REPORTED);
    let Outcome::Cancel(Some(Ok(task))) = &outcomes[2] else { panic!("{:?}", outcomes[2]) };
    assert_eq!(task.posted.task_id, id(2));
    assert_eq!(outcomes[4], Outcome::Release(1));
}

/// Task 1 in its second attempt, and the alias of that.
async fn in_second_attempt(store: &PostgresStore) -> uuid::Uuid {
    let terms = Terms { timeout: Some(Duration::from_secs(5)), max_attempts: 2, ..Terms::default() };
    apply(store, vec![submit_under(1, "t", terms), poll(1, &["t"], 1)]).await;
    let due =
        Sweep { limit: 9, lost_after: None, forget_after: None, delete_after: None, heartbeats: Vec::new() };
    try_apply(store, vec![Command::Sweep(due)], 6).await.unwrap();
    let outcomes = try_apply(store, vec![poll(2, &["t"], 1)], 6).await.unwrap();
    let Outcome::Poll(polled) = &outcomes[0] else { panic!("{outcomes:?}") };
    polled.tasks[0].alias
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_task_is_so_under_each_of_its_ids() {
    let (cluster, store) = start().await;
    let alias = in_second_attempt(&store).await;
    let somebody = somebody(&cluster, &format!("select from task where id = {} for update", sql_id(1))).await;
    let batch = vec![report_under(alias, 7), report(1), submit(2, "t")];
    assert_eq!(in_time(&store, batch.clone(), 7).await, [Outcome::Locked, Outcome::Locked, STORED]);
    end(somebody).await;
    let late = Outcome::Report(Err(Refusal::TooLate(1)));
    let repeated = Outcome::Submit(Ok(Submitted::Repeated));
    assert_eq!(in_time(&store, batch, 7).await, [REPORTED, late, repeated]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_result_is_kept_although_its_attempt_is_changed_meanwhile() {
    let (cluster, store) = start().await;
    let terms = Terms { ttl: Some(Duration::from_secs(5)), ..Terms::default() };
    apply(&store, vec![submit_under(1, "t", terms), poll(1, &["t"], 1)]).await;
    let due =
        Sweep { limit: 9, lost_after: None, forget_after: None, delete_after: None, heartbeats: Vec::new() };
    try_apply(&store, vec![Command::Sweep(due)], 6).await.unwrap();
    // As another AFM does when it tells the agent: the row is another one then, in another place.
    let tell = "update attempt set untold = false";
    let somebody = somebody(&cluster, tell).await;
    let reporting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { try_apply(&store, vec![report(1)], 7).await.unwrap() })
    };
    // It either says so at once, or waits.
    let waits = "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'";
    while !reporting.is_finished() && cluster.sql(waits) == "f" {}
    somebody.batch_execute("commit").await.unwrap();
    let mut outcomes = reporting.await.unwrap();
    if outcomes == [Outcome::Locked] {
        outcomes = try_apply(&store, vec![report(1)], 7).await.unwrap();
    }
    assert_eq!(outcomes, [Outcome::Report(Err(Refusal::TooLate(1)))]);
    let attempts = store.attempts(id(1)).await.unwrap();
    assert!(attempts[0].1.is_some(), "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_somebody_else_is_about_to_post_keep_nobody_waiting() {
    let (cluster, store) = start().await;
    let theirs = "insert into task (id, test_id, type, version, created_at, state)
        select lpad(to_hex(n), 32, '0')::uuid, lpad('', 32, '0')::uuid, 't', 1, now(), 'pending'
        from generate_series(0, 199) as n where n % 4 = 3";
    let somebody = somebody(&cluster, theirs).await;
    let batch: Vec<Command> = (0..200).map(|n| submit(n, "t")).chain([poll(9, &["t"], 500)]).collect();
    let outcomes = in_time(&store, batch, 0).await;
    let (theirs, ours): (Vec<_>, Vec<_>) = (0..200_usize).partition(|n| n % 4 == 3);
    assert!(theirs.iter().all(|n| outcomes[*n] == Outcome::Locked), "{outcomes:?}");
    assert!(ours.iter().all(|n| outcomes[*n] == STORED), "{outcomes:?}");
    assert_eq!(given(&outcomes[200]).len(), 150);
    somebody.batch_execute("commit").await.unwrap();
    assert_eq!(apply(&store, vec![submit(3, "t")]).await, [Outcome::Submit(Ok(Submitted::Repeated))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_agent_gets_tasks_and_is_saved_later() {
    let (cluster, store) = start().await;
    apply(&store, (1..=9).map(|n| submit(n, "t")).chain([poll(1, &["t"], 1)]).collect()).await;
    let capabilities = "select string_agg(type, ' ' order by type) from agent_offer";
    for row in [
        "select from agent for update",
        "select from agent_offer for update",
        "insert into agent (id, name, capabilities, last_seen)
         values (lpad('2', 32, '0')::uuid, '', '', now())",
    ] {
        let agent = if row.starts_with("insert") { 2 } else { 1 };
        let before = cluster.sql(capabilities);
        let new = format!("new of {row}");
        let polling = poll(agent, &["t", &new], 1);
        let somebody = somebody(&cluster, row).await;
        let began = Instant::now();
        let seen = Command::Seen(vec![(id(1), at(50))]);
        let applied = store.apply(vec![polling.clone(), seen].into(), at(50)).await.unwrap();
        assert!(began.elapsed() < IN_TIME, "{row}: {:?}", began.elapsed());
        let [Ok(polled)] = &applied.replies.polls[..] else { panic!("{row}: {applied:?}") };
        assert_eq!(polled.tasks.len(), 1, "{row}");
        assert_eq!(applied.replies.seen, [Ok(vec![])], "{row}");
        assert_eq!(applied.unsaved, [id(agent)], "{row}");
        assert_eq!(cluster.sql(capabilities), before, "{row}");
        // So does what it has done.
        let done = report(polled.tasks[0].task_id.as_u128());
        assert_eq!(in_time(&store, vec![done], 60).await, [REPORTED], "{row}");
        end(somebody).await;
        let applied = store.apply(vec![polling].into(), at(70)).await.unwrap();
        assert!(applied.unsaved.is_empty(), "{row}");
        assert!(cluster.sql(capabilities).contains(&new), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_row_is_locked_is_not_lost_and_saved_later() {
    let (cluster, store) = start().await;
    apply(&store, vec![submit(1, "t"), poll(1, &["t"], 1)]).await;
    let somebody = somebody(&cluster, "select from agent for update").await;
    let seen = Command::Seen(vec![(id(1), at(90))]);
    let began = Instant::now();
    let applied = store.apply(Arc::new([seen]), at(90)).await.unwrap();
    assert!(began.elapsed() < IN_TIME);
    assert_eq!((applied.replies.seen, &applied.heartbeats), (vec![Ok(vec![])], &vec![(id(1), at(90))]));
    let silent = Command::Sweep(Sweep {
        limit: 9,
        lost_after: Some(Duration::from_secs(60)),
        forget_after: Some(Duration::from_secs(60)),
        delete_after: None,
        heartbeats: applied.heartbeats.clone(),
    });
    let nobody = |outcome: &Outcome| matches!(outcome, Outcome::Sweep(Swept { lost: 0, forgotten: 0, .. }));
    let outcomes = in_time(&store, vec![silent], 100).await;
    assert!(nobody(&outcomes[0]), "{outcomes:?}");
    end(somebody).await;
    let later = store.apply(Arc::new([Command::Seen(applied.heartbeats)]), at(101)).await.unwrap();
    assert!(later.heartbeats.is_empty());
    assert_eq!(cluster.sql("select extract(epoch from last_seen)::bigint - 1800000000 from agent"), "90");
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_pass_over_what_belongs_to_locked_rows() {
    let (cluster, store) = start().await;
    apply(&store, vec![submit(1, "t"), submit(2, "t"), poll(1, &["t"], 2), poll(2, &["t"], 1)]).await;
    apply(&store, vec![Command::Cancel(id(1)), Command::Cancel(id(2))]).await;
    let rows = format!(
        "select from attempt where task_id = {} for update;
         select from agent_offer where agent_id = {} for update",
        sql_id(1),
        sql_id(2)
    );
    let somebody = somebody(&cluster, &rows).await;
    let second = Some(Duration::from_secs(1));
    let old = Command::Sweep(Sweep {
        limit: 9,
        lost_after: None,
        forget_after: second,
        delete_after: second,
        heartbeats: Vec::new(),
    });
    let counts = "select (select string_agg(right(id::text, 1), '') from task),
        (select string_agg(right(task_id::text, 1), '') from attempt),
        (select string_agg(right(id::text, 1), '') from agent),
        (select string_agg(right(agent_id::text, 1), '') from agent_offer)";
    in_time(&store, vec![old.clone(), submit(3, "t")], 50).await;
    // A task that is new, and what is left.
    cluster.sql(&format!("delete from task where id = {}", sql_id(3)));
    assert_eq!(cluster.sql(counts), "1|1|2|2");
    end(somebody).await;
    in_time(&store, vec![old], 60).await;
    assert_eq!(cluster.sql(counts), "|||");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_somebody_else_is_about_to_insert_is_not_waited_for() {
    let (cluster, store) = start().await;
    apply(&store, vec![submit(1, "t"), submit(2, "t"), poll(1, &["t"], 2)]).await;
    let theirs = format!(
        "insert into attempt (task_id, number, alias, agent_id, claimed_at, ended_at, ending)
         values ({0}, 1, {0}, {0}, now(), now(), 'lost')",
        sql_id(1)
    );
    let somebody = somebody(&cluster, &theirs).await;
    let began = Instant::now();
    let error = try_apply(&store, vec![Command::Cancel(id(1)), report(2)], 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error:?}");
    assert!(began.elapsed() < IN_TIME);
    assert_eq!(in_time(&store, vec![report(2)], 1).await, [REPORTED]);
    end(somebody).await;
    let outcomes = in_time(&store, vec![Command::Cancel(id(1))], 1).await;
    assert!(matches!(outcomes[0], Outcome::Cancel(Some(Ok(_)))), "{outcomes:?}");
}

/// While a batch finds out which of its posts it would wait for, others may change the tasks of its results.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_counts_as_its_task_is_once_posts_are_sorted() {
    let (cluster, store) = start().await;
    apply(&store, vec![submit(2, "t"), poll(1, &["t"], 1)]).await;
    // The batch inserts task 8 to try it, and then to keep it: that time it is held up.
    let held_up = format!(
        "create sequence inserts;
         create function hold_up() returns trigger language plpgsql as
             'begin
                 if nextval(''inserts'') = 2 then
                     while not pg_try_advisory_xact_lock(1) loop perform pg_sleep(0.01); end loop;
                 end if;
                 return null;
             end';
         create trigger hold_up after insert on task for each row
         when (new.id = {}) execute function hold_up()",
        sql_id(8)
    );
    cluster.sql(&held_up);
    let theirs = format!(
        "insert into task (id, test_id, type, version, created_at, state)
         values ({0}, {0}, 't', 1, now(), 'pending'); select pg_advisory_xact_lock(1)",
        sql_id(9)
    );
    let somebody = somebody(&cluster, &theirs).await;
    let batch = vec![submit(8, "t"), submit(9, "t"), report(2)];
    let applying = tokio::spawn({
        let store = Arc::clone(&store);
        async move { try_apply(&store, batch, 1).await }
    });
    cluster.wait_for("select count(*) from pg_stat_activity where wait_event = 'PgSleep'", "1");
    let cancelled = apply(&cluster.store(), vec![Command::Cancel(id(2))]).await;
    assert!(matches!(cancelled[0], Outcome::Cancel(Some(Ok(_)))), "{cancelled:?}");
    end(somebody).await;
    let late = Outcome::Report(Err(Refusal::TooLate(1)));
    assert_eq!(applying.await.unwrap().unwrap(), [STORED, Outcome::Locked, late]);
    assert_eq!(cluster.sql(&format!("select state from task where id = {}", sql_id(2))), "cancelled");
}

/// Two AFMs that delete what is left of the same tasks would otherwise wait for each other.
#[tokio::test(flavor = "multi_thread")]
async fn spans_of_posters_that_somebody_else_deletes_are_passed_over() {
    let (cluster, store) = start().await;
    store.save_traces((1..=3).map(|n| (id(n), [1; 25])).collect()).await.unwrap();
    let rows = format!("delete from task_trace where task_id = {}", sql_id(2));
    let somebody = somebody(&cluster, &rows).await;
    let began = Instant::now();
    assert_eq!(store.purge_traces(None, at(9), 10).await.unwrap(), None);
    assert!(began.elapsed() < IN_TIME, "it took {:?}", began.elapsed());
    assert_eq!(cluster.sql("select task_id from task_trace"), id(2).to_string());
    end(somebody).await;
    store.purge_traces(None, at(9), 10).await.unwrap();
    assert_eq!(cluster.sql("select count(*) from task_trace"), "0");
}
