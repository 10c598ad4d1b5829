//! Tests two servers on one PostgreSQL, and agents whose polls are held open at both.

use std::time::{Duration, Instant};

use serde_json::json;
use slamon_testbed::{AfmProcess, Relay};

use super::serve_with;
use crate::api::event_stream::EventStream;
use crate::test_app::{Body, Client, Connection, PATIENCE, Place, eventually, id};

/// This is less than the 15 s after which a held poll looks again.
const AT_ONCE: Duration = Duration::from_secs(5);

/// This is less than that, too, and enough for looks that are a second apart.
const LOOKED: Duration = Duration::from_secs(8);

struct Fleet {
    servers: Vec<(AfmProcess, Client)>,
    place: Place,
}

impl Fleet {
    /// Starts two servers with these lines in their configuration, both listening to the database.
    #[track_caller]
    fn start(config: &str) -> Self {
        let place = Place::postgres();
        let servers: Vec<_> = (0..2).map(|_| serve_with(&place.uri(), &[], config)).collect();
        let fleet = Self { servers, place };
        let listening = "select count(*) from pg_stat_activity where datname = current_database() and application_name like '%(listens)'";
        eventually("both listen", || fleet.sql(listening) == "2");
        fleet
    }

    #[track_caller]
    fn sql(&self, sql: &str) -> String {
        self.place.sql(sql)
    }

    fn client(&self, n: usize) -> &Client {
        &self.servers[n].1
    }

    /// Polls at a server, and waits until it holds the poll open.
    #[track_caller]
    fn hold(&self, server: usize, agent: u64) -> Connection {
        let poll = Body::poll(agent).with("max_wait", "300").with("max_tasks", "1");
        let mut connection = self.client(server).connect();
        connection.post("/tasks", &poll.to_string());
        // Its agent is known once it has asked, and found nothing.
        eventually("it has asked", || self.client(server).get("/dashboard/status").body.contains(&id(agent)));
        connection
    }
}

