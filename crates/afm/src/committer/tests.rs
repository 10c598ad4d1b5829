mod heartbeats;

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use slamon_protocol::PollRequest;
use slamon_store::{
    Applied, Backlog, Counts, EndedAttempt, Hint, KindCursor, Lanes, LateResult, Locked, Overview, Prepared,
    SqliteStore, StoreError, Surroundings, Task, TaskRead, WaitingKind,
};

use super::*;

/// What becomes of the next calls of `apply`, the first one first; after that they succeed.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It is committed, but nobody sees that.
    InDoubt,
    /// Nothing is committed.
    Away,
    /// It is committed, but no post has a reply.
    Unreplied,
}

struct FatefulStore {
    store: SqliteStore,
    fates: Mutex<Vec<Fate>>,
    lanes: Lanes,
    /// How many commands there were in each batch that was begun.
    begun: Mutex<Vec<usize>>,
    /// How many batches may end.
    may_end: Semaphore,
    /// Tasks that the database does not take.
    refused: Mutex<HashSet<Uuid>>,
    /// Tasks that somebody else has locked.
    locked: Mutex<HashSet<Uuid>>,
}

impl FatefulStore {
    async fn new(lanes: Lanes) -> Arc<Self> {
        let store = SqliteStore::new("sqlite://", false).unwrap();
        store.create_tables().await.unwrap();
        let may_end = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            store,
            fates: Mutex::default(),
            lanes,
            begun: Mutex::default(),
            may_end,
            refused: Mutex::default(),
            locked: Mutex::default(),
        })
    }

    fn refuse(&self, ids: impl IntoIterator<Item = u128>) {
        *self.refused.lock().unwrap() = ids.into_iter().map(Uuid::from_u128).collect();
    }

    fn lock(&self, ids: impl IntoIterator<Item = u128>) {
        *self.locked.lock().unwrap() = ids.into_iter().map(Uuid::from_u128).collect();
    }

    /// Applies all but what somebody else has locked.
    async fn apply_unlocked(&self, batch: &[Command], now: Timestamp) -> Result<Applied, StoreError> {
        let locked = self.locked.lock().unwrap().clone();
        let is_locked =
            |command: &Command| matches!(command, Command::Submit(task) if locked.contains(&task.task_id));
        let free = batch.iter().filter(|command| !is_locked(command)).cloned().collect();
        let mut applied = self.store.apply(free, now).await?;
        let mut free = std::mem::take(&mut applied.replies.submits).into_iter();
        let submits = batch.iter().filter(|command| matches!(command, Command::Submit(_)));
        let reply = |command| if is_locked(command) { Some(Err(Locked)) } else { free.next() };
        applied.replies.submits = submits.filter_map(reply).collect();
        Ok(applied)
    }

    /// No batch ends.
    fn hold(&self) {
        self.may_end.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Gives everybody else their turn; the sizes of the batches that were begun by then.
    async fn begun(&self) -> Vec<usize> {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        self.begun.lock().unwrap().clone()
    }

    fn comes(&self, fates: &[Fate]) {
        *self.fates.lock().unwrap() = fates.iter().rev().copied().collect();
    }
}

