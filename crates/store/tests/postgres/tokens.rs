//! Changes of tokens: who waits for whom, and what becomes of a commit that was cut short.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slamon_domain::{AgentBinding, Role, Token, TokenHash};
use slamon_store::{Store, StoreError, TokenStore};
use slamon_testbed::{PgCluster, PgOptions};

use crate::cluster::{Cluster, store};
use crate::connections::Way;
use crate::{at, id};

const OURS: &str = "application_name = 'slamon-afm'";

/// Much less than the 20 s that a statement of these stores may take.
const IN_TIME: Duration = Duration::from_secs(10);

fn token(n: u8) -> Token {
    Token {
        id: id(n.into()),
        name: "shop".to_owned(),
        role: Role::Client,
        hash: TokenHash([n; 32]),
        agent: AgentBinding::First,
        types: None,
        created_at: at(0),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

/// A number that is smaller and committed later would be missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_waits_for_the_one_before_and_nothing_else_does() {
    let cluster = Cluster::start();
    let (store, other) = (Arc::new(cluster.store()), cluster.store());
    store.create_tables().await.unwrap();
    for n in 1..=3 {
        store.add_token(Arc::new(token(n))).await.unwrap();
    }
    let mut client = cluster.connect().await;
    let first = client.transaction().await.unwrap();
    let add = "lock table token in share update exclusive mode;
        insert into token (id, name, role, hash, binds_first, created_at, change)
        values ('00000000-0000-0000-0000-000000000004', '', 'agent', repeat('4', 32)::bytea, false, now(), 4)";
    first.batch_execute(add).await.unwrap();
    let changes: Vec<_> = (1..=3_u128)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                match n {
                    1 => store
                        .revoke_tokens(Arc::new([id(1)]), at(1))
                        .await
                        .map(|revoked| assert_eq!(revoked, 1)),
                    2 => store.bind_token(id(2), id(9)).await.map(|bound| assert_eq!(bound, Some(id(9)))),
                    _ => store.add_token(Arc::new(token(5))).await,
                }
            })
        })
        .collect();
    let busy = format!("select count(*) from pg_stat_activity where {OURS} and wait_event_type = 'Lock'");
    cluster.wait_for(&busy, "3");
    let began = Instant::now();
    let uses = (1..=5_000).map(|n| (id(n), at(7)));
    other.save_token_uses(uses.collect()).await.unwrap();
    let found = other.changed_tokens(0).await.unwrap();
    assert!(began.elapsed() < IN_TIME, "it took {:?}", began.elapsed());
    assert_eq!((found.last_change, found.tokens.len()), (3, 3));
    assert!(found.tokens.iter().all(|token| token.last_used_at == Some(at(7))));
    cluster.wait_for(&busy, "3");

    first.commit().await.unwrap();
    for change in changes {
        change.await.unwrap().unwrap();
    }
    let found = other.changed_tokens(3).await.unwrap();
    assert_eq!((found.last_change, found.tokens.len()), (7, 4));
    assert_eq!(found.tokens[0].id, id(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_whose_commit_was_cut_short_is_made_once_and_counted() {
    let cluster = Cluster::start();
    let way = Way::to(cluster.way_in()).await;
    let store = Arc::new(store(&format!("postgresql://postgres@127.0.0.1:{}/postgres", way.port)));
    store.create_tables().await.unwrap();
    for n in 1..=3 {
        store.add_token(Arc::new(token(n))).await.unwrap();
    }
    store.revoke_tokens(Arc::new([id(3)]), at(1)).await.unwrap();
    cluster.sql(
        "create function wait() returns trigger language plpgsql as
         'begin while not pg_try_advisory_xact_lock(7) loop perform pg_sleep(0.01); end loop; return null;
         end';
         create constraint trigger wait after update on token deferrable initially deferred
         for each row execute function wait()",
    );
    let mut client = cluster.connect().await;
    let holder = client.transaction().await.unwrap();
    holder.execute("select pg_advisory_xact_lock(7)", &[]).await.unwrap();
    let revoking = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.revoke_tokens(Arc::new([1, 2, 3].map(id)), at(2)).await })
    };
    cluster.wait_for("select count(*) from pg_stat_activity where wait_event = 'PgSleep'", "1");
    way.cut();
    // The next try waits for the commit that nobody has seen.
    cluster.wait_for(
        &format!("select count(*) from pg_stat_activity where {OURS} and wait_event_type = 'Lock'"),
        "1",
    );
    holder.rollback().await.unwrap();
    assert_eq!(revoking.await.unwrap().unwrap(), 2);
    let found = store.changed_tokens(4).await.unwrap();
    assert_eq!((found.last_change, found.tokens.len()), (6, 2));
    assert!(found.tokens.iter().all(|token| token.revoked_at == Some(at(2))));
}

#[tokio::test]
async fn a_standby_says_who_may_do_what_and_takes_no_changes() {
    let primary = PgCluster::start(&PgOptions::default()).unwrap();
    let database = primary.create_database();
    let of_primary = store(&database.uri());
    of_primary.create_tables().await.unwrap();
    of_primary.add_token(Arc::new(token(1))).await.unwrap();
    let standby = primary.start_standby(&PgOptions::default()).unwrap();
    let store = store(&standby.uri(database.name()));
    assert_eq!(store.changed_tokens(0).await.unwrap().tokens, [token(1)]);
    let refused = [
        store.add_token(Arc::new(token(2))).await,
        store.revoke_tokens(Arc::new([id(1)]), at(1)).await.map(drop),
        store.bind_token(id(1), id(2)).await.map(drop),
        store.save_token_uses(Arc::new([(id(1), at(1))])).await,
    ];
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    }
}
