//! How the Python agent writes values, and reads numbers: its errors are told in its words.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// `repr()` of a text.
pub(super) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut written = String::with_capacity(text.len() + 2);
    written.push(quote);
    for letter in text.chars() {
        match letter {
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            letter if letter == quote => written.extend(['\\', quote]),
            letter if is_printable(letter) => written.push(letter),
            letter => written.push_str(&match letter as u32 {
                code @ ..=0xff => format!("\\x{code:02x}"),
                code @ ..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
        }
    }
    written.push(quote);
    written
}

fn is_printable(letter: char) -> bool {
    let is_format = matches!(
        letter,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}'
    );
    !letter.is_control() && !is_format && (letter == ' ' || !letter.is_whitespace())
}

/// `str()` of a value.
pub(super) fn str_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => repr_of(value),
    }
}

fn repr_of(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) => float_repr(number),
            None => number.to_string(),
        },
        Value::String(text) => repr(text),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(repr_of).collect::<Vec<_>>().join(", "))
        }
        Value::Object(values) => {
            let members = values.iter().map(|(name, value)| format!("{}: {}", repr(name), repr_of(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn float_repr(number: f64) -> String {
    let text = format!("{number:?}");
    match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
    }
}

/// What Python calls the type of a value.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// `float()` of a text.
pub(super) fn float(text: &str) -> Option<f64> {
    // Digits and spaces of all alphabets count.
    let text = text.chars().map(|letter| match letter {
        letter if letter.is_ascii() => Some(letter),
        letter if letter.is_whitespace() => Some(' '),
        letter => digit(letter),
    });
    let text: String = text.collect::<Option<_>>()?;
    let text = text.trim_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_named = ["inf", "infinity", "nan"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
    if is_named {
        return text.parse().ok();
    }
    let bytes = unsigned.as_bytes();
    // An underscore stands between two digits.
    let is_digit =
        |index: Option<usize>| index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_digit);
    let fits = bytes.iter().enumerate().all(|(index, byte)| match byte {
        b'_' => is_digit(index.checked_sub(1)) && is_digit(Some(index + 1)),
        byte => byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'),
    });
    if fits { text.replace('_', "").parse().ok() } else { None }
}

/// The ASCII digit with the value of a digit of another alphabet.
fn digit(letter: char) -> Option<char> {
    static DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Nd}$").ok());
    let is_digit = |code: u32| {
        let letter = char::from_u32(code)?;
        DIGIT.as_ref()?.is_match(letter.encode_utf8(&mut [0; 4])).then_some(code)
    };
    // In each alphabet the ten follow each other, from 0 on.
    let before = (1..).take_while(|back| is_digit(letter as u32 - back).is_some()).count() as u32;
    is_digit(letter as u32).and_then(|_| char::from_digit(before % 10, 10))
}

/// What `str.strip()` takes away.
pub(super) fn is_space(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\u{1c}'..='\u{1f}')
}

/// `str.encode("latin1")`.
pub(super) fn latin_1(text: &str) -> Result<Vec<u8>, String> {
    let letters: Vec<char> = text.chars().collect();
    let is_beyond = |letter: &char| u32::from(*letter) > 0xff;
    let Some(begin) = letters.iter().position(is_beyond) else {
        return Ok(letters.into_iter().map(|letter| letter as u8).collect());
    };
    let length = letters[begin..].iter().take_while(|letter| is_beyond(letter)).count();
    let what = match u32::from(letters[begin]) {
        _ if length > 1 => format!("characters in position {begin}-{}", begin + length - 1),
        code @ ..=0xffff => format!("character '\\u{code:04x}' in position {begin}"),
        code => format!("character '\\U{code:08x}' in position {begin}"),
    };
    Err(format!("'latin-1' codec can't encode {what}: ordinal not in range(256)"))
}

/// `bytes.decode("utf-8")`.
pub(super) fn utf_8(bytes: &[u8]) -> Result<String, String> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text.to_owned()),
        Err(error) => error,
    };
    let begin = error.valid_up_to();
    let length = error.error_len().unwrap_or(bytes.len() - begin);
    let why = match bytes[begin] {
        _ if error.error_len().is_none() => "unexpected end of data",
        0xc2..=0xf4 => "invalid continuation byte",
        _ => "invalid start byte",
    };
    let what = match length {
        1 => format!("byte 0x{:02x} in position {begin}", bytes[begin]),
        length => format!("bytes in position {begin}-{}", begin + length - 1),
    };
    Err(format!("'utf-8' codec can't decode {what}: {why}"))
}

/// The strings of the system's errors, as Python shows an `OSError`: `[Errno 111] Connection refused`.
pub(super) fn os_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text);
    match error.raw_os_error() {
        Some(number) => format!("[Errno {number}] {text}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_written_as_python_does() {
        assert_eq!(repr("it's"), r#""it's""#);
        assert_eq!(repr("it's \"x\"\n\u{0}é\u{2003}😀"), r#"'it\'s "x"\n\x00é\u2003😀'"#);
        let value = json!([null, true, 1, 1.5, 1e20, 1e-7, "a", {"b": false}]);
        assert_eq!(str_of(&value), "[None, True, 1, 1.5, 1e+20, 1e-07, 'a', {'b': False}]");
    }

    #[test]
    fn numbers_are_read_as_python_does() {
        for (text, number) in [
            ("0.5", 0.5),
            (" 1_0.0e-1\n", 1.0),
            ("+1", 1.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e400", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("\u{a0}1\u{2003}", 1.0),
            ("\u{661}\u{ff12}.\u{1d7fb}e\u{966}", 12.5),
        ] {
            assert_eq!(float(text), Some(number), "{text:?}");
        }
        for text in [
            "", "x", ".", "1__0", "_1", "1_", "1_.0", "0x1", "1.5f", "1 2", "--1", "e5", "1e", "1\u{1f}", "½",
        ] {
            assert_eq!(float(text), None, "{text:?}");
        }
    }
}
