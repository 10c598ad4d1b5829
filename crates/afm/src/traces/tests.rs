use slamon_domain::StateName;
use slamon_store::SqliteStore;

use super::*;

#[tokio::test]
async fn what_waits_for_a_worker_has_a_bound() {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::new("sqlite://", false).unwrap());
    let (tracer, worker) = Tracer::start("http://127.0.0.1:9", store, CancellationToken::new()).unwrap();
    let posted = Transition {
        task_id: Uuid::from_u128(1),
        test_id: Uuid::from_u128(2),
        task_type: "wait".to_owned(),
        task_version: 1,
        at: jiff::Timestamp::UNIX_EPOCH,
        from: None,
        to: StateName::Pending,
        agent_id: None,
        attempt_end: None,
        queued_for: None,
        ran_for: None,
        lived_for: None,
    };
    tracer.note(&vec![posted; QUEUED + 3]);
    assert_eq!(tracer.counts(), (0, 3));
    drop(worker);
}

#[tokio::test]
async fn the_default_takes_nothing() {
    let tracer = Tracer::default();
    assert!(!tracer.is_on());
    tracer.note(&[]);
    assert_eq!(tracer.counts(), (0, 0));
}
