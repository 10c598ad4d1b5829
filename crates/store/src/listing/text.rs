//! Searches errors for a text.

use slamon_protocol::JsonText;

/// The text that errors are searched for.
#[derive(Debug, Clone)]
pub(crate) struct Searched(String);

impl Searched {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// Whether an error, a JSON string, says the text, whatever the case of the letters. It is searched as it
    /// reads, not as it is written: the string may have escapes.
    pub(crate) fn is_in(&self, error: &str) -> bool {
        match JsonText::decode_string(error) {
            Some(said) => said.to_lowercase().contains(&self.0),
            // It has half a surrogate pair.
            None => error.to_lowercase().contains(&self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_searched_as_they_read() {
        let error = r#""No \"route\" to 100%_\u0000\u00c9\\ ÄRGER""#;
        for text in ["no", "\"ROUTE\"", "100%_", "\0", "é", "É", "\\ ä", "ärger", ""] {
            assert!(Searched::new(text).is_in(error), "{text:?}");
        }
        for text in ["u00c9", "%%", "no route", "_%", "\\\""] {
            assert!(!Searched::new(text).is_in(error), "{text:?}");
        }
        assert!(Searched::new("HALF").is_in(r#""half \ud800""#));
    }
}
