//! The keys: their names, and how their values are read.

use std::path::PathBuf;

use axum::http::Uri;
use axum::http::uri::Scheme;
use slamon_protocol::excerpt;

use super::database_uri::DatabaseUri;
use super::raw_value::{Mismatch, RawValue};
use super::settings::{Config, LogFormat};

/// The key of the database URI.
pub(super) const DATABASE_URI: &str = "SQLALCHEMY_DATABASE_URI";
/// The environment variable that the original's image reads instead of it.
pub(super) const DATABASE_URI_ALIAS: &str = "AFM_DB_URI";
pub(super) const RETURN_TIME: &str = "AGENT_RETURN_TIME";
pub(super) const ACTIVE_THRESHOLD: &str = "AGENT_ACTIVE_THRESHOLD";
pub(super) const DROP_THRESHOLD: &str = "AGENT_DROP_THRESHOLD";
pub(super) const STATSD_HOST: &str = "STATSD_HOST";

/// What became of a value that its key takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyResult {
    /// The value is in the configuration.
    Yes,
    /// The value is ignored, for this reason.
    No(&'static str),
}

/// A key, in a file or the environment.
pub(super) struct Key {
    pub(super) name: &'static str,
    read: fn(&mut Config, RawValue<'_>) -> Result<(), Mismatch>,
    passed_over: fn(RawValue<'_>) -> Option<&'static str>,
}

impl Key {
    const fn new(name: &'static str, read: fn(&mut Config, RawValue<'_>) -> Result<(), Mismatch>) -> Self {
        Self { name, read, passed_over: |_| None }
    }

    pub(super) fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Puts a value into the configuration.
    pub(super) fn set(&self, config: &mut Config, given: RawValue<'_>) -> Result<KeyResult, Mismatch> {
        match (self.passed_over)(given) {
            Some(reason) => Ok(KeyResult::No(reason)),
            None => (self.read)(config, given).map(|()| KeyResult::Yes),
        }
    }
}

/// Every key, in the order of the example file.
pub(super) const KEYS: [Key; 25] = [
    Key::new(DATABASE_URI, |config, given| {
        given.secret("a database URI").map(|uri| config.database_uri = DatabaseUri::new(uri))
    }),
    Key::new("SQLALCHEMY_POOL_SIZE", |config, given| {
        config.pool_size = unless_none(given, Config::default().pool_size, |given| {
            given.whole(1, 65_535, "a whole number from 1 to 65535")
        })?;
        Ok(())
    }),
    Key::new("SQLALCHEMY_POOL_TIMEOUT", |config, given| {
        config.pool_timeout = unless_none(given, Config::default().pool_timeout, RawValue::some_seconds)?;
        Ok(())
    }),
    Key::new("SQLALCHEMY_ECHO", |config, given| given.flag().map(|flag| config.echo = flag)),
    Key::new("AUTO_CREATE", |config, given| given.flag().map(|flag| config.auto_create = flag)),
    Key::new("AUTO_CLEANUP", |config, given| given.flag().map(|flag| config.auto_cleanup = flag)),
    Key::new(RETURN_TIME, |config, given| given.seconds().map(|time| config.agent_return_time = time)),
    Key::new(ACTIVE_THRESHOLD, |config, given| {
        given.some_seconds().map(|time| config.agent_active_threshold = time)
    }),
    Key::new(DROP_THRESHOLD, |config, given| {
        given.some_seconds().map(|time| config.agent_drop_threshold = time)
    }),
    Key::new("TASK_TIMEOUT_DEFAULT", |config, given| {
        config.task_timeout_default = unless_none(given, None, |given| given.some_seconds().map(Some))?;
        Ok(())
    }),
    Key::new("TASK_RETENTION", |config, given| {
        config.task_retention = unless_none(given, None, |given| given.some_seconds().map(Some))?;
        Ok(())
    }),
    Key::new("MAX_CONTENT_LENGTH", |config, given| {
        config.max_content_length = unless_none(given, Config::default().max_content_length, |given| {
            given.whole(1, i128::MAX, "a whole number of bytes, 1 or more")
        })?;
        Ok(())
    }),
    Key::new("MAX_NAME_LENGTH", |config, given| {
        config.limits.name_bytes = unless_none(given, Config::default().limits.name_bytes, |given| {
            given.whole(1, i128::MAX, "a whole number of bytes, 1 or more")
        })?;
        Ok(())
    }),
    Key::new("MAX_CAPABILITIES", |config, given| {
        config.limits.capabilities = unless_none(given, Config::default().limits.capabilities, |given| {
            given.whole(1, i128::MAX, "a whole number, 1 or more")
        })?;
        Ok(())
    }),
    Key::new("AUTH_REQUIRED", |config, given| given.flag().map(|flag| config.auth_required = flag)),
    Key::new("SHARED_READ", |config, given| given.flag().map(|flag| config.shared_read = flag)),
    Key::new("REQUEST_TIMEOUT", |config, given| {
        given.some_seconds().map(|time| config.request_timeout = time)
    }),
    Key::new("SHUTDOWN_TIMEOUT", |config, given| {
        given.some_seconds().map(|time| config.shutdown_timeout = time)
    }),
    Key::new("LOG_FILE", |config, given| {
        config.log_file = given.optional_string("the name of a file, or None")?.map(PathBuf::from);
        Ok(())
    }),
    Key::new("LOG_LEVEL", |config, given| given.level().map(|level| config.log_level = level)),
    Key {
        name: "LOG_FORMAT",
        read: |config, given| {
            let expected = "'text' or 'json'";
            let name = given.string(expected)?;
            config.log_format = match &*name.trim().to_ascii_lowercase() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return given.mismatch(expected),
            };
            Ok(())
        },
        // The original takes a format string here, which has no meaning for these log lines.
        passed_over: |given| {
            let python_format = given.string("").is_ok_and(|text| text.contains('%'));
            python_format
                .then_some("a format string of Python's logging has no meaning here; take 'text' or 'json'")
        },
    },
    Key::new(STATSD_HOST, |config, given| {
        config.statsd_host = given.optional_string("the name of a host, or None")?;
        Ok(())
    }),
    Key::new("STATSD_PORT", |config, given| {
        config.statsd_port = given.whole(1, 65_535, "a port from 1 to 65535")?;
        Ok(())
    }),
    Key::new("STATSD_PREFIX", |config, given| {
        config.statsd_prefix = given.string("a string")?;
        Ok(())
    }),
    Key::new("OTEL_EXPORTER_OTLP_ENDPOINT", |config, given| {
        let expected =
            "a URL such as http://host:4318 or https://host/path, without user, query and fragment, or None";
        let endpoint = given.optional_string(expected)?.filter(|endpoint| !endpoint.trim().is_empty());
        if !endpoint.as_deref().is_none_or(is_web_address) {
            return given.mismatch(expected);
        }
        config.otlp_endpoint = endpoint;
        Ok(())
    }),
];

