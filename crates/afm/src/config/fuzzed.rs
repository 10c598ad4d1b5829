//! Checks what must hold of every configuration file and every database URI. Fuzz targets call these
//! functions; tests call them with what fuzzing has found.

use std::path::Path;

use super::database_uri::DatabaseUri;
use super::layers::Layers;

/// The value of all environment variables, which no message may show.
const SECRET: &str = "s3cret of the environment";

/// Reads a configuration file with an environment of secrets, and checks that no message shows one.
pub fn file(bytes: &[u8]) {
    // A file that contains the text itself may be shown.
    if bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
        return;
    }
    let environment = |name: &str| (name.len() < 10).then(|| SECRET.to_owned());
    let mut layers = Layers::default();
    let read = layers.bytes(bytes, Path::new("/etc/afm.cfg"), &environment).and_then(|()| layers.check());
    let warnings = layers.loaded.warnings.iter().cloned();
    for message in warnings.chain(read.err().map(|error| error.to_string())) {
        assert!(!message.contains(SECRET), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

/// Shows database URIs whose password is the input, and checks that it is hidden.
pub fn database_uri(password: &[u8]) {
    let Ok(password) = str::from_utf8(password) else { return };
    for (before, after) in [
        ("postgresql://user:", "@host/db"),
        ("postgresql://host/db?password=", ""),
        ("postgresql://user:", ""),
    ] {
        let uri = DatabaseUri::new(format!("{before}{password}{after}"));
        // The password ends at the first & of a query. Without an @, it is read as a port if it is digits.
        let port = password.split(['/', '?', ',']).next().unwrap_or_default();
        let is_none = match after {
            "" if before.ends_with('=') => password.starts_with('&'),
            "" => password.contains('@') || port.bytes().all(|c| c.is_ascii_digit()),
            _ => false,
        };
        // A short password may also be part of what is always shown, or of the text that stands for what is
        // hidden.
        let is_shown = password.len() < 4
            || password.contains('*')
            || format!("{before}***{after} postgresql://***").contains(password);
        let shown = uri.to_string();
        assert!(is_none || is_shown || !shown.contains(password), "{shown}");
    }
}

#[cfg(test)]
mod tests {
    use slamon_testbed::replay_corpus;

    #[test]
    fn configuration_files_of_the_corpus() {
        replay_corpus("configuration", super::file);
    }

    #[test]
    fn passwords_of_the_corpus() {
        replay_corpus("database_uri", super::database_uri);
    }
}
