//! A way to a server that may be cut off, so that neither end hears of it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A TCP relay on 127.0.0.1. With this value it ends, and so do its connections.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Connections made before this one pass nothing on.
    silent_before: usize,
    made: usize,
    is_mute: bool,
    is_over: bool,
    ends: Vec<TcpStream>,
}

impl Relay {
    /// A relay to a port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    #[must_use]
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let shared = Arc::new(Shared::default());
        let relay = Self { port, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.lock().is_over {
                    return;
                }
                // As the server would have refused it.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                    drop(shared.join(client, server));
                }
            }
        });
        relay
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, the connections that there are pass nothing on, and stay open: a server, or a way to it, that vanished.
    /// New ones work.
    pub fn go_silent(&self) {
        let mut state = self.shared.lock();
        state.silent_before = state.made;
    }

    /// From now on, notifications of PostgreSQL get lost, on connections without TLS; until `false`.
    pub fn lose_notifications(&self, is_mute: bool) {
        self.shared.lock().is_mute = is_mute;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.is_over = true;
            for end in state.ends.drain(..) {
                drop(end.shutdown(Shutdown::Both));
            }
        }
        self.shared.changed.notify_all();
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) -> io::Result<()> {
        let mut state = self.lock();
        let number = state.made;
        state.made += 1;
        state.ends.extend([client.try_clone()?, server.try_clone()?]);
        drop(state);
        let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
        let there = Arc::clone(self);
        thread::spawn(move || {
            there.pass_on(number, from_client, server, |_, there, bytes| there.write_all(bytes));
        });
        let back = Arc::clone(self);
        let mut messages = Messages::default();
        thread::spawn(move || {
            back.pass_on(number, from_server, client, move |is_mute, there, bytes| {
                there.write_all(&messages.without_notifications(bytes, is_mute))
            });
        });
        Ok(())
    }

    fn pass_on(
        &self,
        number: usize,
        mut from: TcpStream,
        mut there: TcpStream,
        mut write: impl FnMut(bool, &mut TcpStream, &[u8]) -> io::Result<()>,
    ) {
        let mut buffer = [0; 65_536];
        loop {
            let read = from.read(&mut buffer);
            let mut state = self.lock();
            while number < state.silent_before && !state.is_over {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let is_mute = state.is_mute;
            drop(state);
            match read {
                Ok(length) if length > 0 && write(is_mute, &mut there, &buffer[..length]).is_ok() => {}
                _ => break,
            }
        }
        for end in [from, there] {
            drop(end.shutdown(Shutdown::Both));
        }
    }
}

/// What PostgreSQL sends: messages of a byte that says what it is, four of their length, and the rest.
#[derive(Debug, Default)]
struct Messages(Vec<u8>);

impl Messages {
    /// All messages that are complete, without those that notify.
    fn without_notifications(&mut self, bytes: &[u8], is_mute: bool) -> Vec<u8> {
        // Whether it wants TLS, it says in a byte alone; here it does not.
        if self.0.is_empty() && bytes == b"N" {
            return bytes.to_vec();
        }
        self.0.extend_from_slice(bytes);
        let (mut passed, mut at) = (Vec::new(), 0);
        while let Some([kind, a, b, c, d]) = self.0.get(at..at + 5) {
            let end = at + 1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let Some(message) = self.0.get(at..end) else { break };
            if !(is_mute && *kind == b'A') {
                passed.extend_from_slice(message);
            }
            at = end;
        }
        self.0.drain(..at);
        passed
    }
}
