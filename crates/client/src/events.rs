//! What changes, as it happens.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::ClientError;

/// An AFM sends something every 15 s, if only a comment. A connection that says nothing for so long is lost.
const SILENT: Duration = Duration::from_secs(45);
/// An event has at most so many bytes.
const LARGEST: usize = 16 << 20;

/// Which changes a stream has: those for which all of it holds.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this task.
    pub task_id: Option<Uuid>,
    /// Of tasks of this test.
    pub test_id: Option<Uuid>,
    /// Of tasks of this type.
    pub task_type: Option<String>,
    /// By which this agent begins or ends an attempt.
    pub agent_id: Option<Uuid>,
    /// Not each change, but how many there were, at most once in so many seconds: 1 to 3,600.
    pub every: Option<u16>,
}

/// Streams of changes, which go on where they were after a connection was lost.
#[derive(Debug)]
pub struct Events {
    client: Client,
    query: Vec<(&'static str, String)>,
    response: Option<reqwest::Response>,
    last_id: Option<String>,
    read: Vec<u8>,
    /// So much of what was read has no end of an event.
    looked: usize,
    events: VecDeque<(Event, Option<String>)>,
    backoff: Backoff,
    given: Option<String>,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A task has changed its state.
    Changed(TaskChanged),
    /// So many tasks have changed their states since the last event; `None`: some were missed. Only with
    /// [`EventFilter::every`].
    Changes(Option<u64>),
    /// So many changes could not be told, or nobody knows how many: whoever keeps a list reads it anew.
    Missed(Option<u64>),
}

/// A change of the state of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskChanged {
    /// The task.
    pub task_id: Uuid,
    /// What it belongs to.
    pub test_id: Uuid,
    /// Its type.
    pub task_type: String,
    /// In which version.
    pub task_version: i64,
    /// The state before; `None`: it was posted.
    pub from: Option<String>,
    /// The state after: delayed, pending, claimed, completed, failed, lost, timed_out, expired or cancelled.
    pub to: String,
    /// How an attempt ended that has not ended the task.
    pub attempt_ended: Option<String>,
    /// When it happened.
    pub at: String,
    /// The agent that executes the task, or did until now.
    pub agent_id: Option<Uuid>,
}

impl EventFilter {
    fn query(&self) -> Vec<(&'static str, String)> {
        [
            ("task_id", self.task_id.map(|id| id.to_string())),
            ("test_id", self.test_id.map(|id| id.to_string())),
            ("task_type", self.task_type.clone()),
            ("agent_id", self.agent_id.map(|id| id.to_string())),
            ("every", self.every.map(|seconds| seconds.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

impl Client {
    /// Opens a stream of what changes: from now on, or behind the event whose id `last_id` is.
    #[must_use]
    pub fn events(&self, filter: &EventFilter, last_id: Option<&str>) -> Events {
        let last_id = last_id.map(str::to_owned);
        Events {
            client: self.clone(),
            query: filter.query(),
            response: None,
            given: last_id.clone(),
            last_id,
            read: Vec::new(),
            looked: 0,
            events: VecDeque::new(),
            backoff: Client::backoff(),
        }
    }
}

impl Events {
    /// Waits for the next event. A connection that is lost is opened anew. What was read is not lost where this is
    /// dropped before it is done.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where a filter is wrong, [`ClientError::TooLarge`] for an event of more than 16 MiB.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some((event, id)) = self.events.pop_front() {
                self.given = id;
                return Ok(event);
            }
            match self.read_on().await {
                Ok(()) => self.backoff.reset(),
                Err(problem) if problem.is_passing() => {
                    self.hang_up();
                    tokio::time::sleep(self.backoff.wait(problem.retry_after())).await;
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    /// The id of the event that [`Events::next`] gave last, from which another stream can go on.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.given.as_deref()
    }

    async fn read_on(&mut self) -> Result<(), ClientError> {
        let lost = |what: &str| ClientError::Unreachable(format!("the stream of events {what}"));
        let response = match &mut self.response {
            Some(response) => response,
            none => {
                let headers: Vec<_> = self.last_id.iter().map(|id| ("last-event-id", id.as_str())).collect();
                none.insert(self.client.open(&["api", "v1", "events"], &self.query, &headers).await?)
            }
        };
        let part = tokio::time::timeout(SILENT, response.chunk()).await.map_err(|_| lost("is silent"))?;
        let part = part.map_err(|error| self.client.no_answer(error))?;
        self.read.extend_from_slice(&part.ok_or_else(|| lost("has ended"))?);
        // An event ends with an empty line.
        while let Some(end) = self.read[self.looked..].windows(2).position(|pair| pair == b"\n\n") {
            let rest = self.read.split_off(self.looked + end + 2);
            let text = String::from_utf8_lossy(&std::mem::replace(&mut self.read, rest)).into_owned();
            self.looked = 0;
            self.take(&text)?;
        }
        // The last byte may be the first of the two.
        self.looked = self.read.len().saturating_sub(1);
        if self.read.len() > LARGEST {
            self.hang_up();
            return Err(ClientError::TooLarge(LARGEST));
        }
        Ok(())
    }

    /// Ends the connection, and forgets the beginning of an event.
    fn hang_up(&mut self) {
        (self.response, self.read, self.looked) = (None, Vec::new(), 0);
    }

    fn take(&mut self, text: &str) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        struct Missed {
            missed: Option<u64>,
        }
        #[derive(Deserialize)]
        struct Changes {
            changes: Option<u64>,
        }
        let (mut name, mut data) = ("message", "");
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.last_id = Some(value.to_owned()),
                "event" => name = value,
                "data" => data = value,
                _ => {}
            }
        }
        let event = match name {
            "task" => serde_json::from_str(data).map(Event::Changed),
            "changes" => serde_json::from_str(data).map(|Changes { changes }| Event::Changes(changes)),
            "missed" => serde_json::from_str(data).map(|Missed { missed }| Event::Missed(missed)),
            // The event of a later AFM.
            _ => return Ok(()),
        };
        let event = event.map_err(|error| ClientError::Unreadable(error.to_string()))?;
        self.events.push_back((event, self.last_id.clone()));
        Ok(())
    }
}
