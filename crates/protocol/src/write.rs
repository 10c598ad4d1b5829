//! Writes the JSON of answers.
//!
//! This is not done by serde, because stored task data is put in as it is: a database of the original may
//! hold `NaN`, which Python writes and reads, and which a JSON library would not pass on.

use std::fmt::{Display, Write};

use uuid::Uuid;

use crate::json::JsonText;

/// The room that is made for an answer, in bytes. Most fit in, and are not moved while they grow.
const USUAL_LENGTH: usize = 256;

/// Writes one JSON object, member by member.
#[derive(Debug)]
pub struct ObjectWriter(String);

impl Default for ObjectWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ObjectWriter {
    /// Starts an object.
    #[must_use]
    pub fn new() -> Self {
        let mut text = String::with_capacity(USUAL_LENGTH);
        text.push('{');
        Self(text)
    }

    fn comma(&mut self) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
    }

    fn name(&mut self, name: &'static str) {
        self.comma();
        // Names need no escapes.
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    /// Adds a string.
    pub fn string(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.name(name);
        write_string(&mut self.0, value);
        self
    }

    /// Adds a string, or `null`.
    pub fn optional_string(&mut self, name: &'static str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.string(name, value),
            None => self.text(name, "null"),
        }
    }

    /// Adds an id, in lower case.
    pub fn id(&mut self, name: &'static str, value: Uuid) -> &mut Self {
        self.name(name);
        self.0.push('"');
        self.0.push_str(value.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        self.0.push('"');
        self
    }

    /// Adds an array of ids, in lower case.
    pub fn ids(&mut self, name: &'static str, values: &[Uuid]) -> &mut Self {
        let values: Vec<String> = values.iter().map(|id| format!("\"{id}\"")).collect();
        self.text(name, &format!("[{}]", values.join(",")))
    }

    /// Adds an integer.
    pub fn integer(&mut self, name: &'static str, value: impl Display + Into<i128>) -> &mut Self {
        self.literal(name, value)
    }

    /// Adds an integer under a name that may need escapes.
    pub fn integer_of(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.comma();
        write_string(&mut self.0, name);
        self.0.push(':');
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{value}");
        self
    }

    /// Adds a floating-point number, which must be finite.
    pub fn number(&mut self, name: &'static str, value: f64) -> &mut Self {
        self.literal(name, serde_json::Value::from(value))
    }

    /// Adds `true` or `false`.
    pub fn boolean(&mut self, name: &'static str, value: bool) -> &mut Self {
        self.literal(name, value)
    }

    /// Adds a value that is JSON already.
    pub fn json(&mut self, name: &'static str, value: &JsonText) -> &mut Self {
        self.text(name, value.as_str())
    }

    /// Adds an array.
    pub fn array(&mut self, name: &'static str, value: ArrayWriter) -> &mut Self {
        self.text(name, &value.finish())
    }

    fn text(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.name(name);
        self.0.push_str(value);
        self
    }

    fn literal(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.name(name);
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{value}");
        self
    }

    /// Ends the object and gives its text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Writes one JSON array of objects.
#[derive(Debug)]
pub struct ArrayWriter(String);

impl Default for ArrayWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ArrayWriter {
    /// Starts an array.
    #[must_use]
    pub fn new() -> Self {
        Self(String::from("["))
    }

    /// Adds an object.
    pub fn object(&mut self, value: ObjectWriter) -> &mut Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&value.finish());
        self
    }

    fn finish(mut self) -> String {
        self.0.push(']');
        self.0
    }
}

fn write_string(out: &mut String, text: &str) {
    let plain = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(JsonText::string(text).as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_everything() {
        let mut inner = ObjectWriter::new();
        inner.boolean("on", true);
        let mut array = ArrayWriter::new();
        array.object(inner).object(ObjectWriter::new());
        let mut object = ObjectWriter::new();
        object
            .string("plain", "a b")
            .string("odd", "\"\\\n\u{0}é")
            .optional_string("none", None)
            .id("id", Uuid::nil())
            .integer("n", i64::MIN)
            .number("f", 60.0)
            .json("data", &JsonText::from_stored(r#"{"x": NaN}"#.into()))
            .array("list", array)
            .array("empty", ArrayWriter::new());
        assert_eq!(
            object.finish(),
            concat!(
                r#"{"plain":"a b","odd":"\"\\\n\u0000é","none":null,"#,
                r#""id":"00000000-0000-0000-0000-000000000000","#,
                r#""n":-9223372036854775808,"f":60.0,"data":{"x": NaN},"list":[{"on":true},{}],"empty":[]}"#
            )
        );
    }
}
