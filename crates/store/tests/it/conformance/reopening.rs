//! What is stored stays stored.

use slamon_domain::{Reported, Submitted};
use slamon_store::Prepared;

use crate::fixture::SharedFixture;
use slamon_domain::testing::commands::{at, completed, failed, poll, release, task};

pub(crate) async fn everything_is_there_after_reopening(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=4).await;
    store.claim(at(1), 1, 2).await;
    store.claim(at(2), 2, 1).await;
    store.report(at(3), completed(1, r#"{"é":1.0}"#)).await.unwrap();
    store.report(at(4), failed(2, r#""\u0000""#)).await.unwrap();
    store.poll(at(5), poll(3, 0)).await;
    let mut tasks = Vec::new();
    for n in 1..=4 {
        tasks.push(store.stored(n).await);
    }
    let overview = store.everything().await;
    let counts = store.counts(at(2)).await.unwrap();
    store.close().await;

    let store = fixture.second();
    store.check().await.unwrap();
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Present);
    for (n, task) in (1..).zip(&tasks) {
        assert_eq!(store.stored(n).await, *task);
    }
    assert_eq!(store.everything().await, overview);
    assert_eq!(store.counts(at(2)).await.unwrap(), counts);
    // And life goes on where it was.
    assert_eq!(store.submit(at(6), task(4)).await, Ok(Submitted::Repeated));
    assert_eq!(store.report(at(6), completed(3, "{}")).await, Ok(Reported::Stored));
    assert_eq!(store.claim(at(7), 3, 9).await, [4]);
}

pub(crate) async fn the_order_of_arrival_is_there_after_reopening(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    store.post(at(9), [5, 3, 4]).await;
    store.claim(at(10), 1, 1).await;
    store.close().await;
    let store = fixture.second();
    store.post(at(0), [2, 1]).await;
    store.release(at(11), release(1, at(10), &[5])).await;
    assert_eq!(store.claim(at(12), 2, 9).await, [5, 3, 4, 2, 1]);
}
