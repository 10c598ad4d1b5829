//! A server before an AFM, or a proxy, which reads each request, and passes it on as its rules say.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::fleet::PATIENCE;

/// What a gate asks for; it may change at any time.
#[derive(Clone, Default)]
pub(super) struct Rules {
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// A header in small letters, and the values that are let in, one at least.
    pub(super) header: Option<(&'static str, Vec<String>)>,
    /// When the connection is closed by which a result comes.
    pub(super) cut: Option<Cut>,
    /// Whether each connection is closed after an answer, which does not say so.
    pub(super) closes: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Cut {
    /// The result is not passed on.
    Before,
    /// The AFM has it, and its answer is lost.
    After,
}

/// A request that was passed on, or refused.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Its first line, as it came.
    pub(super) line: String,
    /// Its headers, with names in small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// The status of the answer, which the AFM or the gate has given, or 0.
    pub(super) status: u16,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// A gate on 127.0.0.1; it lasts as long as the process.
pub(super) struct Gate {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// Where requests are passed on to; `None`: where they say, as a proxy does.
    to: Option<SocketAddr>,
    rules: Mutex<Rules>,
    seen: Mutex<Vec<Seen>>,
    came: Condvar,
    made: AtomicUsize,
}

impl Gate {
    pub(super) fn before(afm: SocketAddr, rules: Rules) -> Self {
        Self::start(Some(afm), rules)
    }

    pub(super) fn proxy(rules: Rules) -> Self {
        Self::start(None, rules)
    }

    fn start(to: Option<SocketAddr>, rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (rules, seen) = (Mutex::new(rules), Mutex::default());
        let shared = Arc::new(Shared { to, rules, seen, came: Condvar::new(), made: AtomicUsize::new(0) });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                // A client that goes away ends its connection only.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Self { address, shared }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut locked(&self.shared.rules));
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        locked(&self.shared.seen).clone()
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> usize {
        self.shared.made.load(Ordering::SeqCst)
    }

    /// Waits until what was seen is as `is` says.
    #[track_caller]
    pub(super) fn wait_until(&self, is: impl Fn(&[Seen]) -> bool) {
        let seen = locked(&self.shared.seen);
        let (seen, timeout) = self
            .shared
            .came
            .wait_timeout_while(seen, PATIENCE, |seen| !is(seen))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{seen:?}");
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        self.made.fetch_add(1, Ordering::SeqCst);
        let tls = locked(&self.rules).tls.clone();
        let plain = stream.try_clone()?;
        let client: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(tls) => {
                let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(connection, stream))
            }
        };
        let served = self.serve_requests(&plain, &mut BufReader::new(client));
        // What the client has sent beside must not make the system take back what was said last.
        plain.shutdown(Shutdown::Write)?;
        io::copy(&mut &plain, &mut io::sink())?;
        served
    }

    fn serve_requests(&self, plain: &TcpStream, client: &mut BufReader<Box<dyn Stream>>) -> io::Result<()> {
        // As servers without TLS answer what is no HTTP: the beginning of TLS, which need not have an end of a line in it.
        if client.fill_buf()?.first() == Some(&0x16) {
            client.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(());
        }
        let mut server: Option<BufReader<TcpStream>> = None;
        while let Some(request) = Message::read(client)? {
            let rules = locked(&self.rules).clone();
            let note = |status| {
                let (line, headers) = (request.line.clone(), request.headers.clone());
                let body = String::from_utf8_lossy(&request.body).into_owned();
                locked(&self.seen).push(Seen { line, headers, body, status });
                self.came.notify_all();
            };
            let is_let_in = |(name, values): &(&str, Vec<String>)| {
                header(&request.headers, name).is_some_and(|value| values.iter().any(|one| one == value))
            };
            if rules.header.as_ref().is_some_and(|header| !is_let_in(header)) {
                let status = if self.to.is_some() { 401 } else { 407 };
                note(status);
                write!(client.get_mut(), "HTTP/1.1 {status} \r\nContent-Length: 2\r\n\r\nNo")?;
                client.get_mut().flush()?;
                continue;
            }
            let target = request.line.split(' ').nth(1).unwrap_or_default();
            if request.line.starts_with("CONNECT ") {
                note(200);
                client.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                return tunnel(plain, &TcpStream::connect(target)?);
            }
            let is_result = target.ends_with("/tasks/response");
            if is_result && rules.cut == Some(Cut::Before) {
                note(0);
                return Ok(());
            }
            let (to, path) = match self.to {
                Some(to) => (to.to_string(), target.to_owned()),
                None => parts(target)?,
            };
            let server = match &mut server {
                Some(server) => server,
                none => none.insert(BufReader::new(TcpStream::connect(to)?)),
            };
            let line = request.line.replace(target, &path);
            server.get_mut().write_all(&request.bytes(&line))?;
            let answer = Message::read(server)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let status = answer.line.split(' ').nth(1).and_then(|status| status.parse().ok());
            note(status.unwrap_or(0));
            if is_result && rules.cut == Some(Cut::After) {
                return Ok(());
            }
            client.get_mut().write_all(&answer.bytes(&answer.line))?;
            client.get_mut().flush()?;
            if rules.closes {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Passes everything on, both ways, until both ends have said all.
fn tunnel(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    let pass = |mut from: &TcpStream, mut to: &TcpStream| {
        let passed = io::copy(&mut from, &mut to);
        // It may be gone.
        drop(to.shutdown(Shutdown::Write));
        passed
    };
    thread::scope(|threads| {
        threads.spawn(|| pass(client, server));
        pass(server, client).map(drop)
    })
}

/// Host and port, and path, of a URL.
fn parts(url: &str) -> io::Result<(String, String)> {
    let rest = url.strip_prefix("http://").ok_or(io::ErrorKind::InvalidInput)?;
    let (to, path) = rest.split_once('/').ok_or(io::ErrorKind::InvalidInput)?;
    Ok((to.to_owned(), format!("/{path}")))
}

/// A request or an answer.
struct Message {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    /// Reads one; `None` where the connection ends before it.
    fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let pair = |line: &String| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers: Vec<_> = lines.iter().skip(1).filter_map(pair).collect();
        let length = header(&headers, "content-length").map_or(Ok(0), str::parse);
        let mut body = vec![0; length.map_err(io::Error::other)?];
        from.read_exact(&mut body)?;
        Ok(Some(Self { line: lines.swap_remove(0), headers, body }))
    }

    /// What is sent, with this first line, and without what is meant for a proxy.
    fn bytes(&self, line: &str) -> Vec<u8> {
        let mut head = format!("{line}\r\n");
        for (name, value) in self.headers.iter().filter(|(name, _)| name != "proxy-authorization") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
