//! How ids are written on the wire.

use uuid::Uuid;

/// Reads an id: 8-4-4-4-12 hex digits of any case with dashes, and nothing before or after them.
///
/// [`Uuid::parse_str`] alone would also take braces, a `urn:uuid:` prefix and digits without dashes.
#[must_use]
pub fn parse_id(text: &str) -> Option<Uuid> {
    (text.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::try_parse(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_is_one_id() {
        let lower = parse_id("de305d54-75b4-431b-adb2-eb6b9e546013").unwrap();
        assert_eq!(parse_id("DE305D54-75B4-431b-ADB2-EB6B9E546013"), Some(lower));
        assert_eq!(lower.to_string(), "de305d54-75b4-431b-adb2-eb6b9e546013");
    }

    #[test]
    fn nothing_else_is_one() {
        for text in [
            "",
            "de305d54-75b4-431b-adb2-eb6b9e546013\n",
            " de305d54-75b4-431b-adb2-eb6b9e546013",
            "de305d5475b4431badb2eb6b9e546013",
            "{de305d54-75b4-431b-adb2-eb6b9e546013}",
            "urn:uuid:de305d54-75b4-431b-adb2-eb6b9e546013",
            "de305d54-75b4-431b-adb2-eb6b9e54601g",
            "de305d5-475b4-431b-adb2-eb6b9e5460130",
            "de305d54075b4-431b-adb2-eb6b9e546013",
            "de305d54-75b4-431b-adb2-eb6b9e54601",
        ] {
            assert_eq!(parse_id(text), None, "{text:?}");
        }
    }
}