#[async_trait]
impl Store for FatefulStore {
    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError> {
        self.begun.lock().unwrap().push(batch.len());
        self.may_end.acquire().await.unwrap().forget();
        let lost = || anyhow::anyhow!("the connection is lost");
        let fate = self.fates.lock().unwrap().pop();
        if let Some(Fate::Away) = fate {
            return Err(StoreError::Unavailable(lost()));
        }
        let is_refused = |command: &Command| matches!(command, Command::Submit(task) if self.refused.lock().unwrap().contains(&task.task_id));
        if batch.iter().any(is_refused) {
            return Err(StoreError::Failed(anyhow::anyhow!("one of them is refused")));
        }
        let mut applied = self.apply_unlocked(&batch, now).await?;
        if let Some(Fate::Unreplied) = fate {
            applied.replies.submits.clear();
            return Ok(applied);
        }
        if fate.is_none() {
            return Ok(applied);
        }
        let polls = || {
            let polls = batch.iter().filter_map(Command::poll).zip(&applied.replies.polls);
            polls.map(|(poll, reply)| (poll.agent_id, reply.as_ref().unwrap()))
        };
        let claims = polls()
            .map(|(agent_id, polled)| (agent_id, polled.tasks.iter().map(|task| task.task_id).collect()));
        let cancelled = polls()
            .filter(|(_, polled)| !polled.cancelled.is_empty())
            .map(|(agent_id, polled)| (agent_id, polled.cancelled.clone()));
        Err(StoreError::InDoubt {
            cause: lost(),
            claimed_at: now,
            claims: claims.collect(),
            cancelled: cancelled.collect(),
        })
    }

    fn lanes(&self) -> Lanes {
        self.lanes
    }

    async fn create_tables(&self) -> Result<Prepared, StoreError> {
        self.store.create_tables().await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }
    async fn drop_tables(&self) -> Result<bool, StoreError> {
        self.store.drop_tables().await
    }
    async fn small_task(&self, id: Uuid) -> Result<Option<TaskRead>, StoreError> {
        self.store.small_task(id).await
    }
    async fn large_task(&self, id: Uuid) -> Result<Option<Arc<Task>>, StoreError> {
        self.store.large_task(id).await
    }
    async fn attempts(&self, id: Uuid) -> Result<Vec<(EndedAttempt, Option<LateResult>)>, StoreError> {
        self.store.attempts(id).await
    }
    async fn past(&self, id: Uuid, result_bytes: u32) -> Result<Vec<slamon_store::AttemptView>, StoreError> {
        self.store.past(id, result_bytes).await
    }
    async fn surroundings(&self, task: &Task, since: Timestamp) -> Result<Surroundings, StoreError> {
        self.store.surroundings(task, since).await
    }
    async fn backlog(&self, after: Option<WaitingKind>, limit: u32) -> Result<Backlog, StoreError> {
        self.store.backlog(after, limit).await
    }

    async fn backlog_of(&self, kinds: Arc<[KindCursor]>, limit: u32) -> Result<Backlog, StoreError> {
        self.store.backlog_of(kinds, limit).await
    }
    async fn counts(&self, since: Timestamp) -> Result<Counts, StoreError> {
        self.store.counts(since).await
    }
    async fn overview(&self, limit: u32, result_bytes: u32) -> Result<Overview, StoreError> {
        self.store.overview(limit, result_bytes).await
    }
    async fn listen(&self, hints: mpsc::Sender<Hint>) {
        self.store.listen(hints).await;
    }
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.time().await
    }
    async fn close(&self) {
        self.store.close().await;
    }
}

/// Does what is due, and no more.
const SWEEP: Sweep = Sweep { limit: 9, lost_after: None, forget_after: None, delete_after: None };

fn task(n: u128) -> PostTask {
    let id = Uuid::from_u128(n);
    PostTask::parse(&format!(r#"{{"task_id":"{id}","test_id":"{id}","task_type":"wait","task_version":1}}"#))
        .unwrap()
}

fn poll(agent: u128) -> PollRequest {
    let id = Uuid::from_u128(agent);
    PollRequest::parse(&format!(
        r#"{{"protocol":1,"agent_id":"{id}","agent_name":"","agent_time":"","max_tasks":9,
            "agent_capabilities":{{"wait":{{"version":1}}}}}}"#
    ))
    .unwrap()
}

fn ids(polled: &Polled) -> Vec<u128> {
    polled.tasks.iter().map(|task| task.task_id.as_u128()).collect()
}

async fn start() -> (Arc<FatefulStore>, Committer) {
    start_with(Lanes::ONE).await
}

