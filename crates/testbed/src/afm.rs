//! Our own server, as a process.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::process::Process;

/// Far beyond what any machine needs; reached only when the server hangs.
const START: Duration = Duration::from_secs(60);

/// `slamon-afm`, running. It dies with this value; its log is at hand through [`Process`].
#[derive(Debug)]
pub struct AfmProcess {
    process: Process,
    address: SocketAddr,
    _config: Option<NamedTempFile>,
}

impl AfmProcess {
    /// Runs `binary ARGS [--config FILE] run 127.0.0.1 0`, FILE holding `config`, and waits for the line of its log that
    /// names the address: `listening addr=127.0.0.1:PORT`.
    ///
    /// # Panics
    ///
    /// When that line does not come; with everything it printed.
    #[track_caller]
    #[must_use]
    pub fn start(binary: &Path, args: &[&str], env: &[(&str, &str)], config: Option<&str>) -> Self {
        Self::start_at(0, binary, args, env, config)
    }

    /// [`AfmProcess::start`] on a port that is known before, so that a server can come back where its agents look for it;
    /// [`crate::free_port`] has one.
    ///
    /// # Panics
    ///
    /// When it does not come to listen there; with everything it printed.
    #[track_caller]
    #[must_use]
    pub fn start_at(
        port: u16,
        binary: &Path,
        args: &[&str],
        env: &[(&str, &str)],
        config: Option<&str>,
    ) -> Self {
        let config = config.map(|text| {
            let mut file = NamedTempFile::new().expect("a temporary file");
            file.write_all(text.as_bytes()).expect("the configuration is written");
            file
        });
        let mut words = args.iter().map(Into::into).collect::<Vec<std::ffi::OsString>>();
        if let Some(file) = &config {
            words.extend(["--config".into(), file.path().into()]);
        }
        words.extend(["run".into(), "127.0.0.1".into(), port.to_string().into()]);
        let process = Process::start(binary, &words, env).expect("sh runs");
        match process.find_line(START, listening) {
            Ok(address) => Self { process, address, _config: config },
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its root, without a slash at the end: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Deref for AfmProcess {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// The address in `… listening addr=IP:PORT …`, or in the same as JSON.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("addr").filter(|_| line.contains("listening"))?;
    let in_address = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']');
    rest.split(|c| !in_address(c)).find_map(|word| word.trim_start_matches(':').parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a shell script that does with its arguments what the server would, as far as this module can tell.
    fn stand_in(script: &str) -> (&'static Path, [&str; 3]) {
        ("/bin/sh".as_ref(), ["-c", script, "stand-in"])
    }

    #[test]
    fn the_address_is_found_in_text_and_in_json() {
        let address = "127.0.0.1:4711".parse().ok();
        assert_eq!(
            listening("2026-11-22T19:23:01Z  INFO slamon_afm: listening addr=127.0.0.1:4711"),
            address
        );
        assert_eq!(listening("INFO listening addr=127.0.0.1:4711 workers=2"), address);
        assert_eq!(listening(r#"{"message":"listening","addr":"127.0.0.1:4711"}"#), address);
        assert_eq!(listening("INFO listening addr=[::1]:80"), "[::1]:80".parse().ok());
        assert_eq!(listening("INFO connected addr=127.0.0.1:4711"), None);
    }

    #[test]
    fn it_is_started_with_everything_given() {
        let (sh, mut args) =
            stand_in("echo \"$@\"; cat \"$2\"; echo $LOG_LEVEL; echo listening addr=$4:$5; exec sleep 600");
        let env = [("LOG_LEVEL", "DEBUG")];
        let afm = AfmProcess::start_at(4711, sh, &args, &env, Some("AUTO_CLEANUP = False\n"));
        assert_eq!(afm.url(), "http://127.0.0.1:4711");
        let lines = afm.log_lines();
        assert!(lines[0].starts_with("--config /"), "{lines:?}");
        assert!(lines[0].ends_with(" run 127.0.0.1 4711"), "{lines:?}");
        assert_eq!(lines[1..3], ["AUTO_CLEANUP = False", "DEBUG"]);
        args[1] = "echo listening addr=127.0.0.1:1 \"$@\"; exec sleep 600";
        let afm = AfmProcess::start(sh, &args, &[], None);
        assert_eq!(afm.log_lines(), ["listening addr=127.0.0.1:1 run 127.0.0.1 0"]);
    }

    #[test]
    #[should_panic(expected = "cannot open the database")]
    fn a_server_that_does_not_start_is_shown() {
        let (sh, args) = stand_in("echo cannot open the database; exit 1");
        let _ = AfmProcess::start(sh, &args, &[], None);
    }
}
