//! Reads columns of SQLite's rows as values.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::{FromSql, Type, ValueRef};
use rusqlite::{Error, Row};
use slamon_protocol::JsonText;
use uuid::Uuid;

/// A column: what an agent is called, or was when it was forgotten; null where there is none.
macro_rules! named_agent {
    ($table:literal) => {
        concat!(
            "iif(agent_id is null, null, coalesce((select name from agent where agent.id = ",
            $table,
            ".agent_id), (select name from past_agent where past_agent.id = ",
            $table,
            ".agent_id), ''))"
        )
    };
}

/// The column `agent_name`: what an agent is called, or was when it was forgotten; null where there is none.
macro_rules! agent_name {
    ($table:literal) => {
        concat!($crate::sqlite::columns::named_agent!($table), " as agent_name")
    };
}

pub(super) use {agent_name, named_agent};

/// Reads a row from left to right: finding each column by its name would take longer than all the rest.
pub(super) struct RowReader<'r, 's> {
    row: &'r Row<'s>,
    at: usize,
}

impl<'r, 's> RowReader<'r, 's> {
    pub(super) fn new(row: &'r Row<'s>) -> Self {
        Self { row, at: 0 }
    }

    pub(super) fn next<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.at += 1;
        self.row.get(self.at - 1)
    }

    /// Reads a value where it lies.
    pub(super) fn next_ref(&mut self) -> rusqlite::Result<ValueRef<'r>> {
        self.at += 1;
        self.row.get_ref(self.at - 1)
    }

    pub(super) fn id(&mut self) -> rusqlite::Result<Uuid> {
        self.next().map(Uuid::from_bytes)
    }

    pub(super) fn optional_id(&mut self) -> rusqlite::Result<Option<Uuid>> {
        Ok(self.next::<Option<[u8; 16]>>()?.map(Uuid::from_bytes))
    }

    pub(super) fn text(&mut self) -> rusqlite::Result<Option<JsonText>> {
        Ok(self.next::<Option<String>>()?.map(JsonText::from_stored))
    }

    pub(super) fn optional_time(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        let time = self.next::<Option<i64>>()?.map(Timestamp::from_microsecond).transpose();
        time.map_err(|e| unreadable(format!("column {}: {e}", self.at)))
    }

    pub(super) fn optional_duration(&mut self) -> rusqlite::Result<Option<Duration>> {
        Ok(self.next::<Option<u64>>()?.map(Duration::from_micros))
    }
}

/// Reads an id.
pub(super) fn id(row: &Row<'_>, column: &str) -> rusqlite::Result<Uuid> {
    Ok(Uuid::from_bytes(row.get(column)?))
}

/// Reads a JSON text, which may be null.
pub(super) fn text(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<JsonText>> {
    Ok(row.get::<_, Option<String>>(column)?.map(JsonText::from_stored))
}

/// Reads a time.
pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(row.get(column)?).map_err(|e| unreadable(format!("{column}: {e}")))
}

/// Reads a time, which may be null.
pub(super) fn optional_time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|_| time(row, column)).transpose()
}

/// The error of a column that must not be null.
pub(super) fn missing(column: &str) -> Error {
    unreadable(format!("{column} is null"))
}

/// The error of a row that no version of this program has written.
pub(super) fn unreadable(what: String) -> Error {
    Error::FromSqlConversionFailure(0, Type::Text, what.into())
}