/// The tasks in the answer to a poll, which must come before `deadline`.
#[track_caller]
fn tasks(connection: &mut Connection, deadline: Instant) -> Vec<String> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    assert!(!connection.is_silent_for(left), "nothing came in time");
    let answer = connection.answer().json();
    let tasks = answer["tasks"].as_array().expect("a list of tasks");
    tasks.iter().map(|task| task["task_id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn a_task_posted_to_one_is_handed_to_a_poll_at_the_other_at_once() {
    let fleet = Fleet::start("");
    for n in 0..6 {
        let (server, other) = ((n % 2) as usize, ((n + 1) % 2) as usize);
        let mut agent = fleet.hold(server, 1000 + n);
        fleet.client(other).post_task(Body::task(n));
        assert_eq!(tasks(&mut agent, Instant::now() + AT_ONCE), [id(n)]);
    }
}

/// What else than a full queue may be in the way of NOTIFY, such as an error of its files.
#[test]
fn what_a_commit_could_not_say_is_said_by_itself() {
    let fleet = Fleet::start("");
    fleet.sql(
        "create sequence commits;
         create function fail_once() returns trigger language plpgsql as $$ begin
             if nextval('commits') = 1 then raise 'could not write' using errcode = '58030'; end if;
             return null;
         end $$;
         create constraint trigger fail_once after insert on task deferrable initially deferred
             for each row execute function fail_once()",
    );
    for n in 1..=2 {
        let mut agent = fleet.hold(1, 1_000 + n);
        fleet.client(0).post_task(Body::task(n));
        assert_eq!(tasks(&mut agent, Instant::now() + AT_ONCE), [id(n)]);
    }
    let said = |line: &&String| line.contains("commits go on without NOTIFY");
    assert_eq!(fleet.servers[0].0.log_lines().iter().filter(said).count(), 1);
}

#[test]
fn tasks_are_shared_out_over_both_each_once() {
    const AGENTS: u64 = 8;
    let fleet = Fleet::start("");
    let mut agents: Vec<Connection> = (0..AGENTS).map(|n| fleet.hold((n % 2) as usize, 1000 + n)).collect();
    for n in 0..AGENTS {
        // All at one.
        fleet.client(0).post_task(Body::task(n));
    }
    let deadline = Instant::now() + 2 * AT_ONCE;
    let mut handed_out: Vec<String> = agents.iter_mut().flat_map(|agent| tasks(agent, deadline)).collect();
    handed_out.sort_unstable();
    assert_eq!(handed_out, (0..AGENTS).map(id).collect::<Vec<_>>());
    fleet.client(1).get("/status").is_json(&format!(r#"{{"agents":{AGENTS},"tasks_waiting":0}}"#));
}

#[test]
fn a_read_at_one_is_answered_once_the_task_ends_at_the_other() {
    let fleet = Fleet::start("");
    for n in [1, 2] {
        fleet.client(0).post_task(Body::task(n));
    }
    fleet.client(0).poll(Body::poll(9));
    let read = |n: u64| {
        let mut connection = fleet.client(1).connect();
        connection.get(&format!("/task/{}?wait=300", id(n)));
        connection
    };
    let mut reads = [1, 2].map(read);
    fleet.client(0).post("/tasks/response", Body::result(1)).is_empty();
    fleet.client(0).delete(&format!("/task/{}", id(2))).json();
    for (read, state) in reads.iter_mut().zip(["completed", "cancelled"]) {
        assert!(!read.is_silent_for(AT_ONCE), "nothing came in time");
        assert_eq!(read.answer().json()["task_state"], state);
    }
}

#[test]
fn each_loss_happens_once_whoever_sweeps() {
    const TASKS: u64 = 20;
    let fleet = Fleet::start("AGENT_ACTIVE_THRESHOLD = 2\nAGENT_DROP_THRESHOLD = 3\n");
    for n in 0..TASKS {
        fleet.client(0).post_task(Body::task(n).with("task_max_attempts", "20"));
    }
    assert_eq!(fleet.client(1).poll(Body::poll(9)).len() as u64, TASKS);
    eventually("all wait again", || {
        fleet.client(0).get("/status").body == format!(r#"{{"agents":0,"tasks_waiting":{TASKS}}}"#)
    });
    eventually("the agent is forgotten", || {
        fleet.client(0).get("/dashboard/status").json()["agents_total"] == 0
    });
    assert_eq!(fleet.sql("select count(*) from attempt"), TASKS.to_string());
    for n in 0..TASKS {
        assert_eq!(fleet.client(1).task(n)["task_attempt"], 1);
    }
    // The losses that the two servers log add up.
    let lost = |(afm, _): &(AfmProcess, Client)| -> u64 {
        let of_line = |line: &String| -> Option<u64> {
            let (_, rest) = line.split_once("lost_attempts=")?;
            rest.split(' ').next()?.parse().ok()
        };
        afm.log_lines().iter().filter_map(of_line).sum()
    };
    eventually("the losses are logged", || fleet.servers.iter().map(lost).sum::<u64>() >= TASKS);
    assert_eq!(fleet.servers.iter().map(lost).sum::<u64>(), TASKS);
}

#[test]
fn where_notifications_get_lost_each_looks_for_itself_every_second() {
    let place = Place::postgres();
    let Place::Postgres(database) = &place else { panic!("it is a PostgreSQL") };
    let relay = Relay::to(database.cluster().way_in());
    relay.lose_notifications(true);
    let behind = format!("postgresql://postgres@127.0.0.1:{}/{}", relay.port(), database.name());
    let (afm, client) = serve_with(&behind, &[], "");
    let (_other, poster) = serve_with(&place.uri(), &[], "");
    let is_said =
        |line: &str| line.contains("WARN") && line.contains("looking for their changes every second");
    afm.wait_for_line(is_said, PATIENCE);

    let mut held = client.connect();
    held.post("/tasks", &Body::poll(1).with("max_wait", "300").to_string());
    eventually("it has asked", || client.get("/dashboard/status").body.contains(&id(1)));
    let deadline = Instant::now() + LOOKED;
    poster.post_task(Body::task(7));
    assert_eq!(tasks(&mut held, deadline), [id(7)]);

    let mut read = client.connect();
    read.get(&format!("/task/{}?wait=300", id(7)));
    assert!(read.is_silent_for(Duration::from_millis(1)));
    let deadline = Instant::now() + LOOKED;
    poster.post("/tasks/response", Body::result(7)).is_empty();
    let left = deadline.saturating_duration_since(Instant::now());
    assert!(!read.is_silent_for(left), "it looked too late");
    assert_eq!(read.answer().json()["task_state"], "completed");

    poster.post("/api/v1/types/wait/pause", "").json();
    let waiting = until_nothing_is_handed_out(&poster, &client, 1, 10, LOOKED);
    let mut held = client.connect();
    held.post("/tasks", &Body::poll(1).with("max_wait", "300").to_string());
    poster.post("/api/v1/types/wait/resume", "").json();
    assert_eq!(tasks(&mut held, Instant::now() + LOOKED), [id(waiting)]);

    relay.lose_notifications(false);
    afm.wait_for_line(|line| line.contains("arrive again"), PATIENCE);
    assert_eq!(afm.log_lines().iter().filter(|line| is_said(line)).count(), 1, "{:#?}", afm.log_lines());
}

#[test]
fn a_stream_at_one_shows_what_happens_at_the_other() {
    let fleet = Fleet::start("");
    let mut stream = EventStream::open(fleet.client(1), "", None);
    // The other server is told that somebody watches, and what it has changed before that is not shown. Events
    // that say that some were missed come also when this server begins to listen to it.
    let mut first = 0;
    eventually("a change comes", || {
        first += 1;
        fleet.client(0).post_task(Body::task(first));
        stream.has_come_to_a_change()
    });
    fleet.client(0).poll(Body::poll(9).with("max_tasks", "1"));
    loop {
        let (name, data) = stream.next();
        if name == "task" && data["to"] == "claimed" {
            assert_eq!((&data["task_id"], &data["agent_id"]), (&json!(id(1)), &json!(id(9))));
            break;
        }
    }
}

/// Has a server hand out tasks to an agent until it does not; then one waits, whose number this returns.
#[track_caller]
fn until_nothing_is_handed_out(
    poster: &Client,
    server: &Client,
    agent: u64,
    first: u64,
    within: Duration,
) -> u64 {
    let deadline = Instant::now() + within;
    for n in first.. {
        poster.post_task(Body::task(n));
        if server.poll(Body::poll(agent)).is_empty() {
            return n;
        }
        server.post("/tasks/response", Body::result(n)).is_empty();
        assert!(Instant::now() < deadline, "the pause does not hold");
    }
    unreachable!("there are more numbers")
}

#[test]
fn a_pause_at_one_holds_at_the_other_and_so_does_its_end() {
    let fleet = Fleet::start("");
    fleet.client(1).poll(Body::poll(9));
    let mut next = 1;
    for (pause, resume) in [
        ("types/wait/pause".to_owned(), "types/wait/resume".to_owned()),
        ("types/wait/1/pause".to_owned(), "types/wait/1/resume".to_owned()),
        (format!("agents/{}/pause", id(9)), format!("agents/{}/resume", id(9))),
    ] {
        fleet.client(0).post(&format!("/api/v1/{pause}"), "").json();
        let waiting = until_nothing_is_handed_out(fleet.client(0), fleet.client(1), 9, next, AT_ONCE);
        let mut held = fleet.hold(1, 9);
        fleet.client(0).post(&format!("/api/v1/{resume}"), "").json();
        assert_eq!(tasks(&mut held, Instant::now() + AT_ONCE), [id(waiting)], "{resume}");
        fleet.client(0).post("/tasks/response", Body::result(waiting)).is_empty();
        next = waiting + 1;
    }
}
