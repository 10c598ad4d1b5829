//! Tests when requests that are held open look, and what ends them.

use std::cell::Cell;
use std::convert::Infallible;
use std::ops::ControlFlow;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::dispatch::claimed::Claimed;

/// An agent is lost after this much silence.
const THRESHOLD: Duration = Duration::from_secs(30);

fn told(agent: u128) -> Claimed {
    Polled { cancelled: vec![Uuid::from_u128(agent)], ..Polled::default() }.into()
}

/// Holds a poll open, and counts how often it asks.
async fn poll(
    waiters: &Waiters,
    agent: u128,
    asked: &Cell<u32>,
    mut claim: impl FnMut(u32) -> Claimed,
) -> Option<Claimed> {
    let stop = CancellationToken::new();
    let polled = waiters.poll_until_claimed(request(agent, ""), THRESHOLD, &stop, |_, _| {
        asked.set(asked.get() + 1);
        std::future::ready(Ok::<_, Infallible>(claim(asked.get())))
    });
    let Ok(polled) = polled.await;
    polled
}

#[tokio::test(start_paused = true)]
async fn a_task_that_comes_while_a_poll_asks_is_asked_for_again_at_once() {
    let (waiters, began) = (Waiters::default(), Instant::now());
    let asked = Cell::default();
    let polled = poll(&waiters, 1, &asked, |time| {
        if time == 1 {
            waiters.tasks_wait(&any(1));
            Claimed::default()
        } else {
            told(1)
        }
    });
    assert_eq!(polled.await, Some(told(1)));
    assert_eq!((asked.get(), began.elapsed()), (2, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_poll_asks_three_times_in_the_threshold_until_its_time_is_up() {
    let (waiters, began) = (Waiters::default(), Instant::now());
    let asked = Cell::default();
    assert_eq!(poll(&waiters, 1, &asked, |_| Claimed::default()).await, Some(Claimed::default()));
    assert_eq!(began.elapsed(), Duration::from_secs(300));
    // At first, then every 10 s; the last of them may come with the end.
    assert!((30..=31).contains(&asked.get()), "{}", asked.get());
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_cannot_wait_asks_once_and_ends_the_older_one() {
    let waiters = Waiters::default();
    let (stop, asked) = (CancellationToken::new(), Cell::default());
    let mut older = Box::pin(poll(&waiters, 1, &asked, |_| Claimed::default()));
    assert!(is_pending(&mut older).await);
    let now = PollRequest { max_wait: Duration::ZERO, ..request(1, "") };
    let polled = waiters.poll_until_claimed(now, THRESHOLD, &stop, |_, older_began| {
        assert!(older_began.is_some());
        std::future::ready(Ok::<_, Infallible>(Claimed::default()))
    });
    assert_eq!(polled.await, Ok(Some(Claimed::default())));
    assert_eq!(older.await, None);
    assert_eq!(asked.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_newer_poll_ends_one_that_is_held_and_knows_when_that_began() {
    let (waiters, began) = (Waiters::default(), Instant::now());
    let asked = Cell::default();
    let mut older = Box::pin(poll(&waiters, 1, &asked, |_| Claimed::default()));
    assert!(is_pending(&mut older).await);
    tokio::time::advance(Duration::from_secs(1)).await;
    let stop = CancellationToken::new();
    let newer = waiters.poll_until_claimed(request(1, ""), THRESHOLD, &stop, |_, older_began| {
        assert_eq!(older_began, Some(began));
        std::future::ready(Ok::<_, Infallible>(told(1)))
    });
    assert_eq!(newer.await, Ok(Some(told(1))));
    assert_eq!(older.await, None);
}

#[tokio::test(start_paused = true)]
async fn what_a_poll_is_handed_it_does_not_ask_for() {
    let waiters = Waiters::default();
    let asked = Cell::default();
    let mut held = Box::pin(poll(&waiters, 1, &asked, |_| Claimed::default()));
    assert!(is_pending(&mut held).await);
    waiters.hand_off([&task(1)].into_iter(), |_, _| Box::pin(std::future::ready(told(1))));
    assert_eq!(held.await, Some(told(1)));
    assert_eq!(asked.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_when_the_server_stops_also_while_it_asks() {
    let waiters = Waiters::default();
    let stop = CancellationToken::new();
    let mut held = Box::pin(waiters.poll_until_claimed(request(1, ""), THRESHOLD, &stop, |_, _| {
        std::future::pending::<Result<Claimed, Infallible>>()
    }));
    assert!(is_pending(&mut held).await);
    stop.cancel();
    assert_eq!(held.await, Ok(Some(Claimed::default())));
}

#[tokio::test(start_paused = true)]
async fn a_read_looks_again_when_the_task_has_ended_and_every_15_s() {
    let (waiters, id, began) = (Waiters::default(), Uuid::from_u128(1), Instant::now());
    let (stop, looks) = (CancellationToken::new(), Cell::new(0));
    let time = Duration::from_secs(100);
    let read = waiters.read_until_ended(id, time, &stop, || {
        looks.set(looks.get() + 1);
        match looks.get() {
            // This is between the first look and the wait.
            1 => waiters.task_ended(id),
            4 => return std::future::ready(Ok::<_, Infallible>(ControlFlow::Break("ended"))),
            _ => {}
        }
        std::future::ready(Ok(ControlFlow::Continue(())))
    });
    assert_eq!(read.await, Ok(Some("ended")));
    assert_eq!(began.elapsed(), 2 * Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn a_read_ends_with_its_time_or_with_the_server() {
    let (waiters, id, began) = (Waiters::default(), Uuid::from_u128(1), Instant::now());
    let stop = CancellationToken::new();
    let look = || std::future::ready(Ok::<_, Infallible>(ControlFlow::<()>::Continue(())));
    assert_eq!(waiters.read_until_ended(id, Duration::ZERO, &stop, look).await, Ok(None));
    let time = Duration::from_secs(20);
    assert_eq!(waiters.read_until_ended(id, time, &stop, look).await, Ok(None));
    assert_eq!(began.elapsed(), time);
    let mut held = Box::pin(waiters.read_until_ended(id, time, &stop, look));
    assert!(is_pending(&mut held).await);
    stop.cancel();
    assert_eq!(held.await, Ok(None));
    assert_eq!(began.elapsed(), time);
}

async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
    })
    .await
}
