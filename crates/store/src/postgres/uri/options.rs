//! Reads the `options` of a URI, for poolers that do not take them when a connection begins.

/// Names and values of the settings in `-c name=value`, `-cname=value` and `--name=value`; `None` if there is
/// anything else in it.
pub(in super::super) fn settings(options: &str) -> Option<Vec<(String, String)>> {
    let mut words = words(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("-c"), word.strip_prefix("--")) {
            (Some(""), _) => words.next()?,
            (Some(rest), _) | (None, Some(rest)) => rest.to_owned(),
            (None, None) => return None,
        };
        let (name, value) = setting.split_once('=')?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Some(settings)
}

/// Splits `options` as the server does: at white space that no backslash precedes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character.is_ascii_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_with(String::new);
        if character == '\\' {
            word.extend(characters.next());
        } else {
            word.push(character);
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_in_every_spelling() {
        let found = settings(r" -c a=1 -cb.c=x\ y  --search-path=p,q -c d=e=f\\ -c g=").unwrap_or_default();
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("a", "1"), ("b.c", "x y"), ("search_path", "p,q"), ("d", "e=f\\"), ("g", "")]);
        assert_eq!(settings(""), Some(Vec::new()));
        for other in ["-B 10", "-c", "-c a", "--a", "x=1"] {
            assert_eq!(settings(other), None, "{other}");
        }
    }
}
