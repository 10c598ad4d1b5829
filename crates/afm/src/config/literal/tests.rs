//! Compared with Python's `ast.literal_eval` on random sources: both read and refuse the same, and read the same values,
//! but for products, repeated signs, `true`, `false` and `logging.NAME`, which only we read, and sums, complex numbers,
//! tuples without parentheses, `...`, surrogates and `\N{...}`, which only Python reads. Neither the escapes in bytes nor
//! whether the keys of a dict can be hashed are looked at: no key takes such a value.

use super::{Fault, Reader, Value};

fn read(source: &str) -> Result<Value, Fault> {
    let mut reader = Reader::new(source);
    let value = reader.value()?;
    reader.blank();
    if reader.rest.is_empty() { Ok(value) } else { reader.fault("something is left") }
}

#[test]
fn strings_are_what_python_makes_of_them() {
    for (literal, text) in [
        (r#""""#, ""),
        (r#"'a"b'"#, "a\"b"),
        (r#""a'b""#, "a'b"),
        (r#""""a"b""c""""#, "a\"b\"\"c"),
        ("'''a\nb'''", "a\nb"),
        ("''''a'''", "'a"),
        ("'a\\\nb'", "ab"),
        ("u'é'", "é"),
        ("U'a'", "a"),
        (r"r'\n'", r"\n"),
        (r"R'\''", r"\'"),
        ("r'a\\\nb'", "a\\\nb"),
        (r"'\\\'\x22'", "\\'\""),
        (r#"'\"'"#, "\""),
        (r"'\a\b\f\n\r\t\v'", "\x07\x08\x0c\n\r\t\x0b"),
        (r"'\0\101\7777'", "\0A\u{1ff}7"),
        (r"'\18'", "\u{1}8"),
        (r"'\x41\u00e9\U0001F600'", "Aé😀"),
        (r"'\d\%\ '", r"\d\%\ "),
        ("'a#b'", "a#b"),
        ("'a' \"b\" r'\\d'", "ab\\d"),
        ("('a'\n 'b' # c\n)", "ab"),
    ] {
        assert_eq!(read(literal), Ok(Value::Str(text.to_owned())), "{literal}");
    }
}

#[test]
fn numbers_are_what_python_makes_of_them() {
    for (literal, number) in [
        ("0", 0),
        ("00", 0),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0X_ff", 255),
        ("0o17", 15),
        ("0b1_01", 5),
        ("-5", -5),
        ("- -5", 5),
        ("+5", 5),
        ("60 * 5", 300),
        ("24*60 * 60", 86400),
        ("2 * -3", -6),
        ("(60 * (5))", 300),
        ("60 * \\\n 5", 300),
        ("(60 * # a minute\n 5)", 300),
        ("logging.NOTSET", 0),
        ("logging.WARN", 30),
    ] {
        assert_eq!(read(literal), Ok(Value::Int(number)), "{literal}");
    }
    for (literal, number) in [
        ("1.", 1.0),
        (".5", 0.5),
        ("00.5", 0.5),
        ("1e3", 1000.0),
        ("1.e3", 1000.0),
        ("1E+3", 1000.0),
        ("5e-1", 0.5),
        ("1_0.2_5", 10.25),
        ("-.5", -0.5),
        ("1e400", f64::INFINITY),
        ("60 * 1.5", 90.0),
        ("1.5 * 60", 90.0),
        ("0.5 * 0.5", 0.25),
    ] {
        assert_eq!(read(literal), Ok(Value::Float(number)), "{literal}");
    }
}

#[test]
fn other_values_are_known_by_kind() {
    for (literal, value) in [
        ("None", Value::None),
        ("True", Value::Bool(true)),
        ("False", Value::Bool(false)),
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("()", Value::Other("a tuple")),
        ("(1,)", Value::Other("a tuple")),
        ("(1, 'a')", Value::Other("a tuple")),
        ("[]", Value::Other("a list")),
        ("[1, [2], (3), {'a': None},]", Value::Other("a list")),
        ("[ # ]\n ']',\n 1\n]", Value::Other("a list")),
        ("{}", Value::Other("a dict")),
        ("{'a': 1, 'b': {2}}", Value::Other("a dict")),
        ("{1, 2,}", Value::Other("a set")),
        (r"b'\xff'", Value::Other("bytes")),
        (r"Rb'a' BR'''b'''", Value::Other("bytes")),
    ] {
        assert_eq!(read(literal), Ok(value), "{literal}");
    }
}

#[test]
fn what_python_or_this_reader_does_not_take() {
    const NUMBER: &str = "this is not a number Python reads, or it is too large";
    const LITERAL: &str = "expected a literal: a number, a quoted string, True, False or None";
    const UNCLOSED: &str = "a string is never closed";
    let deep = "[".repeat(100_000);
    for (source, line, reason) in [
        ("", 1, LITERAL),
        ("os.environ", 1, LITERAL),
        ("logging.LOUD", 1, LITERAL),
        ("TRUE", 1, LITERAL),
        ("f'a'", 1, LITERAL),
        ("007", 1, NUMBER),
        ("0_7", 1, NUMBER),
        ("1__0", 1, NUMBER),
        ("1_", 1, NUMBER),
        ("1_.5", 1, NUMBER),
        ("1._5", 1, NUMBER),
        ("1e", 1, NUMBER),
        ("1.2.3", 1, NUMBER),
        ("0x", 1, NUMBER),
        ("0b2", 1, NUMBER),
        ("1j", 1, NUMBER),
        ("5s", 1, NUMBER),
        (".", 1, NUMBER),
        ("999999999999999999999999999999999999999999", 1, NUMBER),
        ("99999999999999999999999999 * 99999999999999999999999999", 1, "the product is too large"),
        ("'a' * 3", 1, "only numbers can be multiplied"),
        ("True * 3", 1, "only numbers can be multiplied"),
        ("-'a'", 1, "only a number can have a sign"),
        ("2 ** 3", 1, LITERAL),
        ("2 *", 1, LITERAL),
        ("1 + 1", 1, "something is left"),
        ("'a", 1, UNCLOSED),
        ("'a\n'", 1, UNCLOSED),
        ("'''a\n\n", 1, UNCLOSED),
        ("'\\", 1, UNCLOSED),
        (r"r'\'", 1, UNCLOSED),
        (r"'\x4'", 1, "an escape in a string names no character"),
        (r"'\xé'", 1, "an escape in a string names no character"),
        (r"'\ud800'", 1, "an escape in a string names no character"),
        (r"'\N{DASH}'", 1, "\\N{...} is not supported: write the character itself"),
        ("b'é'", 1, "bytes can only hold ASCII characters"),
        ("'a' b'b'", 1, "bytes and text cannot be joined"),
        ("[1,\n2", 1, "a bracket is never closed"),
        ("[1,\n2\n3]", 3, "expected a comma or a closing bracket"),
        ("[1,\n,]", 2, LITERAL),
        ("(,)", 1, LITERAL),
        ("{1: 2, 3}", 1, "neither a dict nor a set"),
        (&deep, 1, "brackets are nested too deeply"),
    ] {
        assert_eq!(read(source), Err(Fault { line, reason }), "{source}");
    }
}
