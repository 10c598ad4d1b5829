//! Values that are expressions, files that are none, and names that are no keys.

use std::path::PathBuf;

use tracing::Level;

use super::super::{Config, Overrides};
use super::{Start, env, file, secs};

#[test]
fn values_may_be_expressions() {
    let start = env("DATABASE_URL", "postgres://afm:secret@db/afm").env("WAIT", "7").env("EMPTY", "").file(
        "import os\nfrom datetime import timedelta\nuri = os.environ.get('DATABASE_URL', 'sqlite://')\n\
         if uri.startswith('postgres://'):\n    uri = uri.replace('postgres://', 'postgresql://', 1)\n\
         SQLALCHEMY_DATABASE_URI = uri\nAGENT_RETURN_TIME = int(os.environ['WAIT'])\n\
         AGENT_ACTIVE_THRESHOLD = timedelta(minutes=5)\nREQUEST_TIMEOUT = 60 + 5\n\
         AUTO_CREATE = os.getenv('EMPTY') == ''\nSTATSD_PREFIX = f'{\"a\"}.%s' % 'b'\n",
    );
    let config = start.config();
    assert_eq!(config.database_uri.expose(), "postgresql://afm:secret@db/afm");
    assert_eq!(config.agent_return_time, secs(7));
    assert_eq!(config.agent_active_threshold, secs(300));
    assert_eq!(config.request_timeout, secs(65));
    assert!(config.auto_create, "a variable that is set and empty is there for the file");
    assert_eq!(config.statsd_prefix, "a.b");
}

#[test]
fn a_value_that_cannot_be_told_matters_for_settings_alone() {
    let start = file(
        "import os\nfrom base import *\nSECRET_KEY = os.urandom(24)\nRETURN = f()\nhelper = g(1)[0]\n\
         AGENT_RETURN_TIME = 5\n",
    );
    assert_eq!(
        start.warnings(),
        [
            "FILE:2: an import is passed over: this file is read, not run",
            "FILE:3: SECRET_KEY is a Flask key without meaning here",
            "FILE:4: RETURN is not a known key",
        ]
    );
    const INSTEAD: &str = "; this file is read, not run: write the value itself, or take the key out and set the \
                           environment variable AGENT_RETURN_TIME";
    for (source, message) in [
        (
            "import x\nAGENT_RETURN_TIME = 1 + x.y",
            format!("1:8: AGENT_RETURN_TIME: what is imported here is not among what can be read{INSTEAD}"),
        ),
        (
            "a = open('x')\nb = a\nAGENT_RETURN_TIME = b",
            format!("1:5: AGENT_RETURN_TIME: this name is not among what can be read{INSTEAD}"),
        ),
        (
            "import os\nif os.urandom(1):\n  AGENT_RETURN_TIME = 5",
            format!("2:4: AGENT_RETURN_TIME: this member of a module is not among what can be read{INSTEAD}"),
        ),
        (
            "from base import AGENT_RETURN_TIME",
            format!("1:18: AGENT_RETURN_TIME: what is imported here is not among what can be read{INSTEAD}"),
        ),
        (
            "AGENT_RETURN_TIME = 9 ** 9 ** 9",
            format!("1:21: AGENT_RETURN_TIME: a number is larger here than settings need{INSTEAD}"),
        ),
        (
            "import os\nAGENT_RETURN_TIME = os.environ['X_Y']",
            "2:21: AGENT_RETURN_TIME: the environment variable X_Y is not set".into(),
        ),
        (
            "import os\nAGENT_RETURN_TIME = os.environ['my secret']",
            "2:21: AGENT_RETURN_TIME: the environment variable is not set".into(),
        ),
        (
            "AGENT_RETURN_TIME = 'a' + 1",
            "1:21: AGENT_RETURN_TIME: values of these types do not go together here".into(),
        ),
    ] {
        assert_eq!(file(source).error(), format!("FILE:{message}"), "{source}");
    }
}

#[test]
fn no_message_shows_what_the_environment_holds() {
    for (value, found) in [
        ("os.environ['PASSWORD']", "a string from the environment (not shown)"),
        ("'x%s' % os.environ['PASSWORD']", "a string from the environment (not shown)"),
        ("int(os.environ['PIN']) + 1", "a number from the environment (not shown)"),
        ("copy", "a string from the environment (not shown)"),
    ] {
        let start = env("PASSWORD", "secret")
            .env("PIN", "-4711")
            .file(format!("import os\ncopy = os.getenv('PASSWORD')\nAGENT_RETURN_TIME = {value}"));
        let expected = "expected a number of seconds from 0 to 10000000000";
        assert_eq!(start.error(), format!("FILE:3: AGENT_RETURN_TIME: found {found}, {expected}"));
    }
    let start = file("from datetime import timedelta\nAGENT_RETURN_TIME = timedelta(seconds=-1.5)");
    assert!(start.error().contains("found a timedelta of -1.5 s, expected"), "{}", start.error());
}

#[test]
fn what_other_programs_call_the_address_or_a_key_is_remarked_on() {
    const RUN: &str = "the address stands on the command line, slamon-afm run HOST PORT";
    let start = env("PORT", "80").env("HOST", "").env("agent_return_time", "5").file("HOST = 'a'\nPORT = 80");
    assert_eq!(
        start.warnings(),
        [
            "environment variable agent_return_time is passed over: keys are in upper case; did you mean \
             AGENT_RETURN_TIME?"
                .to_owned(),
            format!("environment variable PORT is passed over: {RUN}"),
            format!("FILE:1: HOST is not a key: {RUN}"),
            format!("FILE:2: PORT is not a key: {RUN}"),
        ]
    );
    assert_eq!(
        file("log_level = 'DEBUG'").warnings(),
        ["FILE:1: log_level is not a key: keys are in upper case; did you mean LOG_LEVEL?"]
    );
    assert_eq!(file("log_level = 'DEBUG'\nLOG_LEVEL = log_level").config().log_level, Level::DEBUG);
}

#[test]
fn what_is_no_file_of_settings_is_named() {
    let named = |path: &str| {
        let args = Overrides { config: Some(PathBuf::from(path)), ..Overrides::default() };
        Start { args, ..Start::default() }.error()
    };
    assert_eq!(
        named("/usr"),
        "cannot read the configuration file /usr (named by --config): Is a directory (os error 21)"
    );
    // This file has no end.
    assert_eq!(named("/dev/zero"), "/dev/zero: the file is longer than 1 MiB");
    assert_eq!(
        file("\u{feff}AGENT_RETURN_TIME = 5\r\nLOG_LEVEL = 'DEBUG'\r\n").config().log_level,
        Level::DEBUG
    );
    assert_eq!(file("").config(), Config::default());
}
