//! Tokens: what is kept of them, and that no change is missed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use jiff::SignedDuration;
use slamon_domain::testing::commands::{agent_id, at};
use slamon_domain::{AgentBinding, Role, Token, TokenHash};
use slamon_store::{ChangedTokens, MOST_TOKENS, StoreError};
use uuid::Uuid;

use crate::driver::Driver;
use crate::fixture::{Fixture, SharedFixture};

fn token_id(n: u128) -> Uuid {
    Uuid::from_u128(0x70c3 << 112 | n)
}

/// Token `n`, which any agent may bear.
fn token(n: u128) -> Token {
    let mut hash = [0xff; 32];
    hash[16..].copy_from_slice(&n.to_be_bytes());
    Token {
        id: token_id(n),
        name: format!("bearer {n}"),
        role: Role::Agent,
        hash: TokenHash(hash),
        agent: AgentBinding::Any,
        types: None,
        created_at: at(0),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

fn first(n: u128) -> Token {
    Token { agent: AgentBinding::First, ..token(n) }
}

async fn add(store: &Driver, tokens: impl IntoIterator<Item = Token>) {
    for token in tokens {
        store.add_token(Arc::new(token)).await.unwrap();
    }
}

async fn revoke(store: &Driver, second: i64, tokens: impl IntoIterator<Item = u128>) -> u64 {
    store.revoke_tokens(tokens.into_iter().map(token_id).collect(), at(second)).await.unwrap()
}

async fn changed(store: &Driver, after: u64) -> ChangedTokens {
    store.changed_tokens(after).await.unwrap()
}

/// The tokens that were changed after a change, which becomes the last one.
async fn next(store: &Driver, after: &mut u64) -> Vec<Token> {
    let changed = changed(store, *after).await;
    assert!(changed.last_change > *after || changed.tokens.is_empty() && changed.last_change == *after);
    *after = changed.last_change;
    changed.tokens
}

pub(crate) async fn a_token_is_kept_as_it_was_made(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(changed(&store, 0).await, ChangedTokens::default());
    assert_eq!(changed(&store, u64::MAX).await.last_change, u64::MAX);
    let later = at(7) + SignedDuration::from_micros(123_456);
    let mut tokens: Vec<Token> = (1..).zip(Role::ALL).map(|(n, role)| Token { role, ..token(n) }).collect();
    tokens.push(Token { id: Uuid::max(), hash: TokenHash([0; 32]), ..first(6) });
    tokens.push(Token { id: Uuid::nil(), agent: AgentBinding::Agent(Uuid::nil()), ..token(7) });
    tokens.push(Token { types: Some(Vec::new()), expires_at: Some(later), ..token(8) });
    tokens.push(Token { revoked_at: Some(later), last_used_at: Some(at(-1)), created_at: later, ..token(9) });
    add(&store, tokens.clone()).await;
    assert_eq!(changed(&store, 0).await.tokens, tokens);
    // What PostgreSQL cannot keep of a time, no store does.
    let finer = later + SignedDuration::from_nanos(999);
    add(&store, [Token { expires_at: Some(finer), created_at: finer, ..token(10) }]).await;
    let kept = changed(&store, 0).await.tokens.pop().unwrap();
    assert_eq!((kept.created_at, kept.expires_at), (later, Some(later)));
}

pub(crate) async fn a_token_is_added_once(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    add(&store, [token(1)]).await;
    let mut after = 0;
    next(&store, &mut after).await;
    revoke(&store, 1, [1]).await;
    // Added again, it stays as it is.
    add(&store, [token(1)]).await;
    let revoked = Token { revoked_at: Some(at(1)), ..token(1) };
    assert_eq!(next(&store, &mut after).await, [revoked]);
    for other in [Token { hash: token(2).hash, ..token(1) }, Token { hash: token(1).hash, ..token(2) }] {
        let refused = store.add_token(Arc::new(other)).await;
        assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    }
    assert_eq!(next(&store, &mut after).await, []);
    // Bearers may share a name.
    let namesake = Token { name: token(1).name, ..token(2) };
    add(&store, [namesake.clone()]).await;
    assert_eq!(next(&store, &mut after).await, [namesake]);
}

pub(crate) async fn names_and_types_may_be_any_text(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let texts = [
        "",
        " ",
        "it's",
        "\"\\\"",
        "a,b]",
        "{}",
        "null",
        "Sh\u{f6}p",
        "sho\u{308}p",
        "😀\u{fffd}\u{10ffff}",
        "\n\t\u{1}\u{7f}",
    ];
    let texts: Vec<String> = texts.map(str::to_owned).into_iter().chain(["ä".repeat(5_000)]).collect();
    let mut tokens: Vec<Token> = (1..)
        .zip(&texts)
        .map(|(n, text)| Token { name: text.clone(), types: Some(vec![text.clone()]), ..token(n) })
        .collect();
    // A list of types is kept in its order; that of JSON can say U+0000, though no task has such a type.
    let types = texts.iter().rev().cloned().chain(["a\0b".to_owned(), String::new()]).collect();
    tokens.push(Token { types: Some(types), ..token(100) });
    add(&store, tokens.clone()).await;
    assert_eq!(changed(&store, 0).await.tokens, tokens);
    let refused = store.add_token(Arc::new(Token { name: "a\0".to_owned(), ..token(101) })).await;
    let Err(StoreError::Failed(why)) = refused else { panic!("{refused:?}") };
    assert_eq!(why.to_string(), "the name of a token must not contain U+0000");
    assert_eq!(changed(&store, 0).await.tokens.len(), tokens.len());
}

pub(crate) async fn a_token_is_revoked_once(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    add(&store, [token(1), first(2), token(3), token(4)]).await;
    let mut after = 0;
    next(&store, &mut after).await;
    assert_eq!(revoke(&store, 1, []).await, 0);
    assert_eq!(revoke(&store, 1, [9]).await, 0);
    assert_eq!(revoke(&store, 1, [3]).await, 1);
    let revoked = |second, token| Token { revoked_at: Some(at(second)), ..token };
    assert_eq!(next(&store, &mut after).await, [revoked(1, token(3))]);
    assert_eq!(revoke(&store, 2, [3, 9]).await, 0);
    assert_eq!(next(&store, &mut after).await, [], "nothing has changed");
    assert_eq!(revoke(&store, 3, [2, 9, 3, 1, 2]).await, 2);
    let mut both = next(&store, &mut after).await;
    both.sort_by_key(|token| token.id);
    assert_eq!(both, [revoked(3, token(1)), revoked(3, first(2))]);
    let mut all = changed(&store, 0).await.tokens;
    all.sort_by_key(|token| token.id);
    assert_eq!(all, [revoked(3, token(1)), revoked(3, first(2)), revoked(1, token(3)), token(4)]);
}

pub(crate) async fn a_token_is_bound_to_the_agent_that_comes_first(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let of = |n| AgentBinding::Agent(agent_id(n));
    add(&store, [token(1), first(2), Token { agent: of(3), ..token(3) }, first(4)]).await;
    let mut after = 0;
    next(&store, &mut after).await;
    let bind = async |n, agent| store.bind_token(token_id(n), agent_id(agent)).await.unwrap();
    assert_eq!(bind(1, 5).await, None, "any may bear it");
    assert_eq!(bind(3, 5).await, Some(agent_id(3)));
    assert_eq!(bind(9, 5).await, None, "it is not known");
    assert_eq!(next(&store, &mut after).await, []);
    assert_eq!(bind(2, 5).await, Some(agent_id(5)));
    assert_eq!(next(&store, &mut after).await, [Token { agent: of(5), ..token(2) }]);
    for agent in [5, 6] {
        assert_eq!(bind(2, agent).await, Some(agent_id(5)));
    }
    assert_eq!(next(&store, &mut after).await, [], "nothing has changed");
    assert_eq!(bind(4, 5).await, Some(agent_id(5)), "an agent may have several");
    assert_eq!(next(&store, &mut after).await, [Token { agent: of(5), ..token(4) }]);
}

/// Ten agents bind a token at the same time, each on the next of the stores.
async fn race(stores: &[&Driver]) {
    let store = stores[0];
    for n in 1..=10 {
        add(store, [first(n)]).await;
        let mut after = changed(store, 0).await.last_change;
        let agents = (1..=10).zip(stores.iter().cycle());
        let bound = agents.map(|(agent, store)| {
            let store = (*store).clone();
            tokio::spawn(async move { store.bind_token(token_id(n), agent_id(agent)).await.unwrap() })
        });
        let bound: Vec<Option<Uuid>> = join_all(bound).await.into_iter().map(Result::unwrap).collect();
        let winner = bound[0].unwrap();
        assert!((1..=10).any(|agent| agent_id(agent) == winner));
        assert!(bound.iter().all(|bound| *bound == Some(winner)), "{bound:?}");
        assert_eq!(
            next(store, &mut after).await,
            [Token { agent: AgentBinding::Agent(winner), ..token(n) }],
            "there was one change"
        );
    }
}

pub(crate) async fn agents_that_race_for_a_token_are_told_the_same(fixture: &impl Fixture) {
    race(&[&fixture.ready().await]).await;
}

pub(crate) async fn agents_that_race_for_a_token_on_two_stores_are_told_the_same(
    fixture: &impl SharedFixture,
) {
    race(&[&fixture.ready().await, &fixture.second()]).await;
}

pub(crate) async fn the_latest_use_of_a_token_is_kept(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    add(&store, [token(1), token(2), Token { last_used_at: Some(at(5)), ..token(3) }]).await;
    let mut after = 0;
    next(&store, &mut after).await;
    let used =
        async || changed(&store, 0).await.tokens.iter().map(|token| token.last_used_at).collect::<Vec<_>>();
    let save = async |uses: &[(u128, i64)]| {
        let uses = uses.iter().map(|(n, second)| (token_id(*n), at(*second)));
        store.save_token_uses(uses.collect()).await.unwrap();
    };
    save(&[]).await;
    save(&[(9, 1)]).await;
    assert_eq!(used().await, [None, None, Some(at(5))]);
    save(&[(3, 4), (2, 2), (9, 1)]).await;
    assert_eq!(used().await, [None, Some(at(2)), Some(at(5))]);
    save(&[(3, 6), (2, 1), (1, 0)]).await;
    assert_eq!(used().await, [Some(at(0)), Some(at(2)), Some(at(6))]);
    // Of several uses, the latest one.
    save(&[(1, 7), (1, 9), (1, 8)]).await;
    assert_eq!(used().await[0], Some(at(9)));
    assert_eq!(next(&store, &mut after).await, [], "that tokens were used is no change");
    // Other changes leave it as it is.
    assert_eq!(revoke(&store, 10, [1]).await, 1);
    let revoked = Token { last_used_at: Some(at(9)), revoked_at: Some(at(10)), ..token(1) };
    assert_eq!(next(&store, &mut after).await, [revoked]);
}

pub(crate) async fn thousands_of_tokens_are_read_in_pages(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let count = u128::from(MOST_TOKENS) + 3;
    add(&store, (1..=count).map(token)).await;
    let mut after = 0;
    let mut pages = async || {
        let mut all = Vec::new();
        for size in [MOST_TOKENS as usize, 3, 0] {
            let page = next(&store, &mut after).await;
            assert_eq!(page.len(), size);
            all.extend(page);
        }
        all
    };
    assert_eq!(pages().await, (1..=count).map(token).collect::<Vec<_>>());
    let uses = (1..=5_000).rev().map(|n| (token_id(n), at(i64::try_from(n).unwrap())));
    store.save_token_uses(uses.collect()).await.unwrap();
    // Those of one call have a number each, so that a page may end between them.
    assert_eq!(revoke(&store, 9, (1..=5_000).rev()).await, u64::from(MOST_TOKENS) + 3);
    let mut revoked = pages().await;
    revoked.sort_by_key(|token| token.id);
    let expected = (1..=count).map(|n| {
        let last_used_at = Some(at(i64::try_from(n).unwrap()));
        Token { revoked_at: Some(at(9)), last_used_at, ..token(n) }
    });
    assert_eq!(revoked, expected.collect::<Vec<_>>());
}

/// Adds tokens, and changes them: 3 become 8 changes each time.
async fn write(store: Driver, writer: u128) {
    for round in 0..12 {
        let [one, two, three] = [0, 1, 2].map(|n| 1_000 * writer + 10 * round + n);
        add(&store, [first(one), token(two), first(three)]).await;
        assert_eq!(store.bind_token(token_id(one), agent_id(1)).await.unwrap(), Some(agent_id(1)));
        let uses = [one, two, three].map(|n| (token_id(n), at(1)));
        store.save_token_uses(Arc::new(uses)).await.unwrap();
        assert_eq!(revoke(&store, 2, [three, one]).await, 2);
        assert_eq!(store.bind_token(token_id(three), agent_id(2)).await.unwrap(), Some(agent_id(2)));
        assert_eq!(revoke(&store, 3, [one, two]).await, 1);
    }
}

/// Takes notes of all changes as they come, as an AFM does, until all were made.
async fn follow(store: Driver, are_done: Arc<AtomicBool>) -> BTreeMap<Uuid, Token> {
    let (mut known, mut after) = (BTreeMap::new(), 0);
    loop {
        let is_last = are_done.load(Ordering::SeqCst);
        let tokens = next(&store, &mut after).await;
        if tokens.is_empty() && is_last {
            return known;
        }
        known.extend(tokens.into_iter().map(|token| (token.id, token)));
    }
}

pub(crate) async fn no_change_of_tokens_is_missed_while_two_stores_make_them(fixture: &impl SharedFixture) {
    let (store, second) = (fixture.ready().await, fixture.second());
    let are_done = Arc::new(AtomicBool::new(false));
    let stores = [&store, &second];
    let readers: Vec<_> =
        stores.map(|store| tokio::spawn(follow(store.clone(), Arc::clone(&are_done)))).into();
    let writers = (1..=6).zip(stores.iter().cycle());
    let writers = writers.map(|(writer, store)| tokio::spawn(write((*store).clone(), writer)));
    let written = join_all(writers).await;
    are_done.store(true, Ordering::SeqCst);
    written.into_iter().for_each(|writer| writer.unwrap());
    let all = changed(&store, 0).await;
    assert_eq!(all.last_change, 6 * 12 * 8, "changes have numbers without gaps");
    // That a token was used may have come after its last change.
    let unused = |token: Token| (token.id, Token { last_used_at: None, ..token });
    let expected: BTreeMap<_, _> = all.tokens.into_iter().map(unused).collect();
    assert_eq!(expected.len(), 6 * 12 * 3);
    for followed in join_all(readers).await {
        assert_eq!(followed.unwrap().into_values().map(unused).collect::<BTreeMap<_, _>>(), expected);
    }
}

pub(crate) async fn tokens_survive_a_restart(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    add(&store, [first(1), token(2)]).await;
    store.bind_token(token_id(1), agent_id(1)).await.unwrap();
    store.save_token_uses(Arc::new([(token_id(2), at(4))])).await.unwrap();
    revoke(&store, 5, [2]).await;
    let before = changed(&store, 0).await;
    store.close().await;
    let again = fixture.second();
    assert_eq!(changed(&again, 0).await, before);
    add(&again, [token(3)]).await;
    assert_eq!(changed(&again, before.last_change).await.tokens, [token(3)]);
}
