use std::path::PathBuf;

use tokio_postgres::config::Host as PgHost;

use super::*;

fn parse_in(uri: &str, environment: &[(&str, &str)]) -> Result<ConnectionTarget, UriError> {
    let look_up = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    ConnectionTarget::parse(uri, &look_up, Duration::from_secs(10))
}

fn parse(uri: &str) -> ConnectionTarget {
    parse_in(uri, &[]).unwrap_or_else(|e| panic!("{uri}: {e}"))
}

fn error(uri: &str) -> String {
    parse_in(uri, &[]).unwrap_err().to_string()
}

/// `user:password@host:port,…/database`
fn shown(target: &ConnectionTarget) -> String {
    let host = |host: &Host| {
        let name = match &host.config.get_hosts()[0] {
            PgHost::Tcp(name) => name.clone(),
            PgHost::Unix(path) => path.display().to_string(),
        };
        format!("{name}:{}", host.config.get_ports()[0])
    };
    let hosts: Vec<String> = target.hosts.iter().map(host).collect();
    let password = target.hosts[0].config.get_password().map(String::from_utf8_lossy);
    format!("{}:{}@{}/{}", target.user, password.unwrap_or_default(), hosts.join(","), target.database)
}

#[test]
fn what_sqlalchemy_takes() {
    for (uri, is) in [
        ("postgresql://u:p@h:1/d", "u:p@h:1/d"),
        ("postgres://u:p@h/d", "u:p@h:5432/d"),
        ("postgresql+psycopg2://u:p@h:1/d", "u:p@h:1/d"),
        ("postgresql+pg8000://u@h", "u:@h:5432/u"),
        ("postgresql://u:p%40%2F%3A%25@h/d%20b", "u:p@/:%@h:5432/d b"),
        ("postgresql://u:100%@h/d", "u:100%@h:5432/d"),
        ("postgresql://u:p@ss/w:rd@h:1/d", "u:p@ss/w:rd@h:1/d"),
        ("postgresql://u:p?w@h:1/d", "u:p?w@h:1/d"),
        ("postgresql://u:p+w@h/d", "u:p+w@h:5432/d"),
        ("postgresql://u:p@[::1]:1/d", "u:p@::1:1/d"),
        ("postgresql://u:p@[fe80::1]/d", "u:p@fe80::1:5432/d"),
        ("postgresql://u:p@a:1,b:2,[::1]/d?target_session_attrs=read-write", "u:p@a:1,b:2,::1:5432/d"),
        ("postgresql://u:p@/d?host=/tmp/s", "u:p@/tmp/s:5432/d"),
        ("postgresql://u:p@%2Ftmp%2Fs:1/d", "u:p@/tmp/s:1/d"),
        ("postgresql:///d?host=a,b&port=7&user=u&password=p", "u:p@a:7,b:7/d"),
        ("postgresql:///?host=a,b&port=7,8&user=u&password=p+q&dbname=x", "u:p q@a:7,b:8/x"),
        ("postgresql://h/d?user=a@b", "a@b:@h:5432/d"),
        ("postgresql://u@h/d?client_encoding=utf8&gssencmode=disable", "u:@h:5432/d"),
    ] {
        assert_eq!(shown(&parse(uri)), is, "{uri}");
    }
}

#[test]
fn what_is_missing_comes_from_the_environment() {
    let environment = [
        ("PGHOST", "eh"),
        ("PGPORT", "99"),
        ("PGUSER", "eu"),
        ("PGPASSWORD", "ep"),
        ("PGDATABASE", "ed"),
        ("PGSSLMODE", "disable"),
    ];
    for (uri, is) in [
        ("postgresql://", "eu:ep@eh:99/ed"),
        ("postgresql://u@/", "u:ep@eh:99/ed"),
        ("postgresql://:p@h:1/d", "eu:p@h:1/d"),
        ("postgresql://h", "eu:ep@h:99/ed"),
    ] {
        let target = parse_in(uri, &environment).unwrap();
        assert_eq!(shown(&target), is, "{uri}");
        assert_eq!(target.encryption, Encryption::Disable);
    }
}

