//! The processes of a command: the one that was started, and all that it has started, unless they have left its group.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// How long processes have to end by themselves once they are asked to. Executors give handlers a second; a machine that
/// runs tests may be slow.
const GRACE: Duration = Duration::from_millis(if cfg!(test) { 3_000 } else { 500 });

/// The group of processes of a command. None of them outlives it.
#[derive(Debug)]
pub(super) struct Group {
    /// `None`: the processes are gone.
    id: Option<Pid>,
    child: Child,
}

impl Group {
    /// A group that was made with its first process.
    pub(super) fn new(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { id, child }
    }

    /// Waits until the first process has ended, and ends those that it has left behind.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        // The id is not given away while there is a process in the group, and where there is none, not so soon: the
        // system gives ids out in turn.
        self.signal(Signal::KILL);
        self.id = None;
        status
    }

    /// Asks the processes to end, and then ends them.
    pub(super) async fn end(&mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_ok() {
            self.signal(Signal::KILL);
            self.id = None;
            return;
        }
        self.signal(Signal::KILL);
        // One that hangs in a device ends when it can; the runtime waits for it then.
        if tokio::time::timeout(GRACE / 2, self.child.wait()).await.is_ok() {
            self.id = None;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // It fails where no process is left.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
