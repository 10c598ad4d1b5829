//! Tests the configuration as the binary sees it: arguments, environment and files in, settings or error out.

mod collectors;
mod expressions;
mod together;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tracing::Level;

use super::keys::KEYS;
use super::{Config, ConfigError, DatabaseUri, EXAMPLE, Loaded, LogFormat, Overrides, load};

/// Files in a folder of their own, an environment and arguments.
#[derive(Default)]
struct Start {
    folder: Option<TempDir>,
    env: Vec<(&'static str, String)>,
    args: Overrides,
}

impl Start {
    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    /// A file named by `SLAMON_AFM_CFG`; messages call it ENV.
    fn env_file(mut self, content: impl AsRef<[u8]>) -> Self {
        let path = self.write("ENV", content.as_ref());
        self.env.push(("SLAMON_AFM_CFG", path.to_str().unwrap().to_owned()));
        self
    }

    /// A file named by `--config`; messages call it FILE.
    fn file(mut self, content: impl AsRef<[u8]>) -> Self {
        self.args.config = Some(self.write("FILE", content.as_ref()));
        self
    }

    fn uri(mut self, uri: &str) -> Self {
        self.args.database_uri = Some(DatabaseUri::new(uri));
        self
    }

    fn write(&mut self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.get_or_insert_with(|| tempfile::tempdir().unwrap()).path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let find =
            |name: &str| self.env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        load(&self.args, &find)
    }

    #[track_caller]
    fn config(&self) -> Config {
        let loaded = self.load().unwrap();
        assert_eq!(loaded.warnings, [""; 0]);
        loaded.config
    }

    #[track_caller]
    fn warnings(&self) -> Vec<String> {
        self.load().unwrap().warnings.iter().map(|warning| self.short(warning)).collect()
    }

    #[track_caller]
    fn error(&self) -> String {
        let message = self.load().unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        assert!(!message.contains("secret"), "{message}");
        self.short(&message)
    }

