//! Reads a stream of events.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::test_app::{Client, Connection, PATIENCE};

/// A stream of events, as a browser reads it.
pub(crate) struct EventStream {
    connection: Connection,
    text: String,
    /// The id of the last event.
    pub(crate) last_id: String,
}

impl EventStream {
    /// Opens a stream with this query, and the id of the event that was read last.
    #[track_caller]
    pub(crate) fn open(client: &Client, query: &str, last_id: Option<&str>) -> Self {
        let mut connection = client.connect();
        let last = last_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        connection.write(format!("GET /api/v1/events{query} HTTP/1.1\r\nhost: afm\r\n{last}\r\n"));
        let answer = connection.answer_in_chunks();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
        let mut stream = Self { connection, text: String::new(), last_id: String::new() };
        assert_eq!(stream.block(), None, "it begins with an id and no event");
        assert!(!stream.last_id.is_empty());
        stream
    }

    /// Reads the next event: its name and its data.
    #[track_caller]
    pub(crate) fn next(&mut self) -> (String, Value) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(event) = self.block() {
                return event;
            }
            // Comments come for ever.
            assert!(Instant::now() < deadline, "no event comes");
        }
    }

    /// Reads the next event of a task: its id, and the states before and after.
    #[track_caller]
    pub(crate) fn change(&mut self) -> (String, String) {
        let (name, data) = self.next();
        assert_eq!(name, "task", "{data}");
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        (text("task_id"), format!("{}>{}", text("from"), text("to")))
    }

    /// Reads what has come, until a change of a task has or nothing more comes. Returns whether one has.
    pub(crate) fn has_come_to_a_change(&mut self) -> bool {
        loop {
            while self.text.contains("\n\n") {
                if self.block().is_some_and(|(name, _)| name == "task") {
                    return true;
                }
            }
            if self.connection.is_silent_for(Duration::from_millis(100)) {
                return false;
            }
            self.text += &self.connection.chunk().expect("the stream goes on");
        }
    }

    /// Closes the side of the client, and waits until the server closes the other one.
    #[track_caller]
    pub(crate) fn close_and_wait(&mut self) {
        self.connection.finish_writing();
        // A comment would come after 15 s.
        assert!(!self.connection.is_silent_for(Duration::from_secs(10)), "the stream goes on");
        self.connection.wait_until_closed();
    }

    /// Waits until the server ends the stream.
    #[track_caller]
    pub(crate) fn wait_until_ended(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.connection.chunk().is_some() {
            assert!(Instant::now() < deadline, "the stream goes on");
        }
    }

    /// Reads what stands before the next empty line.
    #[track_caller]
    fn block(&mut self) -> Option<(String, Value)> {
        while !self.text.contains("\n\n") {
            self.text += &self.connection.chunk().expect("the stream goes on");
        }
        let (block, rest) = self.text.split_once("\n\n").expect("it is there");
        let (block, rest) = (block.to_owned(), rest.to_owned());
        self.text = rest;
        let field = |name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
        };
        if let Some(id) = field("id") {
            self.last_id = id;
        }
        let data = field("data")?;
        Some((field("event").expect("it has a name"), serde_json::from_str(&data).expect("JSON")))
    }
}
