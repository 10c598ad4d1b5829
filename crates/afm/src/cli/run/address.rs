//! Where an AFM listens, as the command line says it.

use slamon_command_line::whole_number;

/// Where to listen
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Address {
    #[arg(
        default_value = "127.0.0.1",
        help = "Host name or address, such as localhost, 0.0.0.0 or ::1, also with a port: localhost:8080, \
                [::1]:8080; a number alone is a port on all interfaces"
    )]
    host: String,
    /// Port [default: 8080]; 0 takes any that is free
    #[arg(value_parser = whole_number(0, u16::MAX))]
    port: Option<u16>,
}

/// The original listens on this port, too.
const PORT: u16 = 8080;

/// `run PORT` listens on all interfaces.
const ALL_INTERFACES: &str = "0.0.0.0";

impl Address {
    /// Returns host and port; `run 8080` names a port, not a host.
    ///
    /// # Errors
    /// Fails with one line that says what is wrong with host or port.
    pub(in crate::cli) fn host_and_port(&self) -> Result<(&str, u16), String> {
        let host = self.host.as_str();
        // The usual message would show the argument, which may hold a password.
        if host.contains(['/', '@']) {
            return Err(
                "HOST is a URI (not shown), and should be a host name or an address, such as localhost, \
                        0.0.0.0 or 127.0.0.1:8080; the database goes to --database-uri"
                    .to_owned(),
            );
        }
        let (host, port) = self.split()?;
        match (port, self.port) {
            (Some(_), Some(second)) => Err(format!("run {} {second}: these are two ports", self.host)),
            (port, second) => Ok((host, port.or(second).unwrap_or(PORT))),
        }
    }

    /// Splits the argument HOST into host and port. It may be `HOST`, `HOST:PORT`, `[IPv6]:PORT` or `PORT`.
    fn split(&self) -> Result<(&str, Option<u16>), String> {
        let given = self.host.as_str();
        let number = |port: &str| {
            // A port that is no number may be a password.
            let shown = if port.bytes().all(|b| b.is_ascii_digit()) { given } else { "HOST:PORT" };
            port.parse().map(Some).map_err(|_| format!("run {shown}: a port is a number from 0 to 65535"))
        };
        if !given.is_empty() && given.bytes().all(|b| b.is_ascii_digit()) {
            return Ok((ALL_INTERFACES, number(given)?));
        }
        if let Some((address, rest)) = given.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return match rest.strip_prefix(':') {
                Some(port) => Ok((address, number(port)?)),
                None if rest.is_empty() => Ok((address, None)),
                None => Err(format!("run {given}: after an address in brackets comes nothing or :PORT")),
            };
        }
        match given.split_once(':') {
            // More than one colon is an IPv6 address without a port.
            Some((host, port)) if !port.contains(':') => {
                Ok((if host.is_empty() { ALL_INTERFACES } else { host }, number(port)?))
            }
            _ => Ok((given, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Address;

    #[derive(Debug, Parser)]
    struct TestArguments {
        #[command(flatten)]
        address: Address,
    }

    /// Where `run ARGS` would listen.
    fn host_and_port(args: &[&str]) -> Result<(String, u16), String> {
        let words = [&["run"], args].concat();
        let arguments = TestArguments::try_parse_from(words).map_err(|error| error.to_string())?;
        arguments.address.host_and_port().map(|(host, port)| (host.to_owned(), port))
    }

    /// Nothing is started: port 8080 may be anybody's.
    #[test]
    fn by_itself_it_listens_on_port_8080_of_this_machine_alone() {
        assert_eq!(host_and_port(&[]), Ok(("127.0.0.1".to_owned(), 8080)));
    }

    #[test]
    fn a_host_may_come_with_its_port() {
        for (args, host, port) in [
            (&["127.0.0.2"][..], "127.0.0.2", 8080),
            (&["127.0.0.1", "8092"], "127.0.0.1", 8092),
            (&["127.0.0.1:8092"], "127.0.0.1", 8092),
            (&["localhost:0"], "localhost", 0),
            (&["::1"], "::1", 8080),
            (&["::1", "8092"], "::1", 8092),
            (&["[::1]"], "::1", 8080),
            (&["[::1]", "8092"], "::1", 8092),
            (&["[::1]:8092"], "::1", 8092),
            (&["8092"], "0.0.0.0", 8092),
            (&[":8092"], "0.0.0.0", 8092),
        ] {
            assert_eq!(host_and_port(args), Ok((host.to_owned(), port)), "{args:?}");
        }
    }

    #[test]
    fn what_is_no_host_is_named() {
        for (args, message) in [
            (&["8092", "8093"][..], "run 8092 8093: these are two ports"),
            (&["127.0.0.1:8092", "8093"], "run 127.0.0.1:8092 8093: these are two ports"),
            (&["99999"], "run 99999: a port is a number from 0 to 65535"),
            (&["localhost:99999"], "run localhost:99999: a port is a number from 0 to 65535"),
            (&["localhost:"], "run localhost:: a port is a number from 0 to 65535"),
            (&["user:secret"], "run HOST:PORT: a port is a number from 0 to 65535"),
            (&["[::1]8092"], "run [::1]8092: after an address in brackets comes nothing or :PORT"),
        ] {
            assert_eq!(host_and_port(args), Err(message.to_owned()), "{args:?}");
        }
        for uri in ["http://localhost:8092", "http://localhost", "user@host", "postgresql://u:secret@h/d"] {
            let message = host_and_port(&[uri]).unwrap_err();
            assert!(message.starts_with("HOST is a URI (not shown), and should be a host name"), "{message}");
        }
    }
}
