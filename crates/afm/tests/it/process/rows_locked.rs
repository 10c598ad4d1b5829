//! Tests rows that a session of psql keeps locked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use slamon_testbed::PgCluster;

use super::psql_session::PsqlSession;
use super::serve;
use crate::test_app::{Body, eventually, id};

const LOCKED: u64 = 40;

/// This is much less than the 10 s that a statement may take.
const IN_TIME: Duration = Duration::from_secs(5);

#[test]
fn requests_that_need_them_are_503_and_all_others_in_time() {
    let database = PgCluster::shared().create_database();
    let (afm, client) = serve(&database.uri());
    for n in 0..=LOCKED {
        client.post_task(Body::task(n));
    }
    assert_eq!(client.poll(Body::poll(1_000).with("max_tasks", "100")).len() as u64, LOCKED + 1);
    let mut somebody = PsqlSession::start(database.cluster(), database.name());
    somebody.run(&format!("begin; select id from task where id <> '{}' for update", id(0)));
    somebody.run("select id from agent for update");
    somebody.run(&format!(
        "insert into task (id, test_id, type, version, created_at, state)
         values ('{0}', '{0}', '', 1, now(), 'pending')",
        id(500)
    ));

    let (stop, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 1..=LOCKED {
            let (client, stop, refused) = (&client, &stop, &refused);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    match n % 4 {
                        0 => client.delete(&format!("/task/{}", id(n))).is_try_again(),
                        1 => client.post("/task", Body::task(500)).is_try_again(),
                        _ => client.post("/tasks/response", Body::result(n)).is_try_again(),
                    }
                    refused.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // They come again and again.
        eventually("all are refused", || refused.load(Ordering::SeqCst) > 2 * LOCKED);
        let mut slowest = Duration::ZERO;
        let mut time = |done: &mut dyn FnMut()| {
            let began = Instant::now();
            done();
            slowest = slowest.max(began.elapsed());
        };
        for n in 600..620 {
            time(&mut || client.post_task(Body::task(n)));
            let poll = Body::poll(1_000 + n % 3).with("agent_name", format!("\"new {n}\""));
            time(&mut || assert_eq!(client.poll(poll.clone()), [id(n)]));
            time(&mut || client.post("/tasks/response", Body::result(n)).is_empty());
        }
        time(&mut || client.post("/tasks/response", Body::result(0)).is_empty());
        stop.store(true, Ordering::SeqCst);
        assert!(slowest < IN_TIME, "somebody waited for {slowest:?}");
    });
    let lines = afm.log_lines();
    let said = lines.iter().filter(|line| line.contains("locked by another session")).count();
    assert_eq!(said, 1, "{lines:#?}");

    drop(somebody);
    for n in 1..=LOCKED {
        eventually("it is taken", || client.post("/tasks/response", Body::result(n)).status == 200);
    }
    eventually("what the agent says is saved", || {
        client.poll(Body::poll(1_000).with("agent_name", "\"at last\""));
        database.sql(&format!("select name from agent where id = '{}'", id(1_000))) == "at last"
    });
}