/// Says whether a text is the URL of a web server, without user, query and fragment: whoever sends spans would leave
/// these out.
fn is_web_address(text: &str) -> bool {
    let Ok(address) = text.parse::<Uri>() else { return false };
    let is_web = address.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    let Some(authority) = address.authority() else { return false };
    let (host, server) = (authority.host(), authority.as_str());
    let is_port = |text: &str| {
        let port = text.strip_prefix(':').and_then(|port| port.parse::<u16>().ok());
        text.is_empty() || port.is_some_and(|port| port != 0)
    };
    // A user would stand before the host.
    let is_server = !host.is_empty() && server.strip_prefix(host).is_some_and(is_port);
    is_web && is_server && !server.contains('@') && address.query().is_none() && !text.contains('#')
}

/// Reads a value for which users may write None, as with Flask and Flask-SQLAlchemy, to get the default.
fn unless_none<'a, T>(
    given: RawValue<'a>,
    default: T,
    read: impl FnOnce(RawValue<'a>) -> Result<T, Mismatch>,
) -> Result<T, Mismatch> {
    if given.is_none() { Ok(default) } else { read(given) }
}

/// The variables from which other programs take their address, and what to use instead.
pub(super) const ADDRESS: [(&str, &str); 4] =
    [("HOST", RUN), ("PORT", RUN), ("FLASK_RUN_HOST", RUN), ("FLASK_RUN_PORT", RUN)];
const RUN: &str = "the address stands on the command line, slamon-afm run HOST PORT";

/// Keys of Flask (0.12 to 3) and Flask-SQLAlchemy that a file for the original may hold.
const FLASK_KEYS: [&str; 41] = [
    "APPLICATION_ROOT",
    "DEBUG",
    "ENV",
    "EXPLAIN_TEMPLATE_LOADING",
    "JSONIFY_MIMETYPE",
    "JSONIFY_PRETTYPRINT_REGULAR",
    "JSON_AS_ASCII",
    "JSON_SORT_KEYS",
    "LOGGER_HANDLER_POLICY",
    "LOGGER_NAME",
    "MAX_COOKIE_SIZE",
    "MAX_FORM_MEMORY_SIZE",
    "MAX_FORM_PARTS",
    "PERMANENT_SESSION_LIFETIME",
    "PREFERRED_URL_SCHEME",
    "PRESERVE_CONTEXT_ON_EXCEPTION",
    "PROPAGATE_EXCEPTIONS",
    "PROVIDE_AUTOMATIC_OPTIONS",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "SEND_FILE_MAX_AGE_DEFAULT",
    "SERVER_NAME",
    "SESSION_COOKIE_DOMAIN",
    "SESSION_COOKIE_HTTPONLY",
    "SESSION_COOKIE_NAME",
    "SESSION_COOKIE_PARTITIONED",
    "SESSION_COOKIE_PATH",
    "SESSION_COOKIE_SAMESITE",
    "SESSION_COOKIE_SECURE",
    "SESSION_REFRESH_EACH_REQUEST",
    "SQLALCHEMY_BINDS",
    "SQLALCHEMY_COMMIT_ON_TEARDOWN",
    "SQLALCHEMY_ENGINE_OPTIONS",
    "SQLALCHEMY_MAX_OVERFLOW",
    "SQLALCHEMY_NATIVE_UNICODE",
    "SQLALCHEMY_POOL_RECYCLE",
    "SQLALCHEMY_RECORD_QUERIES",
    "SQLALCHEMY_TRACK_MODIFICATIONS",
    "TEMPLATES_AUTO_RELOAD",
    "TESTING",
    "TRAP_HTTP_EXCEPTIONS",
];

/// Returns what to tell a user about an unknown key.
pub(super) fn remark(name: &str) -> String {
    let name = &*excerpt(name);
    /// Names that are less alike than this count as different words, and not as a slip.
    const ALIKE: f64 = 0.75;

    if name == DATABASE_URI_ALIAS {
        return format!("{name} is an environment variable; the key in a file is {DATABASE_URI}");
    }
    if let Some((_, instead)) = ADDRESS.iter().find(|(known, _)| *known == name) {
        return format!("{name} is not a key: {instead}");
    }
    if FLASK_KEYS.contains(&name) {
        return format!("{name} is a Flask key without meaning here");
    }
    let nearest = KEYS
        .iter()
        .map(|key| (strsim::normalized_damerau_levenshtein(name, key.name), key.name))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((likeness, key)) if likeness >= ALIKE => {
            format!("{name} is not a known key; did you mean {key}?")
        }
        _ => format!("{name} is not a known key"),
    }
}
