//! Random sequences of batches, applied to a store and to the model of the lifecycle rules.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use slamon_store::State;
use tokio::runtime::Handle;

use crate::driver::Driver;
use crate::fixture::Fixture;
use crate::model::Model;
use crate::sequences::{Batch, sequences};

const CASES: u32 = 48;

pub(crate) async fn any_sequence_of_batches_goes_as_in_the_model(fixture: &impl Fixture) {
    let store = fixture.store();
    let runtime = Handle::current();
    let run = move || {
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
        let check = |batches| runtime.block_on(goes_as_in_the_model(&store, batches));
        TestRunner::new(config).run(&sequences(12, 12), check).unwrap_or_else(|failure| panic!("{failure}"));
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

async fn goes_as_in_the_model(store: &Driver, batches: Vec<Batch>) -> Result<(), TestCaseError> {
    store.drop_tables().await.unwrap();
    store.create_tables().await.unwrap();
    let mut model = Model::default();
    for (now, batch) in batches {
        let outcomes = store.batch(now, batch.clone()).await;
        prop_assert_eq!(outcomes, model.apply(&batch, now));
    }
    for (id, task) in &model.tasks {
        let stored = store.task(*id).await.unwrap();
        prop_assert_eq!(stored.as_ref(), Some(task));
    }
    let overview = store.everything().await;
    let pending = model.arrivals.iter().rev().filter(|id| model.tasks[id].state == State::Pending);
    let waiting = overview.waiting.items.iter().map(|task| &task.task_id);
    prop_assert_eq!(waiting.collect::<Vec<_>>(), pending.collect::<Vec<_>>());
    let agents = overview.agents.items.into_iter().map(|agent| (agent.id, (agent.name, agent.last_seen)));
    prop_assert_eq!(agents.collect::<BTreeMap<_, _>>(), model.agents);
    Ok(())
}
