//! The levels of Python's logging, by name and number.

use tracing::Level;

const LEVELS: [(&str, u8); 8] = [
    ("NOTSET", 0),
    ("DEBUG", 10),
    ("INFO", 20),
    ("WARNING", 30),
    ("WARN", 30),
    ("ERROR", 40),
    ("CRITICAL", 50),
    ("FATAL", 50),
];

/// Returns the number that `logging.NAME` stands for in Python.
pub(super) fn constant(name: &str) -> Option<u8> {
    LEVELS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// Returns the level of that name, in upper or lower case.
pub(super) fn from_name(name: &str) -> Option<Level> {
    constant(&name.to_ascii_uppercase()).map(|number| from_number(number.into()))
}

/// Returns the level that lets the same lines through as Python's number.
pub(super) fn from_number(number: i128) -> Level {
    match number {
        ..10 => Level::TRACE,
        10..20 => Level::DEBUG,
        20..30 => Level::INFO,
        30..40 => Level::WARN,
        40.. => Level::ERROR,
    }
}
