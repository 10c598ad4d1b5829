//! libpq's password file.

use std::path::{Path, PathBuf};

use super::keywords::Keywords;

/// The lines of a password file. There is no `Debug`, since they are secrets.
pub(super) struct Passwords(String);

impl Passwords {
    /// Reads `passfile`, or else `~/.pgpass`, if there is one that only its owner can read.
    pub(super) fn read(keywords: &Keywords, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let home = || environment("HOME").map(|home| Path::new(&home).join(".pgpass"));
        let path = keywords.get("passfile").map(PathBuf::from).or_else(home);
        Self(path.and_then(|path| read_private(&path)).unwrap_or_default())
    }

    /// Finds the password of the first line that fits.
    pub(super) fn find(&self, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
        let host = if host == "/var/run/postgresql" { "localhost" } else { host };
        let port = port.to_string();
        self.0.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let fields = split(line);
            let [line_host, line_port, line_database, line_user, password] = fields.as_slice() else {
                return None;
            };
            let fits = |(pattern, value): (&String, &str)| pattern == "*" || pattern == value;
            [(line_host, host), (line_port, &*port), (line_database, database), (line_user, user)]
                .into_iter()
                .all(fits)
                .then(|| password.clone())
        })
    }
}

fn read_private(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            "ignoring the password file: others than its owner can read it (chmod 600)"
        );
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// Splits a line at colons; `\:` and `\\` stand for themselves.
fn split(line: &str) -> Vec<String> {
    let mut fields = Vec::with_capacity(5);
    let mut field = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            // The password comes last, and may hold colons.
            ':' if fields.len() < 4 => fields.push(std::mem::take(&mut field)),
            '\\' => field.push(characters.next().unwrap_or('\\')),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits() {
        let text = "# host:5432:*:u:no\n\
                    host:5432:db:other:no\n\
                    host:5433:*:u:by port\n\
                    localhost:*:*:u:socket\n\
                    *:*:d\\:b:u:a\\:b\\\\:c\n\
                    not a line\n";
        let passwords = Passwords(text.to_owned());
        assert_eq!(passwords.find("host", 5433, "db", "u").as_deref(), Some("by port"));
        assert_eq!(passwords.find("/var/run/postgresql", 5432, "db", "u").as_deref(), Some("socket"));
        assert_eq!(passwords.find("x", 1, "d:b", "u").as_deref(), Some("a:b\\:c"));
        assert_eq!(passwords.find("host", 5432, "db", "u"), None);
    }
}
