mod bounds;
mod kinds;
mod readings;
mod searches;

use slamon_protocol::AgentFilter;

use super::*;

fn poll(agent: u128, max_tasks: u32) -> PollRequest {
    PollRequest {
        agent_id: Uuid::from_u128(agent),
        agent_name: format!("agent {agent}"),
        agent_capabilities: [1, 2].map(wait).to_vec(),
        max_tasks,
        agent_location: None,
        max_wait: Duration::ZERO,
        agent_running: None,
    }
}

fn wait(version: i64) -> Capability {
    Capability { task_type: "wait".to_owned(), version }
}

fn any(version: i64) -> WaitingKind {
    WaitingKind { capability: wait(version), agent_filter: AgentFilter::default() }
}

fn named(agent: u128) -> WaitingKind {
    let agent_filter = AgentFilter { agent_name: Some(format!("agent {agent}")), ..AgentFilter::default() };
    WaitingKind { agent_filter, ..any(1) }
}

fn at(seq: i64) -> QueueCursor {
    QueueCursor::at(0, seq)
}

fn all(kinds: Vec<KindCursor>) -> Backlog {
    Backlog { kinds, is_complete: true, ..Backlog::default() }
}

/// The kinds that are read again.
#[track_caller]
fn read_again(scope: &ReadScope) -> &[KindCursor] {
    let ReadScope::Of(kinds) = scope else { panic!("{scope:?}") };
    kinds
}

/// A part of what waits, up to the last of these kinds.
fn part(kinds: Vec<KindCursor>) -> Backlog {
    let next = kinds.last().map(|last| last.kind.clone());
    Backlog { next, ..all(kinds) }
}

impl WaitingIndex {
    fn has_something_for(&self, poll: &PollRequest) -> bool {
        self.kinds_for(poll).is_none_or(|kinds| !kinds.is_empty())
    }

    fn add(&mut self, kind: &WaitingKind) {
        self.note(&kind.clone().into());
    }

    fn note_at(&mut self, kind: &WaitingKind, cursor: QueueCursor) {
        self.note(&KindCursor { kind: kind.clone(), cursor });
    }

    fn found(&mut self, kind: &WaitingKind, first: Option<QueueCursor>) {
        let search = self.begin();
        self.end_search(search, [(kind, first)]);
    }

    /// Where a batch looks for tasks of a kind.
    fn start(&mut self, kind: &WaitingKind) -> QueueCursor {
        let mut batch = [Command::Claim { poll: poll(1, 1), kinds: vec![kind.clone().into()] }];
        let search = self.begin_search(&mut batch);
        self.give_up(search.unwrap());
        let [Command::Claim { kinds, .. }] = &batch else { panic!("{batch:?}") };
        kinds[0].cursor
    }

    fn read(&mut self, backlog: &Backlog) {
        let epoch = self.now();
        self.read_next_at = None;
        let (search, scope) = self.begin_reading();
        self.end_reading(search, epoch, Duration::ZERO, &scope, backlog);
    }
}

/// One that was read when nothing waited.
fn complete() -> WaitingIndex {
    let mut index = WaitingIndex::default();
    index.read(&all(Vec::new()));
    index
}

/// One that hears what others do, too.
fn hearing() -> WaitingIndex {
    let mut index = WaitingIndex::default();
    drop(index.listening_began());
    index.read(&all(Vec::new()));
    index
}
