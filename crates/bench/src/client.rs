//! A small HTTP/1.1 client.
//!
//! It shares the machine with the server that it measures, so it does as little as it can: a request is bytes that were
//! made before, sent with one system call; buffers are kept; nothing is allocated for a request.

mod answer;
mod failure;
mod request;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use self::answer::{Body, Head};
pub(crate) use self::failure::Failure;
pub(crate) use self::request::{Blank, Request};

/// After this much idleness a connection is looked at before it is used: the server may have closed it meanwhile, which
/// is no failure.
const IDLE: Duration = Duration::from_millis(500);

/// How long to wait after a connection could not be made: a server that is gone must not be asked in a tight loop.
const CONNECT_AGAIN: Duration = Duration::from_millis(20);

/// Sends requests one after the other.
pub(crate) struct Client {
    address: SocketAddr,
    close: bool,
    stream: Option<TcpStream>,
    used: Instant,
    timeout: Duration,
    /// One timer for all requests: it is set anew when it rings early, rather than for each.
    timer: Pin<Box<Sleep>>,
    input: Vec<u8>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Client {
    /// With `close`, every request has a connection of its own. A request may take `timeout`.
    pub(crate) fn new(address: SocketAddr, close: bool, timeout: Duration) -> Self {
        Self {
            address,
            close,
            stream: None,
            used: Instant::now(),
            timeout,
            timer: Box::pin(tokio::time::sleep(timeout)),
            input: Vec::with_capacity(16 * 1024),
            body: Vec::new(),
        }
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<Answer<'_>, Failure> {
        self.write(request).await?;
        self.answer().await
    }

    /// Sends a request; [`Client::answer`] reads what comes back.
    pub(crate) async fn write(&mut self, request: &Request) -> Result<(), Failure> {
        let mut stream = match self.take_open() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        stream.write_all(request.bytes()).await.map_err(|error| Failure::Broken(error.kind()))?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Reads the answer to what [`Client::write`] has sent.
    pub(crate) async fn answer(&mut self) -> Result<Answer<'_>, Failure> {
        let mut stream = self.stream.take().ok_or(Failure::Closed)?;
        self.input.clear();
        let reading = read(&mut stream, &mut self.input, &mut self.body);
        let (head, whole) = within(self.timeout, &mut self.timer, reading).await?;
        if head.keep_alive && !self.close {
            self.stream = Some(stream);
            self.used = Instant::now();
        }
        let body = if whole { &self.input[head.length..] } else { &self.body[..] };
        Ok(Answer { status: head.status, body })
    }

    fn take_open(&mut self) -> Option<TcpStream> {
        let stream = self.stream.take()?;
        if self.used.elapsed() > IDLE {
            // Nothing is asked for, so nothing may come.
            let nothing = stream.try_read(&mut [0]);
            return matches!(nothing, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
                .then_some(stream);
        }
        Some(stream)
    }

    async fn connect(&mut self) -> Result<TcpStream, Failure> {
        let connecting = async {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let connecting = async { connecting.await.map_err(|e: io::Error| Failure::Connect(e.kind())) };
        match within(self.timeout, &mut self.timer, connecting).await {
            Err(failure) => {
                tokio::time::sleep(CONNECT_AGAIN).await;
                Err(failure)
            }
            connected => connected,
        }
    }
}

/// Reads one answer: its head, and whether its body is what follows the head in `input` (else it is in `body`).
async fn read(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    body: &mut Vec<u8>,
) -> Result<(Head, bool), Failure> {
    let head = loop {
        more(stream, input).await?;
        if let Some(head) = Head::parse(input)? {
            break head;
        }
    };
    match head.body {
        Body::Length(length) => {
            let end = head.length + length;
            while input.len() < end {
                more(stream, input).await?;
            }
            // Nobody has asked for more.
            if input.len() > end { Err(Failure::NoHttp) } else { Ok((head, true)) }
        }
        Body::UntilClosed => loop {
            match more(stream, input).await {
                Ok(()) => {}
                Err(Failure::Closed) => return Ok((head, true)),
                Err(failure) => return Err(failure),
            }
        },
        Body::Chunked => loop {
            if answer::unchunk(&input[head.length..], body)? {
                return Ok((head, false));
            }
            more(stream, input).await?;
        },
    }
}

async fn more(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<(), Failure> {
    input.reserve(4 * 1024);
    match stream.read_buf(input).await {
        Ok(0) => Err(Failure::Closed),
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::Broken(error.kind())),
    }
}

/// `work`, given up after `timeout`. The timer is looked at only while `work` waits.
async fn within<T>(
    timeout: Duration,
    timer: &mut Pin<Box<Sleep>>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut deadline = None;
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        let deadline = *deadline.get_or_insert_with(|| tokio::time::Instant::now() + timeout);
        // Rings not later than `timeout` after its last setting, that is for an earlier request.
        while timer.as_mut().poll(context).is_ready() {
            if tokio::time::Instant::now() >= deadline {
                return Poll::Ready(Err(Failure::TimedOut));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests;
