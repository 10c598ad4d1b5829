//! The connection that a request came on, as those who answer it know it: whether somebody is still there, what it holds
//! of the memory for all, and what it is still to be given.
//!
//! A client that has closed its side (FIN) may still read: ordinary requests are answered. Nothing tells it from one
//! that has gone but writing to it, which a request that is held open does not do for minutes: there a FIN counts
//! as a hang-up, as it does with nginx. A reset is one at any time.

mod io;
mod outstanding;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub(crate) use self::io::Io;
pub use self::io::find_the_vanished;
use self::outstanding::AnswerFate;
pub(crate) use self::outstanding::Outstanding;
use crate::http::connections::HeldPlaces;
use crate::http::memory::{Lease, Memory};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// It was answered, and has sent nothing since.
    Idle,
    /// A head is arriving, or has yet to begin on a new connection.
    Head,
    /// A body is arriving.
    Body,
    /// A request is being answered.
    Answering,
    /// A request waits for something to happen.
    Held,
    /// The client does not read its answer.
    Writing,
    /// It is being closed to make room.
    Closing,
}

impl Phase {
    const ALL: [Self; 7] =
        [Self::Idle, Self::Head, Self::Body, Self::Answering, Self::Held, Self::Writing, Self::Closing];
}

/// How much of what a client sends ahead of its turn is kept while a request is being answered, in bytes.
const EARLY: usize = 8 * 1024;

tokio::task_local! {
    /// Whose requests this task answers.
    static CURRENT: Arc<Peer>;
}

/// The connection of the request that this task is answering.
pub(crate) fn current<T>(look: impl FnOnce(&Arc<Peer>) -> T) -> Option<T> {
    CURRENT.try_with(look).ok()
}

/// How long the request that is being answered may wait that asks for so long. Where too many wait already, it is answered
/// at once: those who do not wait must find room.
pub(crate) fn hold(time: Duration) -> Duration {
    if time.is_zero() || current(|peer| peer.hold()) == Some(false) { Duration::ZERO } else { time }
}

/// A connection.
pub(crate) struct Peer {
    /// Written to, and asked about; read from by [`Io`].
    stream: OwnedWriteHalf,
    phase: AtomicU8,
    /// When the phase began, if it may last, in milliseconds since [`START`].
    since: AtomicU64,
    /// It was accepted beyond the limit: it is told so, unless it only reads.
    pub(crate) is_extra: bool,
    /// Whether [`Peer::held`] has anything: asked with every answer.
    holds: AtomicBool,
    held: Mutex<Holdings>,
    /// Whether the kernel gave up on the other end.
    timed_out: AtomicBool,
    /// What came while a request was being answered, and whether anything did.
    early: Mutex<Vec<u8>>,
    is_early: AtomicBool,
    /// Whether a body that is arriving has to make room for others.
    must_give_way: AtomicBool,
    gives_way: Notify,
    abort: OnceLock<AbortHandle>,
    memory: Arc<Memory>,
    places: Arc<HeldPlaces>,
}

