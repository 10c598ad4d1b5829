//! The connection of a request: whether its client is still there, what memory it takes, and what its answer
//! carries.
//!
//! A client that has closed its side (FIN) may still read, so ordinary requests are answered. Only writing
//! shows whether it has gone, and to a request that is held open nothing is written for minutes: there a FIN
//! counts as a hang-up, as with nginx; so it does while an answer goes on without end. A reset always does.

pub(crate) mod arriving;
mod early_bytes;
mod holdings;
pub(crate) mod io;
pub(crate) mod outstanding;
pub(crate) mod phase;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use self::early_bytes::EarlyBytes;
use self::holdings::Holdings;
use self::outstanding::{AnswerFate, Outstanding};
use self::phase::{Phase, PhaseCell};
use crate::http::held_places::HeldPlaces;
use crate::http::keepalive::KEEPALIVE_IDLE;
use crate::http::memory::Memory;

tokio::task_local! {
    /// The connection whose requests the running task answers.
    static CURRENT: Arc<Peer>;
}

/// Calls `look` with the connection of the request that the running task answers; `None` if there is none.
pub(crate) fn current<T>(look: impl FnOnce(&Arc<Peer>) -> T) -> Option<T> {
    CURRENT.try_with(look).ok()
}

/// Returns how long the request that is being answered may be held open, if it asks for `time`. That is zero
/// where too many are held already, since other requests must find room.
pub(crate) fn hold(time: Duration) -> Duration {
    if time.is_zero() || current(|peer| peer.hold()) == Some(false) { Duration::ZERO } else { time }
}

/// Notes that the request that is being answered has an answer without end, until this is dropped.
pub(crate) fn streams() -> Streaming {
    let peer = current(Arc::clone);
    if let Some(peer) = &peer {
        peer.is_streaming.store(true, Ordering::Relaxed);
    }
    Streaming(peer)
}

/// An answer without end.
pub(crate) struct Streaming(Option<Arc<Peer>>);

impl Drop for Streaming {
    fn drop(&mut self) {
        if let Some(peer) = &self.0 {
            peer.is_streaming.store(false, Ordering::Relaxed);
        }
    }
}

