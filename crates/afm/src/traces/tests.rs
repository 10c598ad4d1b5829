use slamon_domain::StateName;
use slamon_store::SqliteStore;

use super::*;

/// The post of a task.
fn posted(n: u128) -> Transition {
    Transition::of(Uuid::from_u128(n), None, StateName::Pending, jiff::Timestamp::UNIX_EPOCH)
}

fn memory() -> Arc<dyn Store> {
    Arc::new(SqliteStore::new("sqlite://", false).unwrap())
}

#[tokio::test]
async fn what_waits_for_a_worker_has_a_bound() {
    let (tracer, worker) =
        Tracer::start("http://127.0.0.1:9", Sampler::default(), memory(), CancellationToken::new()).unwrap();
    tracer.note(&vec![posted(1); QUEUED + 3]);
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

#[tokio::test]
async fn a_collector_that_hangs_holds_up_no_spans_of_posters() {
    // Connections are accepted by the system, and nobody answers.
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hangs.local_addr().unwrap());
    let (store, stop) = (memory(), CancellationToken::new());
    store.create_tables().await.unwrap();
    let (tracer, worker) = Tracer::start(&url, Sampler::default(), Arc::clone(&store), stop.clone()).unwrap();
    let worker = tokio::spawn(worker.run());
    let ended = |n| Transition {
        from: Some(StateName::Pending),
        to: StateName::Cancelled,
        lived_for: Some(Duration::ZERO),
        ..posted(n)
    };
    let is_there = async {
        // More spans than may wait for the collector.
        tracer.note(&(0..40_000).map(ended).collect::<Vec<_>>());
        while tracer.counts().1 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let task = Uuid::from_u128(1 << 64);
        tracer.note_poster(task, Some(PosterSpan::stored([1; 25])));
        tracer.note(&[Transition { task_id: task, ..posted(0) }]);
        while store.traces_of(Arc::new([task])).await.unwrap() != [(task, [1; 25])] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_there).await.unwrap();
    worker.abort();
}
