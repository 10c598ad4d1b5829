//! Tests in every order how requests that are held open meet what they wait for.

use std::convert::Infallible;
use std::ops::ControlFlow;

use loom::thread;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::dispatch::claimed::Claimed;
use crate::dispatch::sync::modelled::{ScenarioFuture, every_order};

const THRESHOLD: Duration = Duration::from_secs(30);

/// The waiters, and the number of waiting tasks of one kind.
#[derive(Clone, Default)]
struct Scene {
    waiters: Waiters,
    tasks: Arc<Mutex<usize>>,
}

impl Scene {
    /// Holds a poll open until it has claimed a task; returns `None` if it was ended.
    async fn poll(self, agent: u128) -> Option<Claimed> {
        let stop = CancellationToken::new();
        let claim = |_, _| {
            let mut tasks = self.tasks.lock();
            let brought = if *tasks > 0 { vec![Uuid::from_u128(agent)] } else { Vec::new() };
            *tasks -= brought.len();
            let polled = Polled { cancelled: brought, ..Polled::default() };
            std::future::ready(Ok::<_, Infallible>(polled.into()))
        };
        let Ok(claimed) = self.waiters.poll_until_claimed(request(agent, ""), THRESHOLD, &stop, claim).await;
        claimed
    }

    /// Stores a task, as another AFM might.
    fn post(&self) {
        *self.tasks.lock() += 1;
        self.waiters.tasks_wait(&any(1));
    }
}

#[test]
fn a_task_that_comes_while_a_poll_begins_is_found_or_wakes_it() {
    every_order(|| {
        let scene = Scene::default();
        let poster = thread::spawn({
            let scene = scene.clone();
            move || scene.post()
        });
        let mut poll = ScenarioFuture::new(scene.clone().poll(1));
        let claimed = poll.go_on_twice();
        poster.join().unwrap();
        let claimed = claimed.or_else(|| poll.go_on()).expect("a task waits, and so does the poll");
        assert_eq!(claimed.unwrap().cancelled.len(), 1);
        drop(poll);
        scene.waiters.assert_empty();
    });
}

#[test]
fn what_woke_a_poll_that_is_gone_wakes_the_next_one() {
    every_order(|| {
        let scene = Scene::default();
        let mut second = ScenarioFuture::new(scene.clone().poll(2));
        let poster = {
            let scene = scene.clone();
            thread::spawn(move || scene.post())
        };
        let first = {
            let mut poll = ScenarioFuture::new(scene.clone().poll(1));
            thread::spawn(move || poll.go_on_twice().is_some())
        };
        let second_has = second.go_on();
        let first_has = first.join().unwrap();
        poster.join().unwrap();
        let second_has = second_has.or_else(|| second.go_on()).is_some();
        assert!(first_has != second_has, "the task is {first_has:?} and {second_has:?} the polls'");
        drop(second);
        scene.waiters.assert_empty();
    });
}

#[test]
fn of_two_polls_of_an_agent_one_is_ended_and_the_other_is_woken() {
    every_order(|| {
        let scene = Scene::default();
        let begin = |scene: &Scene| {
            let mut poll = ScenarioFuture::new(scene.clone().poll(1));
            thread::spawn(move || (poll.go_on(), poll))
        };
        let polls = [begin(&scene), begin(&scene)];
        scene.post();
        let mut polls = polls.map(|poll| poll.join().unwrap());
        let mut ended = 0;
        let mut has_task = 0;
        for (answer, poll) in &mut polls {
            match answer.take().or_else(|| poll.go_on()) {
                Some(Some(_)) => has_task += 1,
                Some(None) => ended += 1,
                None => {}
            }
        }
        assert_eq!(has_task, 1, "{ended} were ended");
        // A poll that was answered before the other one began is not ended.
        assert!(ended <= 1);
        drop(polls);
        scene.waiters.assert_empty();
    });
}

#[test]
fn of_two_polls_of_an_agent_that_begin_at_once_one_is_held() {
    every_order(|| {
        let scene = Scene::default();
        let begin = |scene: &Scene| {
            let mut poll = ScenarioFuture::new(scene.clone().poll(1));
            thread::spawn(move || (poll.go_on(), poll))
        };
        let polls = [begin(&scene), begin(&scene)];
        let mut polls = polls.map(|poll| poll.join().unwrap());
        let mut is_held = |n: usize| {
            let (answer, poll) = &mut polls[n];
            answer.take().or_else(|| poll.go_on()).is_none()
        };
        let are_held = [is_held(0), is_held(1)];
        assert_ne!(are_held[0], are_held[1]);
        // The end of the older poll has not changed that the newer one waits.
        assert!(scene.waiters.is_waiting(Uuid::from_u128(1)));
        assert!(scene.waiters.end_older(Uuid::from_u128(1)).is_some());
        assert!(!is_held(usize::from(are_held[1])));
        drop(polls);
        scene.waiters.assert_empty();
    });
}

#[test]
fn a_poll_that_does_not_wait_ends_the_one_that_does() {
    every_order(|| {
        let scene = Scene::default();
        let mut held = ScenarioFuture::new(scene.clone().poll(1));
        assert!(held.go_on().is_none());
        let other = {
            let waiters = scene.waiters.clone();
            thread::spawn(move || waiters.end_older(Uuid::from_u128(1)).is_some())
        };
        let poster = {
            let scene = scene.clone();
            thread::spawn(move || scene.post())
        };
        let answer = held.go_on_twice();
        let has_ended_it = other.join().unwrap();
        poster.join().unwrap();
        match answer.or_else(|| held.go_on()) {
            Some(None) => assert!(has_ended_it && *scene.tasks.lock() == 1),
            Some(Some(_)) => assert_eq!(*scene.tasks.lock(), 0),
            None => panic!("it was ended, and still waits"),
        }
        drop(held);
        scene.waiters.assert_empty();
    });
}

#[test]
fn a_read_hears_of_an_end_that_comes_while_it_begins() {
    every_order(|| {
        let (waiters, id) = (Waiters::default(), Uuid::from_u128(1));
        let has_ended = Arc::<Mutex<bool>>::default();
        let ender = {
            let (waiters, has_ended) = (waiters.clone(), Arc::clone(&has_ended));
            thread::spawn(move || {
                *has_ended.lock() = true;
                waiters.task_ended(id);
            })
        };
        let mut read = ScenarioFuture::new({
            let waiters = waiters.clone();
            async move {
                let stop = CancellationToken::new();
                let look = || {
                    let look =
                        if *has_ended.lock() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
                    std::future::ready(Ok::<_, Infallible>(look))
                };
                let Ok(read) = waiters.read_until_ended(id, THRESHOLD, &stop, look).await;
                read
            }
        });
        let answer = read.go_on_twice();
        ender.join().unwrap();
        let answer = answer.or_else(|| read.go_on()).expect("the task has ended, and the read waits");
        assert_eq!(answer, Some(()));
        drop(read);
        waiters.assert_empty();
    });
}
