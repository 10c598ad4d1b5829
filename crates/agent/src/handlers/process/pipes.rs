//! What a command reads and writes.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

/// So many bytes of the standard error are kept: the last ones.
const ERROR_OUTPUT: usize = 4 * 1024;

/// The pipes to and from a command, and what has come through them.
#[derive(Debug)]
pub(super) struct Pipes {
    input: Vec<u8>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    output: Vec<u8>,
    output_limit: usize,
    error_output: VecDeque<u8>,
    /// Whether there was more of it before.
    is_cut: bool,
}

/// The command has written more to its standard output than it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

impl Pipes {
    pub(super) fn new(child: &mut Child, input: Vec<u8>, output_limit: usize) -> Self {
        Self {
            input,
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            output: Vec::new(),
            output_limit,
            error_output: VecDeque::new(),
            is_cut: false,
        }
    }

    pub(super) fn output_limit(&self) -> usize {
        self.output_limit
    }

    /// Gives the command its input, and takes what it writes, until it has closed all that it writes to.
    pub(super) async fn flow(&mut self) -> Result<(), TooMuch> {
        let Self { input, stdin, stdout, stderr, output, output_limit, error_output, is_cut } = self;
        let feed = async {
            if let Some(mut stdin) = stdin.take() {
                // A command need not read it.
                let _ = stdin.write_all(input).await;
            }
            Ok(())
        };
        let read_output = read(stdout.as_mut(), |bytes| {
            if output.len() + bytes.len() > *output_limit {
                return Err(TooMuch);
            }
            output.extend_from_slice(bytes);
            Ok(())
        });
        let read_errors = read(stderr.as_mut(), |bytes| {
            error_output.extend(bytes);
            let more = error_output.len().saturating_sub(ERROR_OUTPUT);
            error_output.drain(..more);
            *is_cut |= more > 0;
            Ok(())
        });
        tokio::try_join!(feed, read_output, read_errors).map(|_| ())
    }

    /// Reads on, and forgets it, for ever: a command that is asked to end is not to be ended by a pipe that is closed.
    pub(super) async fn discard(&mut self) {
        let Self { stdout, stderr, .. } = self;
        let _ = tokio::join!(read(stdout.as_mut(), |_| Ok(())), read(stderr.as_mut(), |_| Ok(())));
        std::future::pending::<()>().await;
    }

    /// What came from the standard output, as text.
    pub(super) fn output(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// The end of what came from the standard error, as text.
    pub(super) fn error_output(&mut self) -> String {
        let text = String::from_utf8_lossy(self.error_output.make_contiguous());
        if self.is_cut { format!("…{text}") } else { text.into_owned() }
    }
}

async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    mut take: impl FnMut(&[u8]) -> Result<(), TooMuch>,
) -> Result<(), TooMuch> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match pipe.read(&mut buffer).await {
            // What cannot be read has ended, too.
            Ok(0) | Err(_) => return Ok(()),
            Ok(length) => take(&buffer[..length])?,
        }
    }
}
