//! TLS against a real server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use slamon_store::{Store, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cluster::{Cluster, run, store};

/// An authority, and a certificate of it for `localhost`; both as PEM files in `folder`.
fn make_certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(folder));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!("req -x509 {key} -subj /CN=authority -keyout ca.key -out ca.pem"));
    openssl(&format!("req -x509 {key} -subj /CN=stranger -keyout other.key -out other.pem"));
    openssl(&format!(
        "req -x509 {key} -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout self.key -out \
         self.pem"
    ));
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout server.key \
         -out server.csr",
    );
    fs::write(folder.join("ext"), "subjectAltName=DNS:localhost").unwrap();
    for (name, days) in [("server", 2), ("expired", -1)] {
        openssl(&format!(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile ext \
             -out {name}.pem"
        ));
    }
    fs::copy(folder.join("server.key"), folder.join("expired.key")).unwrap();
}

/// Whether there is TLS on the connection to this host that the query of a URI asks for; `{}` in it is the
/// cluster's folder.
async fn connect(cluster: &Cluster, host: &str, query: &str) -> Result<bool, StoreError> {
    let query = query.replace("{}", &cluster.folder().display().to_string());
    let store = store(&format!("postgresql://postgres@{host}:{}/postgres?{query}", cluster.port()));
    let checked = store.check().await;
    let encrypted = cluster.sql(
        "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'slamon-afm'
         order by backend_start desc limit 1",
    );
    store.close().await;
    checked.map(|()| encrypted == "t")
}

/// A cluster that shows a certificate of its own, with tables.
async fn start(settings: &[&str]) -> Cluster {
    let cluster = Cluster::start();
    make_certificates(cluster.folder());
    use_certificate(&cluster, "server");
    for setting in
        ["ssl = on", "ssl_cert_file = 'tls.pem'", "ssl_key_file = 'tls.key'"].iter().chain(settings)
    {
        cluster.set(setting);
    }
    cluster.stop();
    cluster.serve();
    cluster.store().create_tables().await.unwrap();
    cluster
}

