//! Tests in every order what happens to tasks that are handed to polls, and to these polls.

use loom::thread;
use slamon_domain::{Applied, Delivery, Replies, WaitingKind};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::dispatch::committer::hand_off::HandOffs;
use crate::dispatch::committer::replies::Replier;
use crate::dispatch::committer::undelivered::{Awaited, Undelivered};
use crate::dispatch::sync::Mutex;
use crate::dispatch::sync::modelled::{ScenarioFuture, every_order};

/// All parts that a task passes on its way to a poll, except the commit loop and the store.
#[derive(Clone)]
struct HandOffScene {
    waiters: Waiters,
    undelivered: Arc<Undelivered>,
    hand_offs: Arc<HandOffs>,
    replier: Arc<Replier>,
    /// The tasks that are waiting.
    waiting: Arc<Mutex<Vec<Uuid>>>,
    /// How often a task was handed to a poll that did not ask.
    handed: Arc<Mutex<usize>>,
}

impl HandOffScene {
    fn new() -> Self {
        let (waiters, undelivered) = (Waiters::default(), Arc::<Undelivered>::default());
        let hand_offs = HandOffs {
            waiters: waiters.clone(),
            cache: DispatchCache::default(),
            clock: Clock::system(),
            undelivered: Arc::clone(&undelivered),
        };
        let replier = Replier {
            undelivered: Arc::clone(&undelivered),
            held_up: Arc::default(),
            failure_log: Arc::default(),
        };
        Self {
            waiters,
            undelivered,
            hand_offs: Arc::new(hand_offs),
            replier: Arc::new(replier),
            waiting: Arc::default(),
            handed: Arc::default(),
        }
    }

    /// Does what the commit loop does with a batch.
    fn commit(&self, request: QueuedCommand) {
        let mut batch = vec![request];
        self.hand_offs.add_claims(&mut batch);
        *self.handed.lock() += batch.len() - 1;
        let (commands, callers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|QueuedCommand { command, caller }| (command, caller)).unzip();
        let applied = self.apply(&commands);
        self.waiters.on_batch(&applied);
        self.replier.reply(&commands, callers, applied.replies, Timestamp::UNIX_EPOCH);
    }

    fn apply(&self, commands: &[Command]) -> Applied {
        let mut waiting = self.waiting.lock();
        let (before, mut replies) = (waiting.clone(), Replies::default());
        for command in commands {
            match command {
                Command::Submit(task) => {
                    waiting.push(task.task_id);
                    replies.submits.push(Ok(Ok(Submitted::Stored)));
                }
                Command::Release { task_ids, .. } => {
                    waiting.extend(task_ids);
                    replies.releases.push(Ok(task_ids.len()));
                }
                _ => {
                    let tasks = waiting.pop().into_iter().map(delivery).collect();
                    replies.polls.push(Ok(Polled { tasks, cancelled: Vec::new() }));
                }
            }
        }
        let new = waiting.iter().filter(|id| !before.contains(id));
        let waiting = new.map(|_| WaitingKind::of(&task(1)).into()).collect();
        Applied { replies, waiting, ..Applied::default() }
    }

    fn post(&self, n: u128) {
        let (sender, _reply) = oneshot::channel();
        self.commit(QueuedCommand::new(Command::Submit(task(n)), ReplyTo::Submit(sender), None));
    }

    /// Holds a poll open, and returns the tasks that its agent gets.
    async fn poll(self, agent: u128) -> Vec<u128> {
        let stop = CancellationToken::new();
        let request = PollRequest { max_wait: Duration::from_secs(300), max_tasks: 1, ..poll(agent) };
        let claim = |request: PollRequest, _| {
            let (sender, reply) = oneshot::channel();
            let mut awaited = Awaited::new(reply, request.agent_id, Arc::clone(&self.undelivered));
            self.commit(QueuedCommand::new(Command::from(request), ReplyTo::Poll(sender), None));
            async move { awaited.claimed().await }
        };
        let claimed =
            self.waiters.poll_until_claimed(request, Duration::from_secs(30), &stop, claim).await.unwrap();
        claimed.map(|claimed| ids(&kept(claimed))).unwrap_or_default()
    }

    fn begin(&self, agent: u128) -> ScenarioFuture<impl Future<Output = Vec<u128>> + use<>> {
        ScenarioFuture::new(self.clone().poll(agent))
    }

