//! How much a poll is given at once.

use slamon_domain::Command;
use slamon_domain::{ClaimBudget, MAX_BYTES_PER_POLL};
use slamon_protocol::{Capability, PollRequest, PostTask};

use crate::driver::{Driver, delivered, numbers};
use crate::fixture::Fixture;
use slamon_domain::testing::commands::{at, json, poll, task, task_id};

/// Posts tasks that take so many bytes of a claim budget, numbered from 0.
async fn post(store: &Driver, sizes: &[usize]) {
    for (n, size) in (0..).zip(sizes) {
        let posted = task(n);
        let bytes = size.saturating_sub(ClaimBudget::size(&posted.task_type, 0)).max(8);
        let data = json(format!(r#"{{"n":"{}"}}"#, "x".repeat(bytes - 8)));
        assert_eq!(data.as_str().len(), bytes);
        store.submit(at(0), PostTask { task_data: Some(data), ..posted }).await.unwrap();
    }
}

pub(super) async fn a_poll_is_given_eight_megabytes_at_most(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let half = MAX_BYTES_PER_POLL / 2;
    post(&store, &[half, half, 9, half, half + 1, 9]).await;
    // The small ones do not overtake.
    assert_eq!(store.claim(at(1), 1, 9).await, [0, 1]);
    let polls = [1, 2].map(|agent| Command::from(poll(agent, 9)));
    let outcomes = store.batch(at(2), polls.into()).await;
    let given: Vec<_> = outcomes.into_iter().map(|outcome| numbers(&delivered(outcome))).collect();
    assert_eq!(given, [vec![2, 3], vec![4, 5]], "each poll of a batch for itself");
}

pub(super) async fn a_task_larger_than_that_is_given_alone(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    post(&store, &[9, MAX_BYTES_PER_POLL + 1, 9]).await;
    for n in 0..3 {
        let delivered = store.poll(at(1), poll(1, 9)).await;
        assert_eq!(numbers(&delivered), [n]);
        assert_eq!(delivered[0].task_data, store.task(task_id(n)).await.unwrap().unwrap().posted.task_data);
    }
}

pub(super) async fn types_count_in_what_a_poll_is_given(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    // As an adopted database may hold them.
    let task_type = "t".repeat(MAX_BYTES_PER_POLL / 4);
    for n in 0..7 {
        let posted = PostTask { task_type: task_type.clone(), ..task(n) };
        store.submit(at(0), posted).await.unwrap();
    }
    let offer = Capability { task_type, version: 1 };
    let all = PollRequest { agent_capabilities: vec![offer], ..poll(1, 1_000) };
    for given in [vec![0, 1, 2], vec![3, 4, 5], vec![6], vec![]] {
        assert_eq!(numbers(&store.poll(at(1), all.clone()).await), given);
    }
}