/// Has the server use `name`.pem from its next start.
fn use_certificate(cluster: &Cluster, name: &str) {
    for (from, to, mode) in [("key", "tls.key", 0o600), ("pem", "tls.pem", 0o644)] {
        let to = cluster.data().join(to);
        fs::copy(cluster.folder().join(format!("{name}.{from}")), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
        let owner = format!("--reference={}", cluster.data().display());
        run(Command::new("chown").arg(owner).arg(&to));
    }
}

#[tokio::test]
async fn sslmode_means_what_it_means_to_libpq() {
    let cluster = start(&[]).await;
    let connect = async |host: &str, query: &str| connect(&cluster, host, query).await;
    for (host, query, encrypted) in [
        ("127.0.0.1", "sslmode=disable", false),
        ("127.0.0.1", "sslmode=allow", false),
        ("127.0.0.1", "sslmode=prefer", true),
        ("127.0.0.1", "", true),
        ("127.0.0.1", "sslmode=require", true),
        ("127.0.0.1", "sslmode=require&sslrootcert={}/ca.pem", true),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert={}/ca.pem", true),
        ("localhost", "sslmode=verify-full&sslrootcert={}/ca.pem", true),
        ("localhost", "sslmode=verify-full&sslrootcert={}/server.pem", true),
    ] {
        let connected = connect(host, query).await;
        assert!(matches!(connected, Ok(is) if is == encrypted), "{host} {query}: {connected:?}");
    }
    for (host, query, says) in [
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={}/ca.pem", "not valid for name"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={}/server.pem", "not valid for name"),
        ("localhost", "sslmode=verify-full&sslrootcert={}/other.pem", "UnknownIssuer"),
        ("localhost", "sslmode=verify-ca&sslrootcert={}/other.pem", "UnknownIssuer"),
        ("localhost", "sslmode=require&sslrootcert={}/other.pem", "UnknownIssuer"),
        ("localhost", "sslmode=verify-full&sslrootcert=system", "certificate"),
        ("localhost", "sslmode=verify-full&sslrootcert={}/none.pem", "sslrootcert: cannot read"),
        ("localhost", "sslmode=verify-full&sslrootcert={}/ca.key", "holds no certificate"),
    ] {
        let error = connect(host, query).await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{host} {query}: {error:?}");
        assert!(error.to_string().contains(says), "{host} {query}: {error}");
    }

    // A server that takes TLS only, and one that takes none.
    let hba = cluster.data().join("pg_hba.conf");
    let rules = fs::read_to_string(&hba).unwrap();
    for (rule, query, encrypted) in
        [("hostssl", "sslmode=allow", true), ("hostnossl", "sslmode=prefer", false)]
    {
        fs::write(&hba, rules.replace("host ", &format!("{rule} "))).unwrap();
        cluster.sql("select pg_reload_conf()");
        let mode = if encrypted { "disable" } else { "require" };
        while connect("127.0.0.1", &format!("sslmode={mode}")).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(connect("127.0.0.1", query).await, Ok(is) if is == encrypted), "{rule} {query}");
    }
    fs::write(&hba, rules).unwrap();

    // Self-signed, and trusted as it is.
    use_certificate(&cluster, "self");
    cluster.stop();
    cluster.serve();
    assert!(connect("localhost", "sslmode=verify-full&sslrootcert={}/self.pem").await.unwrap());
    assert!(connect("127.0.0.1", "sslmode=verify-full&sslrootcert={}/self.pem").await.is_err());
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused_where_it_is_looked_at() {
    let cluster = start(&[]).await;
    use_certificate(&cluster, "expired");
    cluster.stop();
    cluster.serve();
    for (host, query) in [
        ("localhost", "sslmode=verify-full&sslrootcert={}/ca.pem"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert={}/ca.pem"),
    ] {
        let error = connect(&cluster, host, query).await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{query}: {error:?}");
        assert!(error.to_string().contains("invalid peer certificate: Expired"), "{query}: {error}");
    }
    for query in ["sslmode=require", "sslmode=prefer"] {
        assert!(connect(&cluster, "localhost", query).await.unwrap(), "{query}");
    }
}

#[tokio::test]
async fn a_handshake_that_fails_is_done_without_where_tls_is_only_preferred() {
    // Versions that nobody has in common.
    let cluster =
        start(&["ssl_min_protocol_version = 'TLSv1'", "ssl_max_protocol_version = 'TLSv1.1'"]).await;
    for query in ["", "sslmode=prefer", "sslmode=allow"] {
        assert!(!connect(&cluster, "localhost", query).await.unwrap(), "{query}");
    }
    let error = connect(&cluster, "localhost", "sslmode=require").await.unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
    assert!(error.to_string().contains("error performing TLS handshake: received fatal alert"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_wanted() {
    let cluster = Cluster::start();
    cluster.store().create_tables().await.unwrap();
    for query in ["", "sslmode=prefer", "sslmode=allow", "sslmode=disable"] {
        assert!(!connect(&cluster, "localhost", query).await.unwrap(), "{query}");
    }
    let authority = cluster.folder().join("none.pem");
    fs::write(&authority, "").unwrap();
    for query in ["sslmode=require", "sslmode=verify-full&sslrootcert={}/none.pem"] {
        let error = connect(&cluster, "localhost", query).await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{query}: {error:?}");
    }
    let error = connect(&cluster, "localhost", "sslmode=require").await.unwrap_err();
    assert!(error.to_string().contains("server does not support TLS"), "{error}");
}

/// The line breaks in the middle of a handshake: that may be another time otherwise.
#[tokio::test]
async fn a_handshake_that_is_cut_short_is_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The request for TLS is 8 bytes; the answer is yes, and then nothing.
            let mut request = [0; 8];
            if stream.read_exact(&mut request).await.is_ok() {
                let _ = stream.write_all(b"S").await;
                let _ = stream.read(&mut [0; 16]).await;
            }
        }
    });
    let error = store(&format!("postgresql://postgres@localhost:{port}/postgres?sslmode=require"))
        .check()
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    server.abort();
}