    /// Does what the commit loop does with what was not delivered.
    fn release(&self) {
        for release in self.undelivered.take() {
            let applied = self.apply(&[release]);
            self.waiters.on_batch(&applied);
        }
    }

    /// Asserts that each of this many tasks is waiting or with an agent, and that nothing else is kept.
    fn assert_kept(self, tasks: u128, had: impl IntoIterator<Item = u128>) {
        self.release();
        let mut all: Vec<u128> = self.waiting.lock().iter().map(Uuid::as_u128).chain(had).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=tasks).collect::<Vec<_>>());
        self.waiters.assert_empty();
    }
}

fn delivery(task_id: Uuid) -> Delivery {
    Delivery {
        task_id,
        alias: task_id,
        task_type: "wait".to_owned(),
        task_version: 1,
        task_data: None,
        attempt: 1,
        deadline: None,
    }
}

#[test]
fn a_task_is_handed_to_a_poll_that_begins_or_is_found_by_it() {
    every_order(|| {
        let scene = HandOffScene::new();
        let poster = {
            let scene = scene.clone();
            thread::spawn(move || scene.post(1))
        };
        let mut poll = scene.begin(1);
        let had = poll.go_on_twice();
        poster.join().unwrap();
        let had = had.or_else(|| poll.go_on()).expect("the task waits, and so does the poll");
        assert_eq!(had, [1]);
        drop(poll);
        scene.assert_kept(1, had);
    });
}

#[test]
fn of_two_batches_one_at_most_hands_a_task_to_a_poll() {
    every_order(|| {
        let scene = HandOffScene::new();
        let mut poll = scene.begin(1);
        assert_eq!(poll.go_on(), None);
        let posters = [1, 2].map(|n| {
            let scene = scene.clone();
            thread::spawn(move || scene.post(n))
        });
        let had = poll.go_on_twice();
        for poster in posters {
            poster.join().unwrap();
        }
        let had = had.or_else(|| poll.go_on()).expect("tasks wait, and so does the poll");
        assert_eq!((had.len(), *scene.handed.lock()), (1, 1));
        drop(poll);
        scene.assert_kept(2, had);
    });
}

#[test]
fn what_is_handed_to_a_poll_that_hangs_up_is_given_back() {
    every_order(|| {
        let scene = HandOffScene::new();
        let mut poll = scene.begin(1);
        assert_eq!(poll.go_on(), None);
        let client = thread::spawn(move || poll.go_on_twice().unwrap_or_default());
        scene.post(1);
        let had = client.join().unwrap();
        scene.assert_kept(1, had);
    });
}

#[test]
fn what_is_handed_to_a_poll_that_is_ended_comes_to_the_newer_one() {
    every_order(|| {
        let scene = HandOffScene::new();
        let mut older = scene.begin(1);
        assert_eq!(older.go_on(), None);
        let mut newer = scene.begin(1);
        let newer = thread::spawn(move || (newer.go_on(), newer));
        let older = thread::spawn(move || older.go_on_twice());
        scene.post(1);
        let older_had = older.join().unwrap().unwrap_or_default();
        let (newer_had, mut newer) = newer.join().unwrap();
        scene.release();
        let newer_had = newer_had.or_else(|| newer.go_on()).unwrap_or_default();
        assert_eq!(older_had.len() + newer_had.len(), 1, "{older_had:?}, {newer_had:?}");
        drop(newer);
        scene.assert_kept(1, older_had.into_iter().chain(newer_had));
    });
}

#[test]
fn what_a_poll_was_handed_is_given_back_when_a_newer_one_begins() {
    every_order(|| {
        let scene = HandOffScene::new();
        let mut older = scene.begin(1);
        assert_eq!(older.go_on(), None);
        let poster = {
            let scene = scene.clone();
            thread::spawn(move || scene.post(1))
        };
        // The older poll does not go on, and the newer one need not wait for it.
        let mut newer = scene.begin(1);
        let had = newer.go_on();
        poster.join().unwrap();
        scene.release();
        let had = had.or_else(|| newer.go_on()).expect("the task waits for the older poll");
        assert_eq!(had, [1]);
        drop((older, newer));
        scene.assert_kept(1, had);
    });
}
