//! Pauses, and forgetting an agent.

use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::testing::commands::{agent_id, at, completed, poll, task_of};
use slamon_domain::testing::outcome::Outcome;
use slamon_domain::{
    Command, MAX_PAUSES, Operated, Operation, PauseTarget, Pauses, Refusal, Sweep, Transition,
};
use slamon_protocol::{Capability, Terms};

use crate::driver::Driver;
use crate::fixture::{Fixture, SharedFixture};

fn agent(n: u128) -> PauseTarget {
    PauseTarget::Agent(agent_id(n))
}

fn of_type(task_type: &str) -> PauseTarget {
    PauseTarget::Type(task_type.to_owned())
}

fn version(task_type: &str, version: i64) -> PauseTarget {
    PauseTarget::Version(Capability { task_type: task_type.to_owned(), version })
}

async fn operate(store: &Driver, now: Timestamp, operation: Operation) -> Operated {
    match store.batch(now, vec![Command::Operate(operation)]).await.remove(0) {
        Outcome::Operate(operated) => operated,
        other => panic!("{other:?} is not of an operation"),
    }
}

async fn pause(store: &Driver, now: Timestamp, target: PauseTarget) -> Operated {
    operate(store, now, Operation::Pause(target)).await
}

async fn resume(store: &Driver, target: PauseTarget) -> Operated {
    operate(store, at(99), Operation::Resume(target)).await
}

fn pauses(all: &[(PauseTarget, Timestamp)]) -> Pauses {
    let mut pauses = Pauses::default();
    for (target, since) in all {
        pauses.add(target.clone(), *since);
    }
    pauses
}

pub(crate) async fn what_is_paused_is_kept_until_it_is_resumed(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(store.pauses().await.unwrap(), Pauses::default());
    assert_eq!(pause(&store, at(0), agent(1)).await, Err(Refusal::UnknownAgent));
    assert_eq!(resume(&store, agent(1)).await, Err(Refusal::UnknownAgent));
    store.poll(at(0), poll(1, 1)).await;
    assert_eq!(resume(&store, agent(1)).await, Ok(None));
    assert_eq!(pause(&store, at(1), agent(1)).await, Ok(Some(at(1))));
    // What is paused stays so since the same time.
    assert_eq!(pause(&store, at(2), agent(1)).await, Ok(Some(at(1))));

    let long = "ä/%\u{1f600} ".repeat(100);
    for (second, target) in
        [of_type("wait"), version("wait", -1), version(&long, i64::MAX), of_type("")].into_iter().enumerate()
    {
        let now = at(10 + second as i64);
        assert_eq!(pause(&store, now, target.clone()).await, Ok(Some(now)));
        assert_eq!(pause(&store, at(50), target).await, Ok(Some(now)));
    }
    let all = [
        (agent(1), at(1)),
        (of_type("wait"), at(10)),
        (version("wait", -1), at(11)),
        (version(&long, i64::MAX), at(12)),
        (of_type(""), at(13)),
    ];
    assert_eq!(store.pauses().await.unwrap(), pauses(&all));

    assert_eq!(resume(&store, version("wait", -1)).await, Err(Refusal::AllVersionsPaused));
    assert_eq!(resume(&store, version(&long, 1)).await, Ok(None));
    assert_eq!(resume(&store, of_type(&long[..long.len() - 1])).await, Ok(None));
    assert_eq!(store.pauses().await.unwrap(), pauses(&all));
    assert_eq!(resume(&store, of_type("wait")).await, Ok(None));
    assert_eq!(resume(&store, version(&long, i64::MAX)).await, Ok(None));
    assert_eq!(store.pauses().await.unwrap(), pauses(&[all[0].clone(), all[4].clone()]));
    assert_eq!(resume(&store, version("", 0)).await, Err(Refusal::AllVersionsPaused));
    assert_eq!(resume(&store, of_type("")).await, Ok(None));
    assert_eq!(resume(&store, agent(1)).await, Ok(None));
    assert_eq!(store.pauses().await.unwrap(), Pauses::default());
}

pub(crate) async fn there_are_so_many_pauses_at_most(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    pause(&store, at(0), version("wait", 0)).await.unwrap();
    let last = MAX_PAUSES - 2;
    fixture.sql(&format!(
        "with recursive more (n) as (select 1 union all select n + 1 from more where n < {last})
         insert into pause (type, version, paused_at) select 'wait', n, paused_at from more, pause"
    ));
    assert_eq!(pause(&store, at(0), of_type("last")).await, Ok(Some(at(0))));
    assert_eq!(pause(&store, at(0), of_type("more")).await, Err(Refusal::TooManyPauses));
    assert_eq!(store.pauses().await.unwrap().versions.len(), MAX_PAUSES as usize - 1);
    // What is paused already takes no room.
    assert_eq!(pause(&store, at(1), of_type("last")).await, Ok(Some(at(0))));
    assert_eq!(resume(&store, of_type("wait")).await, Ok(None));
    assert_eq!(pause(&store, at(2), of_type("more")).await, Ok(Some(at(2))));
}

pub(crate) async fn a_waiting_task_says_that_it_is_paused(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    let why = async || {
        let why = store.why(1, at(0)).await.unwrap();
        (why.code, why.sentence)
    };
    for target in [of_type("wait"), version("wait", 1)] {
        assert_eq!(why().await.0, "no_agent");
        pause(&store, at(1), target.clone()).await.unwrap();
        assert_eq!(why().await, ("paused", "wait version 1 is paused".to_owned()));
        resume(&store, target).await.unwrap();
    }
    pause(&store, at(1), version("wait", 2)).await.unwrap();
    for n in 1..=2 {
        store.poll(at(1), slamon_protocol::PollRequest { max_tasks: 0, ..poll(n, 1) }).await;
    }
    assert_eq!(why().await.0, "busy");
    for n in 1..=2 {
        pause(&store, at(1), agent(n)).await.unwrap();
        let sentence = match n {
            1 => "all agents offering wait version 1 are busy: 1 agent",
            _ => "all agents offering wait version 1 are paused: 2 agents",
        };
        assert_eq!(why().await.1, sentence);
    }
}