async fn start_with(lanes: Lanes) -> (Arc<FatefulStore>, Committer) {
    let store = FatefulStore::new(lanes).await;
    let (committer, work) = Committer::new(
        store.clone(),
        Clock::system(),
        Waiters::default(),
        Known::default(),
        Health::new(store.clone()),
    );
    tokio::spawn(work);
    (store, committer)
}

#[tokio::test]
async fn an_answer_that_nobody_takes_gives_its_tasks_back() {
    let (_store, committer) = start().await;
    committer.submit(task(1)).await.unwrap().unwrap();
    let mut gone = Box::pin(committer.poll(poll(10), None));
    assert!(
        std::future::poll_fn(|context| std::task::Poll::Ready(gone.as_mut().poll(context)))
            .await
            .is_pending()
    );
    // When this is answered, so is the poll before it, which is not asked any more.
    committer.submit(task(2)).await.unwrap().unwrap();
    drop(gone);
    assert_eq!(ids(&committer.poll(poll(11), None).await.unwrap()), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn tasks_of_a_doubtful_commit_go_back_although_the_database_stays_away_and_requests_keep_coming() {
    let (store, committer) = start().await;
    committer.submit(task(1)).await.unwrap().unwrap();
    store.comes(&[Fate::InDoubt, Fate::Away, Fate::Away]);
    assert_eq!(committer.poll(poll(10), None).await, Err(CommitError::Unavailable));
    // A request every tenth of a second: less than the time after which a release is tried again.
    for n in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let polled = committer.poll(poll(11), None).await.unwrap_or_default();
        if !polled.tasks.is_empty() {
            assert_eq!(ids(&polled), [1]);
            return;
        }
        assert!(n < 99, "the task was never given back");
    }
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes() {
    let megabyte = "x".repeat(1_024 * 1_024);
    let data = slamon_protocol::JsonText::from_stored(format!("{{\"x\":\"{megabyte}\"}}"));
    for large in
        [PostTask { task_data: Some(data), ..task(1) }, PostTask { task_type: megabyte.clone(), ..task(1) }]
    {
        waits_up_to_a_bound(&large).await;
    }
}

async fn waits_up_to_a_bound(large: &PostTask) {
    let (_store, committer) = start().await;
    let mut waiting = Vec::new();
    for n in 0..QUEUE_KIB / 1_024 + 1 {
        let mut task = large.clone();
        task.task_id = Uuid::from_u128(u128::from(n));
        waiting.push(Box::pin(committer.submit(task)));
    }
    let mut busy = 0;
    for submit in &mut waiting {
        let first =
            std::future::poll_fn(|context| std::task::Poll::Ready(submit.as_mut().poll(context))).await;
        busy += usize::from(matches!(first, std::task::Poll::Ready(Err(CommitError::Busy))));
    }
    assert!((1..10).contains(&busy), "{busy} of {} were turned away", waiting.len());
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes() {
    let (store, committer) = start().await;
    store.hold();
    let submit = |n, kib: usize| {
        let committer = committer.clone();
        let task = PostTask { task_type: "x".repeat(kib * 1_024), ..task(n) };
        tokio::spawn(async move { committer.submit(task).await.unwrap().unwrap() })
    };
    let mut submits = vec![submit(1, 0)];
    assert_eq!(store.begun().await, [1]);
    for n in 2..=9 {
        submits.push(submit(n, 3_000));
    }
    submits.push(submit(10, 10_000));
    submits.push(submit(11, 0));
    submits.push(submit(12, 0));
    store.begun().await;
    store.may_end.add_permits(99);
    for submit in submits {
        assert_eq!(submit.await.unwrap(), Submitted::Stored);
    }
    assert_eq!(store.begun().await, [1, 2, 2, 2, 2, 1, 2]);
}

#[tokio::test]
async fn another_batch_is_begun_while_one_is_under_way_once_it_is_worth_it() {
    let (store, committer) = start_with(Lanes { most: 2, worth: 3 }).await;
    store.hold();
    let submit = |n| {
        let committer = committer.clone();
        tokio::spawn(async move { committer.submit(task(n)).await.unwrap().unwrap() })
    };
    let mut submits = Vec::new();
    for (n, begun) in [(1, vec![1]), (2, vec![1]), (3, vec![1]), (4, vec![1, 3]), (5, vec![1, 3])] {
        submits.push(submit(n));
        assert_eq!(store.begun().await, begun, "after task {n}");
    }
    store.may_end.add_permits(9);
    for submit in submits {
        assert_eq!(submit.await.unwrap(), Submitted::Stored);
    }
    assert_eq!(store.begun().await, [1, 3, 1]);
}

#[tokio::test]
async fn what_is_handed_over_comes_to_nothing_where_nothing_is_committed() {
    let store = FatefulStore::new(Lanes::ONE).await;
    let (waiters, known) = (Waiters::default(), Known::default());
    let (committer, work) = Committer::new(
        store.clone(),
        Clock::system(),
        waiters.clone(),
        known.clone(),
        Health::new(store.clone()),
    );
    tokio::spawn(work);
    committer.poll(poll(10), None).await.unwrap();
    let waiting = waiters.poll(&poll(10)).unwrap();
    let handed = async || {
        let submit = async {
            while !waiters.is_waiting(Uuid::from_u128(10)) {
                tokio::task::yield_now().await;
            }
            committer.submit(task(1)).await
        };
        let (handed, submitted) = tokio::join!(waiting.woken(Duration::from_secs(3_600)), submit);
        (handed.unwrap().await, submitted)
    };
    store.comes(&[Fate::Away]);
    assert_eq!(handed().await, (Polled::default(), Err(CommitError::Unavailable)));
    // It may be committed: then it is given back before anybody else asks.
    store.comes(&[Fate::InDoubt]);
    assert_eq!(handed().await, (Polled::default(), Err(CommitError::Unavailable)));
    assert_eq!(ids(&committer.poll(poll(11), None).await.unwrap()), [1]);
    assert_eq!(*store.begun.lock().unwrap(), [1, 2, 2, 1, 1], "a poll, both posts, a release, a poll");
}

#[tokio::test]
async fn what_waits_for_a_lane_is_done_before_the_end() {
    let store = FatefulStore::new(Lanes { most: 2, worth: 3 }).await;
    let (committer, work) = Committer::new(
        store.clone(),
        Clock::system(),
        Waiters::default(),
        Known::default(),
        Health::new(store.clone()),
    );
    let work = tokio::spawn(work);
    store.hold();
    let submit = |n| {
        let committer = committer.clone();
        tokio::spawn(async move { committer.submit(task(n)).await.unwrap().unwrap() })
    };
    let mut submits = Vec::new();
    for n in [1, 2] {
        submits.push(submit(n));
        assert_eq!(store.begun().await, [1], "after task {n}");
    }
    drop(committer);
    store.may_end.add_permits(9);
    for submit in submits {
        assert_eq!(submit.await.unwrap(), Submitted::Stored);
    }
    work.await.unwrap();
}

fn says_nothing_runs() -> Option<Said> {
    Some(Said { running: Vec::new(), at: Instant::now() })
}

async fn is_claimed(store: &FatefulStore, n: u128) -> bool {
    let task = store.task(Uuid::from_u128(n)).await.unwrap().unwrap();
    matches!(task.state, slamon_store::State::Claimed(_))
}

#[tokio::test]
async fn of_what_is_being_claimed_an_agent_need_not_know() {
    let (store, committer) = start().await;
    committer.submit(task(1)).await.unwrap().unwrap();
    store.hold();
    let spawned = |said| {
        let committer = committer.clone();
        tokio::spawn(async move { committer.poll(poll(10), said).await.unwrap() })
    };
    let first = spawned(None);
    assert_eq!(store.begun().await, [1, 1]);
    let second = spawned(says_nothing_runs());
    assert_eq!(store.begun().await, [1, 1]);
    store.may_end.add_permits(9);
    assert_eq!(ids(&first.await.unwrap()), [1]);
    assert_eq!(ids(&second.await.unwrap()), [0; 0]);
    assert!(is_claimed(&store, 1).await);
    committer.poll(poll(10), says_nothing_runs()).await.unwrap();
    assert!(!is_claimed(&store, 1).await);
}

#[tokio::test]
async fn of_what_an_ended_poll_was_given_an_agent_need_not_know() {
    let (store, committer) = start().await;
    let began = Instant::now();
    committer.submit(task(1)).await.unwrap().unwrap();
    assert_eq!(ids(&committer.poll(poll(10), None).await.unwrap()), [1]);
    let said = says_nothing_runs().map(|said| said.before(Some(began)));
    committer.poll(poll(10), said).await.unwrap();
    assert!(is_claimed(&store, 1).await);
    let said = says_nothing_runs().map(|said| said.before(None));
    committer.poll(poll(10), said).await.unwrap();
    assert!(!is_claimed(&store, 1).await);
}

/// Posts tasks that are applied in one batch, while another is under way.
fn submit_together(
    committer: &Committer,
    tasks: impl IntoIterator<Item = u128>,
) -> Vec<tokio::task::JoinHandle<Result<Result<Submitted, Refusal>, CommitError>>> {
    let submit = |n| {
        let committer = committer.clone();
        tokio::spawn(async move { committer.submit(task(n)).await })
    };
    tasks.into_iter().map(submit).collect()
}

#[tokio::test]
async fn a_command_that_the_store_leaves_without_a_reply_fails_and_no_other() {
    let (store, committer) = start().await;
    committer.submit(task(1)).await.unwrap().unwrap();
    store.comes(&[Fate::Unreplied]);
    let (submitted, polled) = tokio::join!(committer.submit(task(2)), committer.poll(poll(10), None));
    assert_eq!(submitted, Err(CommitError::Failed));
    assert_eq!(ids(&polled.unwrap()), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn replies_come_to_the_callers_of_their_commands_whatever_comes_between() {
    let (store, committer) = start().await;
    store.hold();
    let first = submit_together(&committer, [1]);
    assert_eq!(store.begun().await, [1]);
    store.lock([3]);
    let together = async {
        tokio::join!(
            committer.submit(task(2)),
            committer.cancel(Uuid::from_u128(9)),
            committer.submit(task(3)),
            committer.poll(poll(10), None),
            committer.submit(task(2)),
            committer.sweep(SWEEP),
        )
    };
    let release = async {
        assert_eq!(store.begun().await, [1]);
        store.may_end.add_permits(Semaphore::MAX_PERMITS / 2);
    };
    let ((second, cancelled, locked, polled, again, swept), ()) = tokio::join!(together, release);
    assert_eq!((second, again), (Ok(Ok(Submitted::Stored)), Ok(Ok(Submitted::Repeated))));
    assert_eq!((cancelled, locked), (Ok(None), Err(CommitError::Locked)));
    assert_eq!((ids(&polled.unwrap()), swept.unwrap().settled), (vec![1, 2], 0));
    for submit in first {
        assert_eq!(submit.await.unwrap(), Ok(Ok(Submitted::Stored)));
    }
    assert_eq!(store.begun().await[..2], [1, 6]);
}

#[tokio::test]
async fn a_command_that_is_refused_is_found_by_halves() {
    let (store, committer) = start().await;
    store.hold();
    let mut submits = submit_together(&committer, [1]);
    assert_eq!(store.begun().await, [1]);
    store.refuse([77]);
    submits.extend(submit_together(&committer, 2..130));
    store.may_end.add_permits(Semaphore::MAX_PERMITS / 2);
    for (n, submit) in (1..).zip(submits) {
        let expected = if n == 77 { Err(CommitError::Failed) } else { Ok(Ok(Submitted::Stored)) };
        assert_eq!(submit.await.unwrap(), expected, "task {n}");
    }
    let begun = store.begun().await;
    assert_eq!(begun[..3], [1, 128, 64]);
    assert_eq!(begun.len(), 2 + 2 * 7, "{begun:?}");
}

#[tokio::test]
async fn a_command_that_is_refused_leaves_what_is_known_as_it_is() {
    let (store, committer) = start().await;
    committer.known.refresh(&*store).await.unwrap();
    committer.poll(poll(10), None).await.unwrap();
    store.refuse([1]);
    assert_eq!(committer.submit(task(1)).await, Err(CommitError::Failed));
    let before = store.begun().await;
    committer.poll(poll(10), None).await.unwrap();
    assert_eq!(store.begun().await, before, "the poll is answered from memory");
}

#[tokio::test(start_paused = true)]
async fn what_is_locked_is_tried_for_a_while_and_holds_up_nobody() {
    let (store, committer) = start().await;
    store.lock(2..1_000);
    let began = Instant::now();
    let locked = submit_together(&committer, 2..1_000);
    for submit in submit_together(&committer, [1, 1_000]) {
        assert_eq!(submit.await.unwrap(), Ok(Ok(Submitted::Stored)));
    }
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    for submit in locked {
        assert_eq!(submit.await.unwrap(), Err(CommitError::Locked));
    }
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_locked_any_more_is_done() {
    let (store, committer) = start().await;
    store.lock([1]);
    let submits = submit_together(&committer, [1]);
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    store.lock([]);
    for submit in submits {
        assert_eq!(submit.await.unwrap(), Ok(Ok(Submitted::Stored)));
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn commands_that_name_what_is_locked_are_not_tried_with_others() {
    let (store, committer) = start().await;
    store.lock([1]);
    assert_eq!(committer.submit(task(1)).await, Err(CommitError::Locked));
    store.hold();
    let mut submits = submit_together(&committer, [2]);
    assert_eq!(store.begun().await.last(), Some(&1));
    let before = store.begun().await.len();
    submits.extend(submit_together(&committer, [1, 3, 4]));
    store.begun().await;
    store.may_end.add_permits(Semaphore::MAX_PERMITS / 2);
    let mut answers = Vec::new();
    for submit in submits {
        answers.push(submit.await.unwrap().map(|submitted| submitted.unwrap()));
    }
    let stored = Ok(Submitted::Stored);
    assert_eq!(answers, [stored, Err(CommitError::Locked), stored, stored]);
    let begun = store.begun().await;
    assert!(begun[before..].contains(&2) && !begun[before..].contains(&3), "{begun:?}");
}

#[tokio::test]
async fn what_an_agent_was_told_goes_back_where_it_never_heard_it() {
    let (store, committer) = start().await;
    let told = async || committer.poll(poll(10), None).await.map(|polled| polled.cancelled);
    for fate in [None, Some(Fate::InDoubt)] {
        let n = if fate.is_none() { 1 } else { 2 };
        committer.submit(task(n)).await.unwrap().unwrap();
        assert_eq!(ids(&committer.poll(poll(10), None).await.unwrap()), [n]);
        committer.cancel(Uuid::from_u128(n)).await.unwrap().unwrap().unwrap();
        if let Some(fate) = fate {
            store.comes(&[fate]);
            assert_eq!(told().await, Err(CommitError::Unavailable));
        } else {
            store.hold();
            let begun = store.begun().await.len();
            let gone = tokio::spawn({
                let committer = committer.clone();
                async move { committer.poll(poll(10), None).await }
            });
            assert_eq!(store.begun().await.len(), begun + 1);
            gone.abort();
            assert!(gone.await.unwrap_err().is_cancelled());
            store.may_end.add_permits(Semaphore::MAX_PERMITS >> 1);
        }
        assert_eq!(told().await.unwrap(), [Uuid::from_u128(n)]);
        assert_eq!(told().await.unwrap(), [] as [Uuid; 0]);
    }
}