#[derive(Default)]
struct Holdings {
    /// For the request and its answer.
    leases: Vec<Lease>,
    /// How much of that is for the answer, in bytes.
    for_answer: usize,
    outstanding: Option<Outstanding>,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Peer {
    pub(crate) fn new(
        stream: TcpStream,
        is_extra: bool,
        memory: Arc<Memory>,
        places: Arc<HeldPlaces>,
    ) -> (Arc<Self>, OwnedReadHalf) {
        let (read, stream) = stream.into_split();
        let peer = Self {
            stream,
            phase: AtomicU8::new(Phase::Head as u8),
            since: AtomicU64::new(now_ms()),
            is_extra,
            holds: AtomicBool::new(false),
            held: Mutex::default(),
            timed_out: AtomicBool::new(false),
            early: Mutex::default(),
            is_early: AtomicBool::new(false),
            must_give_way: AtomicBool::new(false),
            gives_way: Notify::new(),
            abort: OnceLock::new(),
            memory,
            places,
        };
        (Arc::new(peer), read)
    }

    /// Serves the connection, for whose requests this is the [`current`] one; `None` if the client has hung up.
    pub(crate) async fn serve<T>(self: &Arc<Self>, connection: impl Future<Output = T>) -> Option<T> {
        let served = async {
            let mut connection = pin!(connection);
            std::future::poll_fn(|cx| {
                if let Poll::Ready(done) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Some(done));
                }
                match self.phase() {
                    // Nobody reads meanwhile.
                    Phase::Answering => self.poll_hung_up(cx, false).map(|()| None),
                    Phase::Held => self.poll_hung_up(cx, true).map(|()| None),
                    _ => Poll::Pending,
                }
            })
            .await
        };
        let served = CURRENT.scope(Arc::clone(self), served).await;
        if served.is_none() {
            tracing::debug!("the client hung up");
        }
        served
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// How long it has been in its phase.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.since.load(Ordering::Relaxed)))
    }

    fn enter(&self, phase: Phase) {
        if self.phase.swap(phase as u8, Ordering::AcqRel) == Phase::Held as u8 {
            self.places.give_back();
        }
    }

    /// From `before`, unless it is not in that phase any more.
    fn turn(&self, before: Phase, phase: Phase) -> bool {
        self.phase.compare_exchange(before as u8, phase as u8, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn enter_now(&self, phase: Phase) {
        self.since.store(now_ms(), Ordering::Relaxed);
        self.enter(phase);
    }

    /// The next head begins; `false` if the connection is being closed.
    fn head_begins(&self) -> bool {
        self.since.store(now_ms(), Ordering::Relaxed);
        self.turn(Phase::Idle, Phase::Head)
    }

    /// The head of a request has come. What came of the one before was read, or nobody will ever know.
    pub(crate) fn request_came(&self) {
        self.enter(Phase::Answering);
        if self.holds.swap(false, Ordering::AcqRel) {
            drop(std::mem::take(&mut *self.holdings()));
        }
    }

    /// The body of a request is arriving, until the guard is dropped.
    pub(crate) fn body_arrives(self: &Arc<Self>) -> Arriving {
        self.must_give_way.store(false, Ordering::Relaxed);
        self.enter_now(Phase::Body);
        Arriving(Arc::clone(self))
    }

    /// Has the request that is being answered wait for something to happen; `false` if too many do already.
    pub(crate) fn hold(&self) -> bool {
        if self.is_extra || !self.places.take() {
            return false;
        }
        self.enter(Phase::Held);
        true
    }

    /// Keeps memory until the answer has been written.
    pub(crate) fn keep(&self, lease: Lease) {
        self.holdings().leases.push(lease);
        self.holds.store(true, Ordering::Release);
    }

    /// A share of the memory for all, for an answer of so many bytes; the connection is cut if others need it more.
    pub(crate) fn lease_for_answer(&self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.holdings().for_answer);
        if more == 0 {
            return true;
        }
        let abort = self.abort.get().cloned();
        let mut lease = self.memory.lease(move || {
            if let Some(abort) = &abort {
                abort.abort();
            }
        });
        let granted = lease.grow(more);
        if granted {
            self.holdings().for_answer += more;
            self.keep(lease);
        }
        granted
    }

    /// The answer will have this in it, and it matters whether it gets there.
    pub(crate) fn carries(&self, outstanding: Outstanding) {
        self.holdings().outstanding = Some(outstanding);
        self.holds.store(true, Ordering::Release);
    }

    /// What the answer would have carried goes back.
    pub(crate) fn keep_nothing(&self) {
        if let Some(outstanding) = self.holdings().outstanding.take() {
            outstanding.give_back();
        }
    }

    /// How it can be cut.
    pub(crate) fn set_abort(&self, abort: AbortHandle) {
        let _ = self.abort.set(abort);
    }

    /// Closes an idle connection, or one that does not go on, unless it goes on right now.
    pub(crate) fn make_room(&self) -> bool {
        match self.phase() {
            phase @ (Phase::Idle | Phase::Head | Phase::Writing) => self.abort.get().is_some_and(|abort| {
                let closes = self.turn(phase, Phase::Closing);
                if closes {
                    abort.abort();
                }
                closes
            }),
            Phase::Body => {
                let is_told = self.must_give_way.swap(true, Ordering::Relaxed);
                self.gives_way.notify_one();
                !is_told
            }
            Phase::Answering | Phase::Held | Phase::Closing => false,
        }
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.phase(), Phase::Body | Phase::Answering | Phase::Held | Phase::Writing)
    }

    /// Whether it was told to close.
    pub(crate) fn is_leaving(&self) -> bool {
        match self.phase() {
            Phase::Closing => true,
            Phase::Body => self.must_give_way.load(Ordering::Relaxed),
            _ => false,
        }
    }

    /// An answer is about to be written: whoever has closed their side before may not read it.
    fn writes(&self) {
        if self.holds.load(Ordering::Acquire) && matches!(self.phase(), Phase::Answering | Phase::Held) {
            let is_open = !self.readiness().is_some_and(tokio::io::Ready::is_read_closed);
            if let Some(outstanding) = &mut self.holdings().outstanding {
                outstanding.was_open = is_open;
            }
        }
    }

    /// Some of an answer was written, or all of it.
    fn written(&self) {
        if matches!(self.phase(), Phase::Answering | Phase::Held | Phase::Writing) {
            self.enter_now(Phase::Idle);
        }
    }

    /// Nothing more can be written now.
    fn blocked(&self) {
        if self.phase() != Phase::Writing {
            self.enter_now(Phase::Writing);
        }
    }

    /// All that there was to write is with the kernel.
    fn flushed(&self) {
        if self.holds.load(Ordering::Acquire) && self.phase() == Phase::Idle {
            let mut held = self.holdings();
            held.leases.clear();
            held.for_answer = 0;
            if let Some(outstanding) = &mut held.outstanding {
                outstanding.written();
            }
        }
    }

    /// Waits until it is known what became of the last answer; called when all else has ended.
    pub(crate) async fn conclude(&self) {
        let outstanding = self.holdings().outstanding.take();
        let Some(outstanding) = outstanding else { return };
        let is_lost = match outstanding.left() {
            AnswerFate::NotWritten => true,
            AnswerFate::Written(age) => self.timed_out.load(Ordering::Relaxed) && age < io::KEEPALIVE_IDLE,
            // A client that only half closed acknowledges what it gets, one that has gone resets the connection.
            AnswerFate::AfterClose => {
                let reset = tokio::time::timeout(
                    outstanding::RESET_COMES,
                    self.stream.as_ref().ready(Interest::ERROR),
                );
                reset.await.is_ok()
            }
        };
        if is_lost {
            tracing::debug!("an answer did not reach its client: its tasks wait again");
            outstanding.give_back();
        }
    }

    /// What the kernel has said of the connection, if it has said anything since it was last asked.
    fn readiness(&self) -> Option<tokio::io::Ready> {
        let ready = pin!(self.stream.as_ref().ready(Interest::READABLE | Interest::ERROR));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) => Some(ready),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }

    /// Ready when the connection is of no more use to whoever is being answered.
    fn poll_hung_up(&self, cx: &mut Context<'_>, or_closed: bool) -> Poll<()> {
        let stream = self.stream.as_ref();
        loop {
            if ready!(stream.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            let Some(ready) = self.readiness() else { return Poll::Pending };
            if ready.is_error() {
                return Poll::Ready(());
            }
            if ready.is_read_closed() {
                return if or_closed { Poll::Ready(()) } else { Poll::Pending };
            }
            // The next request: what comes after it would not be noticed if it was left there.
            let mut bytes = [0; 1024];
            match stream.try_read(&mut bytes) {
                Ok(length) => {
                    let mut early = self.early();
                    early.extend_from_slice(&bytes[..length]);
                    self.is_early.store(true, Ordering::Release);
                    if early.len() >= EARLY {
                        return Poll::Pending;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    fn holdings(&self) -> MutexGuard<'_, Holdings> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn early(&self) -> MutexGuard<'_, Vec<u8>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.phase() == Phase::Held {
            self.places.give_back();
        }
        let held = std::mem::take(self.held.get_mut().unwrap_or_else(PoisonError::into_inner));
        if let Some(outstanding) = held.outstanding.filter(|it| matches!(it.left(), AnswerFate::NotWritten)) {
            outstanding.give_back();
        }
    }
}

/// A body is arriving.
pub(crate) struct Arriving(Arc<Peer>);

impl Arriving {
    /// A share of the memory for all; the body gives way if others need it more.
    pub(crate) fn lease(&self) -> Lease {
        let peer = Arc::downgrade(&self.0);
        self.0.memory.lease(move || {
            if let Some(peer) = peer.upgrade().filter(|peer| peer.phase() == Phase::Body) {
                peer.make_room();
            }
        })
    }

    /// Returns when the body must give way.
    pub(crate) async fn gives_way(&self) {
        loop {
            self.0.gives_way.notified().await;
            // It may have been said to the body before this one.
            if self.0.must_give_way.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// The body is there, and keeps its memory until it is answered.
    pub(crate) fn arrived(&self, mut lease: Lease) {
        lease.stay();
        self.0.keep(lease);
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.turn(Phase::Body, Phase::Answering);
    }
}
