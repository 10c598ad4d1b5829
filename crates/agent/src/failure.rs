//! Why a task failed.

use std::error::Error;
use std::fmt;

/// Why a handler could not do what its task asked for, in a sentence: what whoever posted the task is told.
///
/// Any error becomes one, with what caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// Makes a failure of a sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut sentence = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors say what caused them themselves.
            if !sentence.contains(&text) {
                sentence = format!("{sentence}: {text}");
            }
            cause = error.source();
        }
        Self(sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read the answer")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn an_error_is_told_with_its_cause() {
        let cause = "x".parse::<i32>().unwrap_err();
        assert_eq!(
            Failure::from(Outer(cause)).to_string(),
            "could not read the answer: invalid digit found in string"
        );
    }
}