/// A connection.
pub(crate) struct Peer {
    /// The half that is written to and watched; [`io::Io`] reads from the other one.
    stream: OwnedWriteHalf,
    phase: PhaseCell,
    /// Whether it was accepted beyond the limit: then it is told to try again, unless it only reads.
    pub(crate) is_extra: bool,
    /// What it keeps for the request and its answer.
    holdings: Holdings,
    /// Whether an answer without end is being written.
    is_streaming: AtomicBool,
    /// Whether the kernel has given up the other end.
    timed_out: AtomicBool,
    /// What came while a request was being answered.
    early: EarlyBytes,
    /// Whether a body that is arriving has to make room for others.
    must_give_way: AtomicBool,
    gives_way: Notify,
    abort: OnceLock<AbortHandle>,
    memory: Arc<Memory>,
    places: Arc<HeldPlaces>,
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
            phase: PhaseCell::new(Phase::Head),
            is_extra,
            holdings: Holdings::default(),
            is_streaming: AtomicBool::new(false),
            timed_out: AtomicBool::new(false),
            early: EarlyBytes::default(),
            must_give_way: AtomicBool::new(false),
            gives_way: Notify::new(),
            abort: OnceLock::new(),
            memory,
            places,
        };
        (Arc::new(peer), read)
    }

    /// Serves the connection as the [`current`] one of its requests. Returns `None` if the client has hung
    /// up.
    pub(crate) async fn serve<T>(self: &Arc<Self>, connection: impl Future<Output = T>) -> Option<T> {
        let served = async {
            let mut connection = pin!(connection);
            std::future::poll_fn(|cx| {
                if let Poll::Ready(done) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Some(done));
                }
                match self.phase() {
                    // Hyper does not read meanwhile.
                    Phase::Answering => self.poll_hung_up(cx, false).map(|()| None),
                    Phase::Held => self.poll_hung_up(cx, true).map(|()| None),
                    // What there was to write is written, and hyper waits for more.
                    _ if self.is_streaming.load(Ordering::Relaxed) => {
                        self.poll_hung_up(cx, true).map(|()| None)
                    }
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
        self.phase.get()
    }

    /// Returns how long the connection has been in its phase.
    pub(crate) fn age(&self) -> Duration {
        self.phase.age()
    }

    fn enter(&self, phase: Phase) {
        if self.phase.swap(phase) == Phase::Held {
            self.places.give_back();
        }
    }

    fn enter_now(&self, phase: Phase) {
        self.phase.begins_now();
        self.enter(phase);
    }

    /// Notes that the next head begins; returns `false` if the connection is being closed.
    fn head_begins(&self) -> bool {
        self.phase.begins_now();
        self.phase.turn(Phase::Idle, Phase::Head)
    }

    /// Notes that the head of a request has come. The answer before it was read, or nobody will ever know.
    pub(crate) fn request_came(&self) {
        self.enter(Phase::Answering);
        self.holdings.clear();
    }

    /// Marks the request that is being answered as held open; returns `false` if too many are already.
    pub(crate) fn hold(&self) -> bool {
        if self.is_extra || !self.places.take() {
            return false;
        }
        self.enter(Phase::Held);
        true
    }

    /// Takes memory for an answer of this many bytes, and says whether there was room. The connection is cut
    /// if the memory has to be given up.
    pub(crate) fn lease_for_answer(&self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.holdings.for_answer());
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
            self.holdings.keep_for_answer(lease, more);
        }
        granted
    }

    /// Notes what is to be given back if the answer does not get to its client.
    pub(crate) fn carries(&self, outstanding: Outstanding) {
        self.holdings.carry(outstanding);
    }

    /// Gives back what the answer would have carried, since another one is sent.
    pub(crate) fn keep_nothing(&self) {
        if let Some(outstanding) = self.holdings.take_outstanding() {
            outstanding.give_back();
        }
    }

    /// Sets how the connection can be cut.
    pub(crate) fn set_abort(&self, abort: AbortHandle) {
        let _ = self.abort.set(abort);
    }

    /// Closes the connection if it is idle or stuck, to make room for another one; returns whether it does.
    pub(crate) fn give_up_place(&self) -> bool {
        match self.phase() {
            phase @ (Phase::Idle | Phase::Head | Phase::Writing) => self.abort.get().is_some_and(|abort| {
                let closes = self.phase.turn(phase, Phase::Closing);
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

    /// Says whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.phase(), Phase::Body | Phase::Answering | Phase::Held | Phase::Writing)
    }

    /// Says whether it was told to close.
    pub(crate) fn is_leaving(&self) -> bool {
        match self.phase() {
            Phase::Closing => true,
            Phase::Body => self.must_give_way.load(Ordering::Relaxed),
            _ => false,
        }
    }

    /// Notes that an answer is about to be written: a client that has closed its side before may not read it.
    fn writes(&self) {
        if self.holdings.is_any() && matches!(self.phase(), Phase::Answering | Phase::Held) {
            let is_open = !self.readiness().is_some_and(tokio::io::Ready::is_read_closed);
            self.holdings.answer_begins(is_open);
        }
    }

    /// Notes that some or all of an answer was written.
    fn written(&self) {
        if matches!(self.phase(), Phase::Answering | Phase::Held | Phase::Writing) {
            self.enter_now(Phase::Idle);
        }
    }

    /// Notes that nothing more can be written now.
    fn blocked(&self) {
        if self.phase() != Phase::Writing {
            self.enter_now(Phase::Writing);
        }
    }

    /// Notes that all there was to write is with the kernel.
    fn flushed(&self) {
        if self.holdings.is_any() && self.phase() == Phase::Idle {
            self.holdings.answer_written();
        }
    }

    /// Waits until it is known whether the last answer got to its client; called when all else has ended.
    pub(crate) async fn conclude(&self) {
        let Some(outstanding) = self.holdings.take_outstanding() else { return };
        let is_lost = match outstanding.left() {
            AnswerFate::NotWritten => true,
            AnswerFate::Written(age) => self.timed_out.load(Ordering::Relaxed) && age < KEEPALIVE_IDLE,
            // A client that has only closed its side acknowledges what it gets; one that has gone resets the
            // connection.
            AnswerFate::AfterClose => {
                let reset = tokio::time::timeout(
                    outstanding::RESET_COMES,
                    self.stream.as_ref().ready(Interest::ERROR),
                );
                reset.await.is_ok()
            }
        };
        if is_lost {
            tracing::debug!("an answer did not reach its client, so its tasks wait again");
            outstanding.give_back();
        }
    }

    /// Returns what the kernel has reported of the connection since it was last asked, if anything.
    fn readiness(&self) -> Option<tokio::io::Ready> {
        let ready = pin!(self.stream.as_ref().ready(Interest::READABLE | Interest::ERROR));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) => Some(ready),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }

    /// Returns ready when the client has hung up; `or_closed`, also when it has closed its side.
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
            // This is the next request. If it was left unread, a hang-up behind it would not be noticed.
            let mut bytes = [0; 1024];
            match stream.try_read(&mut bytes) {
                Ok(length) => {
                    if self.early.add(&bytes[..length]) {
                        return Poll::Pending;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.phase() == Phase::Held {
            self.places.give_back();
        }
        if let Some(outstanding) = self.holdings.take_outstanding()
            && matches!(outstanding.left(), AnswerFate::NotWritten)
        {
            outstanding.give_back();
        }
    }
}