#[test]
fn sslmode_as_in_libpq() {
    use Encryption::{Allow, Disable, Prefer, Require};
    use Verify::{Authority, AuthorityAndName, Nothing};
    for (query, encryption, verify) in [
        ("", Prefer, Nothing),
        ("sslmode=disable", Disable, Nothing),
        ("sslmode=allow", Allow, Nothing),
        ("sslmode=prefer", Prefer, Nothing),
        ("sslmode=require", Require, Nothing),
        ("sslmode=require&sslrootcert=/r.pem", Require, Authority),
        ("sslmode=verify-ca", Require, Authority),
        ("sslmode=verify-full", Require, AuthorityAndName),
    ] {
        let target = parse(&format!("postgresql://u@h/d?{query}"));
        assert_eq!((target.encryption, target.tls.verify), (encryption, verify), "{query}");
    }
    let modes = |query: &str| {
        let target = parse(&format!("postgresql://u@h/d?{query}"));
        let configs = target.configs(&target.hosts[0]);
        configs.iter().map(|(config, _)| config.get_ssl_mode()).collect::<Vec<_>>()
    };
    assert_eq!(modes("sslmode=allow"), [SslMode::Disable, SslMode::Require]);
    assert_eq!(modes("sslmode=prefer"), [SslMode::Prefer, SslMode::Disable]);
    assert_eq!(modes("sslmode=verify-full"), [SslMode::Require]);
    assert_eq!(modes("sslmode=verify-full&host=/tmp"), [SslMode::Disable], "a socket has no TLS");
    let tls = parse("postgresql://u@h/d?sslmode=require&sslrootcert=/r&sslcert=/c&sslkey=/k").tls;
    assert_eq!(tls.roots, Some(PathBuf::from("/r")));
    assert_eq!(tls.client, Some((PathBuf::from("/c"), PathBuf::from("/k"))));
}

#[test]
fn parameters_reach_the_connection() {
    let target = parse(
        "postgresql://u@h/d?application_name=me&connect_timeout=7&options=-c%20geqo%3Doff&keepalives=0\
         &keepalives_idle=9&tcp_user_timeout=100",
    );
    let config = &target.hosts[0].config;
    assert_eq!(config.get_application_name(), Some("me"));
    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(7)));
    assert_eq!(target.options.as_deref(), Some("-c geqo=off"));
    assert!(!config.get_keepalives());
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(9));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(100)));
    let config = &parse("postgresql://u@h,i/d").hosts[0].config;
    assert_eq!(config.get_application_name(), Some("slamon-afm"));
    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(5)), "half of the patience each");
}

#[test]
fn errors_name_the_parameter_and_no_secret() {
    for (uri, names) in [
        ("postgresql://u:hunter2@h/d?sslmod=require", "sslmod is not a known parameter"),
        ("postgresql://u:hunter2@h/d?sslmode=always", "sslmode must be"),
        ("postgresql://u:hunter2@h/d?connect_timeout=soon", "connect_timeout must be an integer"),
        ("postgresql://u:hunter2@h/d?target_session_attrs=standby", "target_session_attrs must be"),
        ("postgresql://u:hunter2@h/d?sslcert=/c", "sslcert and sslkey go together"),
        ("postgresql://u:hunter2@h:port/d", "port must be a number"),
        ("postgresql://u:hunter2@h:0/d", "port must be a number"),
        ("postgresql://u:hunter2@[::1/d", "[ without ]"),
        ("postgresql://u:hunter2@a,b,c/d?port=1,2", "names 3 hosts, but 2 ports"),
        ("postgresql://u:hunter2%ff@h/d", "the password is not valid UTF-8"),
        ("postgresql://u:hunter2%00@h/d", "the password must not contain U+0000"),
        ("postgresql://u:1?hunter2@h/d", "a parameter is not a known parameter"),
        ("postgresql://u@h/d?password=1&hunter=2", "a parameter is not a known parameter"),
        ("postgresql://u@h/d?hunter2", "a parameter is not a known parameter"),
        ("postgresql://u:hunter2", "port must be a number"),
        ("mysql://u:hunter2@h/d", "must begin with postgresql://"),
        ("u:hunter2@h/d", "must begin with postgresql://"),
    ] {
        let error = error(uri);
        assert!(error.contains(names), "{uri}: {error}");
        assert!(!error.contains("hunter2"), "{uri}: {error}");
    }
    assert!(!format!("{:?}", parse("postgresql://u:hunter2@h/d?password=hunter2")).contains("hunter2"));
}
