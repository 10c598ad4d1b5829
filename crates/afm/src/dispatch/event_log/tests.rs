use jiff::Timestamp;
use slamon_domain::StateName;
use uuid::Uuid;

use super::*;

fn change(n: u64) -> Transition {
    Transition::of(Uuid::from_u128(n.into()), None, StateName::Pending, Timestamp::UNIX_EPOCH)
}

fn changes(from: u64, to: u64) -> Vec<Transition> {
    (from..=to).map(change).collect()
}

/// What is there to read: the changes by their numbers, and what was missed.
fn read(watcher: &mut Watcher) -> Vec<Result<u128, Option<u64>>> {
    let mut all = Vec::new();
    while let Some(watched) = watcher.read() {
        match watched {
            Watched::Changes(changes) => {
                all.extend(changes.iter().map(|(change, _)| Ok(change.task_id.as_u128())));
            }
            Watched::Missed(missed, _) => all.push(Err(missed)),
        }
    }
    all
}

#[tokio::test]
async fn a_watcher_reads_what_comes_after_it_has_come() {
    let log = EventLog::default();
    log.add(changes(1, 2));
    let mut watcher = log.watch(None).unwrap();
    assert_eq!(read(&mut watcher), []);
    log.add(changes(3, 4));
    let id = |next| EventId::new(log.0.run, next);
    let both = vec![(Arc::new(change(3)), id(1)), (Arc::new(change(4)), id(2))];
    assert_eq!(watcher.next().await, Watched::Changes(both));
    assert_eq!(read(&mut watcher), []);
    let (next, ()) = tokio::join!(watcher.next(), async {
        tokio::task::yield_now().await;
        log.add(changes(5, 5));
    });
    assert_eq!(next, Watched::Changes(vec![(Arc::new(change(5)), id(3))]));
}

#[tokio::test]
async fn many_changes_are_read_at_once() {
    let log = EventLog::default();
    let mut watcher = log.watch(None).unwrap();
    log.add(changes(1, 1_000));
    let mut sizes = Vec::new();
    while let Some(Watched::Changes(changes)) = watcher.read() {
        let first = sizes.iter().sum::<usize>() as u64 + 1;
        let ids = changes.iter().map(|(change, id)| (change.task_id.as_u128() as u64, id.of_run(log.0.run)));
        assert!(ids.eq((first..).zip((first..).map(Some)).take(changes.len())));
        sizes.push(changes.len());
    }
    // The log is locked once for each.
    assert_eq!((sizes.len(), sizes.iter().sum()), (1_000_usize.div_ceil(READ_AT_ONCE), 1_000));
}

#[tokio::test]
async fn one_that_comes_back_reads_on() {
    let log = EventLog::default();
    let mut watcher = log.watch(None).unwrap();
    log.add(changes(1, 3));
    let Watched::Changes(read_first) = watcher.read().unwrap() else { panic!("nothing was missed") };
    let (_, after_first) = read_first[0];
    drop(watcher);
    log.add(changes(4, 4));
    let mut again = log.watch(Some(after_first.to_string().parse().unwrap())).unwrap();
    assert_eq!(read(&mut again), [Ok(2), Ok(3), Ok(4)]);
    for lost in [EventId::unknown(), EventId::new(log.0.run, 99)] {
        assert_eq!(read(&mut log.watch(Some(lost)).unwrap()), [Err(None)], "{lost}");
    }
}

#[tokio::test]
async fn one_that_is_too_slow_is_told_what_it_has_missed() {
    let log = EventLog::default();
    let mut watcher = log.watch(None).unwrap();
    let kept = KEPT as u64;
    log.add(changes(1, kept + 7));
    let all = read(&mut watcher);
    assert_eq!((all[0], all[1], all.len()), (Err(Some(7)), Ok(8), KEPT + 1));
    log.on_event(&StoreEvent::EventsMissed);
    log.on_event(&StoreEvent::Changed(changes(1, 1)));
    assert_eq!(read(&mut watcher), [Err(None), Ok(1)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_while_nobody_watches() {
    let log = EventLog::default();
    log.add(changes(1, 9));
    assert!(log.0.lock().changes.is_empty());
    let id = log.watch(None).unwrap().id();
    tokio::time::advance(KEPT_FOR).await;
    log.add(changes(1, 9));
    assert!(log.0.lock().changes.is_empty() && !log.0.is_on.load(Ordering::Relaxed));
    assert_eq!(read(&mut log.watch(Some(id)).unwrap()), [Err(None)], "what came meanwhile is lost");
}

#[tokio::test(start_paused = true)]
async fn changes_are_published_while_another_watches() {
    let log = EventLog::default();
    let take = || log.0.lock().outbox.take(Instant::now());
    log.add(changes(1, 1));
    assert_eq!(take(), None);
    log.on_event(&StoreEvent::Watched);
    log.add(changes(2, 2));
    assert_eq!(take(), Some(Published::Changed(vec![Arc::new(change(2))])));
    assert_eq!(take(), None);
    log.add(changes(1, 6_000));
    assert_eq!(take(), Some(Published::ChangesMissed));
    tokio::time::advance(PUBLISHED_FOR).await;
    log.add(changes(3, 3));
    assert_eq!(take(), None);
}
