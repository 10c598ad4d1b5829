//! TLS against a real server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use slamon_store::{Store, StoreError};

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
        "req -x509 {key} -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout self.key -out self.pem"
    ));
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    );
    fs::write(folder.join("ext"), "subjectAltName=DNS:localhost").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem",
    );
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
    let cluster = Cluster::start();
    make_certificates(cluster.folder());
    use_certificate(&cluster, "server");
    cluster.set("ssl = on");
    cluster.set("ssl_cert_file = 'tls.pem'");
    cluster.set("ssl_key_file = 'tls.key'");
    cluster.stop();
    cluster.serve();
    cluster.store().create_tables().await.unwrap();

    let folder = cluster.folder().display().to_string();
    let connect = async |host: &str, query: &str| {
        let query = query.replace("{}", &folder);
        let store = store(&format!("postgresql://postgres@{host}:{}/postgres?{query}", cluster.port()));
        let checked = store.check().await;
        let encrypted = cluster.sql(
            "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'slamon-afm'
             order by backend_start desc limit 1",
        );
        store.close().await;
        checked.map(|()| encrypted == "t")
    };
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