    /// A message without the folder.
    fn short(&self, message: &str) -> String {
        let folder = self.folder.as_ref().map_or(Path::new("/none"), TempDir::path);
        message.replace(&format!("{}/", folder.display()), "")
    }
}

fn file(content: impl AsRef<[u8]>) -> Start {
    Start::default().file(content)
}

fn env(name: &'static str, value: &str) -> Start {
    Start::default().env(name, value)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_example_holds_every_key_once_with_its_default() {
    let lines = EXAMPLE.lines().filter(|line| !line.starts_with('#'));
    let values: Vec<_> = lines.filter_map(|line| line.split_once(" = ")).map(|(key, _)| key).collect();
    assert_eq!(values, KEYS.map(|key| key.name));
    assert_eq!(file(EXAMPLE).config(), Config::default());
    assert_eq!(Start::default().config(), Config::default());
}

#[test]
fn every_key_is_read_from_files_and_from_the_environment() {
    type ConfigChange = fn(&mut Config);
    let cases: [(&str, &str, &str, ConfigChange); 25] = [
        ("SQLALCHEMY_DATABASE_URI", "'sqlite:///a.db'", "sqlite:///a.db", |c| {
            c.database_uri = DatabaseUri::new("sqlite:///a.db");
        }),
        ("SQLALCHEMY_POOL_SIZE", "7", "7", |c| c.pool_size = 7),
        ("SQLALCHEMY_POOL_TIMEOUT", "0.5", "0.5", |c| c.pool_timeout = Duration::from_millis(500)),
        ("SQLALCHEMY_ECHO", "True", "True", |c| c.echo = true),
        ("AUTO_CREATE", "False", "no", |c| c.auto_create = false),
        ("AUTO_CLEANUP", "0", "OFF", |c| c.auto_cleanup = false),
        ("AGENT_RETURN_TIME", "0", "0", |c| c.agent_return_time = Duration::ZERO),
        ("AGENT_ACTIVE_THRESHOLD", "60 * 1.5", "90", |c| c.agent_active_threshold = secs(90)),
        ("AGENT_DROP_THRESHOLD", "24 * 60 * 60", " 86400 ", |c| c.agent_drop_threshold = secs(86400)),
        ("TASK_TIMEOUT_DEFAULT", "15 * 60", "900", |c| c.task_timeout_default = Some(secs(900))),
        ("TASK_RETENTION", "30 * 24 * 60 * 60", "2592000", |c| c.task_retention = Some(secs(2_592_000))),
        ("MAX_CONTENT_LENGTH", "1_000", "1000", |c| c.max_content_length = 1000),
        ("MAX_NAME_LENGTH", "400", "400", |c| c.limits.name_bytes = 400),
        ("MAX_CAPABILITIES", "20_000", "20000", |c| c.limits.capabilities = 20_000),
        ("AUTH_REQUIRED", "True", "yes", |c| c.auth_required = true),
        ("SHARED_READ", "1", "true", |c| c.shared_read = true),
        ("REQUEST_TIMEOUT", "1e1", "1e1", |c| c.request_timeout = secs(10)),
        ("SHUTDOWN_TIMEOUT", "(5)", "5", |c| c.shutdown_timeout = secs(5)),
        ("LOG_FILE", "r'/var/log/afm.log'", "/var/log/afm.log", |c| {
            c.log_file = Some(PathBuf::from("/var/log/afm.log"));
        }),
        ("LOG_LEVEL", "logging.WARN", "Warning", |c| c.log_level = Level::WARN),
        ("LOG_FORMAT", "'json'", "JSON", |c| c.log_format = LogFormat::Json),
        ("STATSD_HOST", "''", "", |c| c.statsd_host = None),
        ("STATSD_PORT", "65535", "65535", |c| c.statsd_port = 65535),
        ("STATSD_PREFIX", "u'a.b'", "a.b", |c| c.statsd_prefix = "a.b".to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "'http://c:4318'", "http://c:4318", |c| {
            c.otlp_endpoint = Some("http://c:4318".to_owned());
        }),
    ];
    assert_eq!(cases.map(|(key, ..)| key), KEYS.map(|key| key.name));
    for (key, literal, text, change) in cases {
        let mut expected = Config::default();
        change(&mut expected);
        assert_eq!(file(format!("{key} = {literal}")).config(), expected, "{key} in a file");
        assert_eq!(env(key, text).config(), expected, "{key} in the environment");
    }
}

#[test]
fn none_is_the_default_where_flask_says_so() {
    for key in [
        "LOG_FILE",
        "STATSD_HOST",
        "MAX_CONTENT_LENGTH",
        "MAX_NAME_LENGTH",
        "MAX_CAPABILITIES",
        "SQLALCHEMY_POOL_SIZE",
        "SQLALCHEMY_POOL_TIMEOUT",
    ] {
        let value = if key.ends_with("_HOST") || key.ends_with("_FILE") { "a" } else { "9" };
        let start = env(key, value).file(format!("{key} = None"));
        assert_eq!(start.config(), Config::default(), "{key}");
    }
}

#[test]
fn the_later_layer_holds() {
    let mut start = env("AGENT_RETURN_TIME", "1").env("SQLALCHEMY_DATABASE_URI", "sqlite:///1");
    let holds = |start: &Start, seconds, uri: &str| {
        let config = start.config();
        assert_eq!((config.agent_return_time, config.database_uri.expose()), (secs(seconds), uri));
    };
    holds(&start, 1, "sqlite:///1");
    start = start.env_file("AGENT_RETURN_TIME = 2\nSQLALCHEMY_DATABASE_URI = 'sqlite:///2'");
    holds(&start, 2, "sqlite:///2");
    start = start.file("AGENT_RETURN_TIME = 3\nSQLALCHEMY_DATABASE_URI = 'sqlite:///3'");
    holds(&start, 3, "sqlite:///3");
    let names = start.load().unwrap().files.into_iter().map(|path| path.file_name().unwrap().to_owned());
    assert_eq!(names.collect::<Vec<_>>(), ["ENV", "FILE"]);
    start = start.uri("sqlite:///4");
    holds(&start, 3, "sqlite:///4");
    assert_eq!(file("AGENT_RETURN_TIME = 'x'\nAGENT_RETURN_TIME = 5").config().agent_return_time, secs(5));
}

#[test]
fn the_alias_of_the_database_uri() {
    let alias = || env("AFM_DB_URI", "sqlite:///alias");
    assert_eq!(alias().config().database_uri.expose(), "sqlite:///alias");
    assert_eq!(
        alias().env("SQLALCHEMY_DATABASE_URI", "sqlite:///alias").config().database_uri.expose(),
        "sqlite:///alias"
    );
    assert_eq!(
        alias().env("SQLALCHEMY_DATABASE_URI", "").config().database_uri.expose(),
        "sqlite:///alias",
        "an empty variable is not set"
    );
    assert_eq!(
        alias().env("SQLALCHEMY_DATABASE_URI", "postgresql://afm:secret@db").uri("sqlite://").error(),
        "the environment variables SQLALCHEMY_DATABASE_URI and AFM_DB_URI differ: set one of them"
    );
    assert_eq!(
        file("AFM_DB_URI = 'sqlite://'").warnings(),
        ["FILE:1: AFM_DB_URI is an environment variable; the key in a file is SQLALCHEMY_DATABASE_URI"]
    );
}

#[test]
fn wrong_values_in_a_file() {
    const SECONDS: &str = "expected a number of seconds greater than 0 and up to 10000000000";
    const LEVEL: &str = "expected DEBUG, INFO, WARNING, ERROR, CRITICAL or a number of Python's logging";
    const POOL: &str = "expected a whole number from 1 to 65535";
    const COLLECTOR: &str = "expected a URL such as http://host:4318 or https://host/path, without user, query and fragment, or None";
    for (line, message) in [
        ("REQUEST_TIMEOUT = '60'", format!("REQUEST_TIMEOUT: found the string \"60\", {SECONDS}")),
        ("REQUEST_TIMEOUT = 0", format!("REQUEST_TIMEOUT: found 0, {SECONDS}")),
        ("REQUEST_TIMEOUT = 1e-12", format!("REQUEST_TIMEOUT: found 1e-12, {SECONDS}")),
        ("REQUEST_TIMEOUT = 1e400", format!("REQUEST_TIMEOUT: found inf, {SECONDS}")),
        ("REQUEST_TIMEOUT = True", format!("REQUEST_TIMEOUT: found True, {SECONDS}")),
        ("REQUEST_TIMEOUT = None", format!("REQUEST_TIMEOUT: found None, {SECONDS}")),
        ("REQUEST_TIMEOUT = [1,\n 2]", format!("REQUEST_TIMEOUT: found a list, {SECONDS}")),
        ("AGENT_RETURN_TIME = -1", "AGENT_RETURN_TIME: found -1, expected a number of seconds from 0 to 10000000000".into()),
        ("SQLALCHEMY_POOL_SIZE = 0", format!("SQLALCHEMY_POOL_SIZE: found 0, {POOL}")),
        ("SQLALCHEMY_POOL_SIZE = 5.0", format!("SQLALCHEMY_POOL_SIZE: found 5.0, {POOL}")),
        ("SQLALCHEMY_POOL_SIZE = 65536", format!("SQLALCHEMY_POOL_SIZE: found 65536, {POOL}")),
        ("STATSD_PORT = 0", "STATSD_PORT: found 0, expected a port from 1 to 65535".into()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT = 'collector'", format!("OTEL_EXPORTER_OTLP_ENDPOINT: found the string \"collector\", {COLLECTOR}")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT = 'c:4318'", format!("OTEL_EXPORTER_OTLP_ENDPOINT: found the string \"c:4318\", {COLLECTOR}")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT = 'http://c /'", format!("OTEL_EXPORTER_OTLP_ENDPOINT: found a URI (not shown), {COLLECTOR}")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT = 'grpc://c:4317'", format!("OTEL_EXPORTER_OTLP_ENDPOINT: found a URI (not shown), {COLLECTOR}")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT = 'afm:secret@c:4318'", format!("OTEL_EXPORTER_OTLP_ENDPOINT: found a URI (not shown), {COLLECTOR}")),
        ("MAX_NAME_LENGTH = 0", "MAX_NAME_LENGTH: found 0, expected a whole number of bytes, 1 or more".into()),
        ("MAX_CAPABILITIES = -1", "MAX_CAPABILITIES: found -1, expected a whole number, 1 or more".into()),
        ("MAX_CONTENT_LENGTH = 0", "MAX_CONTENT_LENGTH: found 0, expected a whole number of bytes, 1 or more".into()),
        ("MAX_CONTENT_LENGTH = 2 * 0x8000000000000000", "MAX_CONTENT_LENGTH: found 18446744073709551616, expected a whole number of bytes, 1 or more".into()),
        ("AUTO_CREATE = 'False'", "AUTO_CREATE: found the string \"False\", expected True or False without quotes (to Python, any string that is not empty is true)".into()),
        ("AUTO_CREATE = ''", "AUTO_CREATE: found the string \"\", expected True or False".into()),
        ("AUTO_CREATE = 2", "AUTO_CREATE: found 2, expected True or False".into()),
        ("LOG_FILE = 5", "LOG_FILE: found 5, expected the name of a file, or None".into()),
        ("LOG_LEVEL = 'loud'", format!("LOG_LEVEL: found the string \"loud\", {LEVEL}")),
        ("LOG_LEVEL = '10'", format!("LOG_LEVEL: found the string \"10\", {LEVEL}")),
        ("LOG_LEVEL = 'sqlite://secret'", format!("LOG_LEVEL: found a URI (not shown), {LEVEL}")),
        ("LOG_FORMAT = 'xml'", "LOG_FORMAT: found the string \"xml\", expected 'text' or 'json'".into()),
        ("SQLALCHEMY_DATABASE_URI = None", "SQLALCHEMY_DATABASE_URI: found None, expected a database URI".into()),
        ("SQLALCHEMY_DATABASE_URI = ''", "SQLALCHEMY_DATABASE_URI: found an empty string, expected a database URI".into()),
        ("SQLALCHEMY_DATABASE_URI = b'secret'", "SQLALCHEMY_DATABASE_URI: found bytes, expected a database URI".into()),
        ("SQLALCHEMY_DATABASE_URI = 12345", "SQLALCHEMY_DATABASE_URI: found a number, expected a database URI".into()),
    ] {
        assert_eq!(file(format!("# first\n\n{line}\n")).error(), format!("FILE:3: {message}"));
    }
}

#[test]
fn wrong_values_elsewhere() {
    for (start, message) in [
        (
            env("AGENT_RETURN_TIME", "soon\n"),
            "environment variable AGENT_RETURN_TIME: found \"soon\\n\", expected a number of seconds from 0 to 10000000000",
        ),
        (
            env("AGENT_RETURN_TIME", "inf"),
            "environment variable AGENT_RETURN_TIME: found \"inf\", expected a number of seconds from 0 to 10000000000",
        ),
        (
            env("AUTO_CREATE", "maybe"),
            "environment variable AUTO_CREATE: found \"maybe\", expected true, false, 1, 0, yes, no, on or off",
        ),
        (
            env("STATSD_PORT", "postgresql://afm:secret@db"),
            "environment variable STATSD_PORT: found a URI (not shown), expected a port from 1 to 65535",
        ),
        (
            env("STATSD_PORT", "65536").env_file("STATSD_PORT = 1"),
            "environment variable STATSD_PORT: found \"65536\", expected a port from 1 to 65535",
        ),
        (
            env("AFM_DB_URI", " "),
            "environment variable AFM_DB_URI: found an empty string, expected a database URI",
        ),
        (Start::default().uri(""), "--database-uri: found an empty string, expected a database URI"),
    ] {
        assert_eq!(start.error(), message);
    }
    let long = env("LOG_LEVEL", &"x".repeat(1000)).error();
    assert!(long.contains(&format!("found \"{}…\", expected", "x".repeat(199))), "{long}");
}

#[test]
fn log_levels() {
    for (text, level) in [
        ("NOTSET", Level::TRACE),
        ("debug", Level::DEBUG),
        ("Info", Level::INFO),
        ("warn", Level::WARN),
        ("WARNING", Level::WARN),
        ("error", Level::ERROR),
        ("critical", Level::ERROR),
        ("FATAL", Level::ERROR),
        ("-1", Level::TRACE),
        ("0", Level::TRACE),
        ("9", Level::TRACE),
        ("10", Level::DEBUG),
        ("19", Level::DEBUG),
        ("20", Level::INFO),
        ("30", Level::WARN),
        ("40", Level::ERROR),
        ("99", Level::ERROR),
    ] {
        assert_eq!(env("LOG_LEVEL", text).config().log_level, level, "{text}");
        let literal = if text.parse::<i32>().is_ok() { text.to_owned() } else { format!("'{text}'") };
        assert_eq!(file(format!("LOG_LEVEL = {literal}")).config().log_level, level, "{literal}");
    }
}

#[test]
fn files_that_cannot_be_read() {
    let missing = Overrides { config: Some(PathBuf::from("/nowhere/afm.cfg")), ..Overrides::default() };
    for (start, message) in [
        (
            Start { args: missing, ..Start::default() },
            "cannot read the configuration file /nowhere/afm.cfg (named by --config): No such file or directory (os error 2)",
        ),
        (
            env("SLAMON_AFM_CFG", "/nowhere/afm.cfg"),
            "cannot read the configuration file /nowhere/afm.cfg (named by SLAMON_AFM_CFG): No such file or directory (os error 2)",
        ),
        (file(b"A = 1\r\nB = '\xff'\r\n"), "FILE:2: not UTF-8: save the file in that encoding"),
        (
            file("SQLALCHEMY_DATABASE_URI = secret"),
            "FILE:1:27: SQLALCHEMY_DATABASE_URI: this name is not defined above; is it a string without quotes?",
        ),
        (file("secret"), "FILE:1:1: this name is not defined above; is it a string without quotes?"),
        (
            file("import x\nSQLALCHEMY_DATABASE_URI = (\n  x.y())"),
            "FILE:1:8: SQLALCHEMY_DATABASE_URI: what is imported here is not among what can be read; this file is \
             read, not run: write the value itself, or take the key out and set the environment variable \
             SQLALCHEMY_DATABASE_URI",
        ),
    ] {
        assert_eq!(start.error(), message);
    }
    assert_eq!(env("SLAMON_AFM_CFG", "").config(), Config::default());
}

#[test]
fn keys_that_are_none_of_ours() {
    let start = file(
        "import x, logging\nAGENT_RETRUN_TIME = 5\nSECRET_KEY = 'secret'\nCOLOUR = 1\nSQLALCHEMY_DATABASE_URL = 'secret'\n\
         small = 1\nMixed = 2\n_ = 3\nCOLOUR = {\n 'a': [1],\n}\n",
    );
    assert_eq!(
        start.warnings(),
        [
            "FILE:1: an import is passed over: this file is read, not run",
            "FILE:2: AGENT_RETRUN_TIME is not a known key; did you mean AGENT_RETURN_TIME?",
            "FILE:3: SECRET_KEY is a Flask key without meaning here",
            "FILE:9: COLOUR is not a known key",
            "FILE:5: SQLALCHEMY_DATABASE_URL is not a known key; did you mean SQLALCHEMY_DATABASE_URI?",
        ]
    );
    assert_eq!(env("SECRET_KEY", "x").config(), Config::default(), "only known names are looked up");
}

#[test]
fn a_log_format_of_the_original_is_passed_over() {
    let start = env("LOG_FORMAT", "json").file("LOG_FORMAT = '%(asctime)s - %(message).120s'");
    let loaded = start.load().unwrap();
    assert_eq!(loaded.config.log_format, LogFormat::Json);
    assert_eq!(
        start.warnings(),
        [
            "FILE:1: LOG_FORMAT: a format string of Python's logging has no meaning here; take 'text' or 'json'"
        ]
    );
}

#[test]
fn no_message_and_no_debug_shows_the_password() {
    let loaded = file("SQLALCHEMY_DATABASE_URI = 'postgresql://afm:secret@db/afm'").load().unwrap();
    assert_eq!(loaded.config.database_uri.to_string(), "postgresql://afm:***@db/afm");
    assert!(!format!("{loaded:?}").contains("secret"));
    let args = Overrides { database_uri: Some(DatabaseUri::new("postgresql://afm:secret@db")), config: None };
    assert!(!format!("{args:?}").contains("secret"));
}
