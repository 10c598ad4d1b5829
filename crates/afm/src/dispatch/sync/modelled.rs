//! The locks, counters and wake-ups of unit tests: plain ones, or those of loom while a scenario runs.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

thread_local! {
    /// Whether a scenario runs. The threads of a scenario are coroutines on the thread of the test.
    static IS_MODELLED: Cell<bool> = const { Cell::new(false) };
}

/// In one order, threads that could go on are interrupted this many times at most. Without a limit, three
/// threads have too many orders.
const INTERRUPTIONS: usize = 3;

/// Runs a scenario once for each order in which its threads can meet.
pub(in crate::dispatch) fn every_order(scenario: impl Fn() + Send + Sync + 'static) {
    struct Reset;

    impl Drop for Reset {
        fn drop(&mut self) {
            IS_MODELLED.set(false);
        }
    }

    // The time stands still, so that a future that is not woken waits for ever.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime is made");
    let _entered = runtime.enter();
    let _reset = Reset;
    IS_MODELLED.set(true);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(INTERRUPTIONS);
    model.check(scenario);
}

/// A future of a scenario, which goes on only when it is woken.
pub(in crate::dispatch) struct ScenarioFuture<F> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<F: Future> ScenarioFuture<F> {
    pub(in crate::dispatch) fn new(future: F) -> Self {
        Self { future: Box::pin(future), woken: Arc::new(Woken(AtomicBool::new(true))) }
    }

    /// Polls it for as long as it is woken; returns `None` if it waits.
    pub(in crate::dispatch) fn go_on(&mut self) -> Option<F::Output> {
        let waker = Waker::from(Arc::clone(&self.woken));
        while self.woken.0.swap(false, Ordering::SeqCst) {
            if let Poll::Ready(output) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(output);
            }
        }
        None
    }

    /// Like [`ScenarioFuture::go_on`], and again once other threads have done something.
    pub(in crate::dispatch) fn go_on_twice(&mut self) -> Option<F::Output> {
        self.go_on().or_else(|| {
            loom::thread::yield_now();
            self.go_on()
        })
    }
}

/// A lock that stays usable after a panic of the thread that held it.
#[derive(Debug)]
pub(in crate::dispatch) enum Mutex<T> {
    Plain(std::sync::Mutex<T>),
    Modelled(loom::sync::Mutex<T>),
}

#[derive(Debug)]
pub(in crate::dispatch) enum MutexGuard<'a, T> {
    Plain(std::sync::MutexGuard<'a, T>),
    Modelled(loom::sync::MutexGuard<'a, T>),
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        if IS_MODELLED.get() {
            Self::Modelled(loom::sync::Mutex::new(T::default()))
        } else {
            Self::Plain(std::sync::Mutex::default())
        }
    }
}

impl<T> Mutex<T> {
    pub(in crate::dispatch) fn lock(&self) -> MutexGuard<'_, T> {
        match self {
            Self::Plain(mutex) => MutexGuard::Plain(mutex.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Modelled(mutex) => {
                MutexGuard::Modelled(mutex.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Plain(guard) => guard,
            Self::Modelled(guard) => guard,
        }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match self {
            Self::Plain(guard) => guard,
            Self::Modelled(guard) => guard,
        }
    }
}

/// A counter.
#[derive(Debug)]
pub(in crate::dispatch) enum AtomicUsize {
    Plain(std::sync::atomic::AtomicUsize),
    Modelled(loom::sync::atomic::AtomicUsize),
}

impl Default for AtomicUsize {
    fn default() -> Self {
        if IS_MODELLED.get() {
            Self::Modelled(loom::sync::atomic::AtomicUsize::new(0))
        } else {
            Self::Plain(std::sync::atomic::AtomicUsize::new(0))
        }
    }
}

impl AtomicUsize {
    pub(in crate::dispatch) fn load(&self, order: Ordering) -> usize {
        match self {
            Self::Plain(number) => number.load(order),
            Self::Modelled(number) => number.load(order),
        }
    }

    pub(in crate::dispatch) fn store(&self, value: usize, order: Ordering) {
        match self {
            Self::Plain(number) => number.store(value, order),
            Self::Modelled(number) => number.store(value, order),
        }
    }
}

/// A wake-up. Tokio tests its own; here it is one step, before which other threads may go on.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct Notify {
    notify: tokio::sync::Notify,
    step: Mutex<()>,
}

impl Notify {
    pub(in crate::dispatch) fn new() -> Self {
        Self::default()
    }

    pub(in crate::dispatch) fn notify_one(&self) {
        drop(self.step.lock());
        self.notify.notify_one();
    }

    pub(in crate::dispatch) async fn notified(&self) {
        drop(self.step.lock());
        self.notify.notified().await;
    }
}
