//! What changes, as it happens.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::ClientError;

/// Streams of changes, which go on where they were after a connection was lost.
#[derive(Debug)]
pub struct Events {
    client: Client,
    filter: Vec<(String, String)>,
    response: Option<reqwest::Response>,
    last_id: Option<String>,
    read: Vec<u8>,
    events: VecDeque<Event>,
    backoff: Backoff,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A task has changed its state, as docs/api.md says.
    Changed(Value),
    /// More has happened than could be told: whoever keeps a list reads it anew.
    Missed,
}

impl Client {
    /// Opens a stream of what changes from now on. `filter` has names and values as docs/api.md says: `task_id`,
    /// `test_id`, `task_type`, `agent_id`.
    #[must_use]
    pub fn events(&self, filter: &[(&str, String)]) -> Events {
        Events {
            client: self.clone(),
            filter: filter.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            response: None,
            last_id: None,
            read: Vec::new(),
            events: VecDeque::new(),
            backoff: Backoff::new(Duration::from_secs(20)),
        }
    }
}

impl Events {
    /// Waits for the next event. A connection that is lost is opened anew.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where a filter is wrong.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            match self.read_on().await {
                Ok(()) => self.backoff.reset(),
                Err(problem) if problem.is_passing() => {
                    self.response = None;
                    self.read.clear();
                    tokio::time::sleep(self.backoff.wait(problem.retry_after())).await;
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    async fn read_on(&mut self) -> Result<(), ClientError> {
        let response = match &mut self.response {
            Some(response) => response,
            none => {
                let filter: Vec<(&str, String)> =
                    self.filter.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                let headers = self.last_id.iter().map(|id| ("last-event-id", id.clone())).collect::<Vec<_>>();
                none.insert(self.client.open(&["api", "v1", "events"], &filter, &headers).await?)
            }
        };
        let Some(part) = response.chunk().await? else {
            return Err(ClientError::Unreachable("the stream of events has ended".to_owned()));
        };
        self.read.extend_from_slice(&part);
        // An event ends with an empty line.
        while let Some(end) = self.read.windows(2).position(|pair| pair == b"\n\n") {
            let rest = self.read.split_off(end + 2);
            let text = String::from_utf8_lossy(&std::mem::replace(&mut self.read, rest)).into_owned();
            self.take(&text);
        }
        Ok(())
    }

    fn take(&mut self, text: &str) {
        let (mut name, mut data) = ("message", None);
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.last_id = Some(value.to_owned()),
                "event" => name = value,
                "data" => data = serde_json::from_str(value).ok(),
                _ => {}
            }
        }
        match (name, data) {
            ("missed", _) => self.events.push_back(Event::Missed),
            (_, Some(data)) => self.events.push_back(Event::Changed(data)),
            _ => {}
        }
    }
}