pub(crate) async fn a_task_that_expires_says_that_it_was_paused(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms { ttl: Some(Duration::from_secs(5)), ..Terms::default() };
    store.post_under(at(0), terms.clone(), 1).await;
    pause(&store, at(1), of_type("wait")).await.unwrap();
    let due =
        Sweep { limit: 9, lost_after: None, forget_after: None, delete_after: None, heartbeats: vec![] };
    store.sweep(at(6), due.clone()).await;
    let error = store.error(1).await;
    assert!(error.contains("waited 6.0 s, wait version 1 was paused"), "{error}");
    resume(&store, of_type("wait")).await.unwrap();

    store.post_under(at(10), terms, 2).await;
    store.poll(at(10), slamon_protocol::PollRequest { max_tasks: 0, ..poll(1, 1) }).await;
    pause(&store, at(10), agent(1)).await.unwrap();
    store.sweep(at(16), due).await;
    let error = store.error(2).await;
    assert!(error.contains("all agents offering wait version 1 were paused"), "{error}");
}

pub(crate) async fn an_agent_is_forgotten_unless_it_executes(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    let forget = async |now: i64, n| operate(&store, at(now), Operation::Forget(agent_id(n))).await;
    assert_eq!(forget(0, 1).await, Err(Refusal::UnknownAgent));
    store.post(at(0), [1]).await;
    store.batch(at(0), vec![Command::Submit(task_of("wait", 2, 2))]).await;
    store.claim(at(1), 1, 1).await;
    assert_eq!(pause(&store, at(1), agent(1)).await, Ok(Some(at(1))));
    assert_eq!(forget(1, 1).await, Err(Refusal::AgentExecutes));
    assert_eq!(store.pauses().await.unwrap().agents.len(), 1);
    store.report(at(2), completed(1, "{}")).await.unwrap();
    assert_eq!(forget(2, 1).await, Ok(None));
    assert_eq!(forget(2, 1).await, Err(Refusal::UnknownAgent));
    assert_eq!(store.pauses().await.unwrap(), Pauses::default());
    assert_eq!(store.counts(at(0)).await.unwrap().agents, 0);
    assert_eq!(fixture.text("select cast(count(*) as text) from agent_offer").unwrap(), "0");
    // Its name is kept with what it has done.
    assert_eq!(store.stored(1).await.last_attempt().unwrap().agent_name, "agent 1");
    assert_eq!(store.why(2, at(0)).await.unwrap().code, "no_agent");
    // It may come back.
    store.poll(at(3), poll(1, 1)).await;
    assert_eq!(store.why(2, at(0)).await.unwrap().code, "other_versions");
}

pub(crate) async fn a_paused_agent_is_not_forgotten_for_its_silence(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for n in 1..=3 {
        store.poll(at(0), poll(n, 1)).await;
    }
    pause(&store, at(1), agent(2)).await.unwrap();
    let sweep = Sweep {
        limit: 1,
        lost_after: None,
        forget_after: Some(Duration::from_secs(10)),
        delete_after: None,
        heartbeats: vec![],
    };
    let forgotten = async || store.sweep(at(60), sweep.clone()).await.forgotten;
    assert_eq!([forgotten().await, forgotten().await, forgotten().await], [1, 1, 0]);
    resume(&store, agent(2)).await.unwrap();
    assert_eq!(forgotten().await, 1);
}

pub(crate) async fn a_batch_with_operations_replies_to_each(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.poll(at(0), poll(1, 0)).await;
    let applied = store
        .applied(
            at(1),
            vec![
                Command::Operate(Operation::Pause(agent(1))),
                Command::Submit(task_of("wait", 1, 1)),
                Command::Operate(Operation::Pause(agent(2))),
                Command::Operate(Operation::Pause(of_type("wait"))),
                Command::Operate(Operation::Resume(of_type("wait"))),
            ],
        )
        .await;
    let [first, second, third, fourth] = applied.replies.operations.as_slice() else {
        panic!("{applied:?}");
    };
    assert_eq!(first, &Ok(Ok(Some(at(1)))));
    assert_eq!(second, &Ok(Err(Refusal::UnknownAgent)));
    assert_eq!((third, fourth), (&Ok(Ok(Some(at(1)))), &Ok(Ok(None))));
    assert!(applied.pauses_changed);
    let [Transition { .. }] = applied.transitions.as_slice() else { panic!("{applied:?}") };
    assert_eq!(store.pauses().await.unwrap(), pauses(&[(agent(1), at(1))]));
    let refused = vec![Command::Operate(Operation::Pause(agent(2)))];
    assert!(!store.applied(at(2), refused).await.pauses_changed);
}

pub(crate) async fn pauses_survive_a_restart(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    pause(&store, at(1), of_type("wait")).await.unwrap();
    let second = fixture.second();
    assert_eq!(second.pauses().await.unwrap(), pauses(&[(of_type("wait"), at(1))]));
    assert_eq!(resume(&second, of_type("wait")).await, Ok(None));
    assert_eq!(store.pauses().await.unwrap(), Pauses::default());
}
