//! `tls_certificate`: whose certificate a server shows, until when it is valid, and whether it is.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::Environment;
use crate::context::Context;
use crate::failure::Failure;
use crate::network::connect::{IpVersion, Target};
use crate::network::limit::{Timeout, milliseconds};
use crate::network::tls::{TlsOptions, Verify};

/// Looks at the certificate that a server shows, and whether it is valid.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The name or the address of the server.
    host: String,
    /// Its port.
    #[serde(default = "https")]
    port: u16,
    /// The name that the server is asked for, and that the certificate has to have, if it is not `host`.
    name: Option<String>,
    /// So many days the certificate has to be valid for.
    min_days_left: Option<i64>,
    /// Whether a certificate that is not valid is an error. If not, the result says in `problems` what is wrong.
    #[serde(default = "yes")]
    verify: bool,
    /// 4 or 6: only IPv4, or only IPv6.
    ip_version: Option<IpVersion>,
    /// How many seconds it may take.
    #[serde(default)]
    timeout: Timeout,
}

/// The result of a task.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    subject: String,
    /// The names and addresses that the certificate is for.
    names: Vec<String>,
    issuer: String,
    not_before: Timestamp,
    not_after: Timestamp,
    days_left: i64,
    /// What is wrong with it, in sentences; nothing if it is valid.
    problems: Vec<String>,
    /// How many certificates the server has sent.
    chain: usize,
    protocol: String,
    cipher: String,
    address: String,
    dns_ms: f64,
    connect_ms: f64,
    tls_ms: f64,
    total_ms: f64,
}

fn https() -> u16 {
    443
}

fn yes() -> bool {
    true
}

pub(super) async fn execute(
    data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    let limit = data.timeout.limit(&context);
    let target = Target::new(&data.host, data.port);
    let connection = target.connect(&environment.network, data.ip_version, &limit).await?;
    let verify = if data.verify { Verify::Required } else { Verify::Reported };
    let options = TlsOptions { name: data.name.as_deref(), verify, alpn: &[] };
    let mut secured = environment.tls.secure(connection.stream, &target, options, &limit).await?;
    let total = limit.elapsed();
    // A server that is left without a word may log it.
    let _ = limit.hold(secured.stream.shutdown()).await;
    let peer = secured.peer;
    if let Some(expected) = data.min_days_left {
        peer.expect_days(&target, expected)?;
    }
    let certificate = peer
        .certificate
        .ok_or_else(|| Failure::new(format!("the certificate of {target} cannot be read")))?;
    Ok(Output {
        subject: certificate.subject,
        names: certificate.names,
        issuer: certificate.issuer,
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        days_left: certificate.days_left,
        problems: peer.problems.iter().map(ToString::to_string).collect(),
        chain: peer.chain,
        protocol: peer.protocol,
        cipher: peer.cipher,
        address: connection.address.ip().to_string(),
        dns_ms: milliseconds(connection.resolve),
        connect_ms: milliseconds(connection.connect),
        tls_ms: milliseconds(secured.took),
        total_ms: milliseconds(total),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::handlers::built_in;
    use crate::network::test_server::{TestCa, TestServer, params};

    async fn execute(ca: &TestCa, data: &Value) -> Result<Value, String> {
        let handler = built_in().into_iter().find(|handler| handler.name == "tls_certificate").unwrap();
        let environment = Environment { tls: ca.roots.clone(), ..Environment::default() };
        let outcome = handler.execute(Arc::new(environment), &data.to_string()).await;
        outcome.map(|result| serde_json::from_str(&result).unwrap()).map_err(|failure| failure.to_string())
    }

    #[tokio::test]
    async fn a_certificate_is_told_and_what_is_wrong_with_it() {
        let ca = TestCa::new("Test CA");
        let server = TestServer::start_tls(ca.identity(&params("shop.example")), |_| Vec::new()).await;
        let port = server.address.port();
        let data = json!({"host": "127.0.0.1", "port": port, "name": "shop.example", "min_days_left": 1});
        let result = execute(&ca, &data).await.unwrap();
        assert_eq!(result["subject"], "CN=shop.example");
        assert_eq!(result["issuer"], "CN=Test CA");
        assert_eq!(result["names"], json!(["shop.example"]));
        assert_eq!((&result["problems"], &result["chain"]), (&json!([]), &json!(1)));
        assert_eq!((&result["protocol"], &result["address"]), (&json!("TLSv1.3"), &json!("127.0.0.1")));
        assert!(result["not_after"].is_string() && result["days_left"].as_i64().unwrap() > 365, "{result}");
        assert!(result["tls_ms"].as_f64().unwrap() > 0.0, "{result}");
        let of_another = json!({"host": "127.0.0.1", "port": port});
        let wrong = "it is for shop.example, and not for 127.0.0.1";
        assert_eq!(
            execute(&ca, &of_another).await,
            Err(format!("the certificate of 127.0.0.1:{port} is not valid: {wrong}"))
        );
        let reported = json!({"host": "127.0.0.1", "port": port, "verify": false});
        assert_eq!(execute(&ca, &reported).await.unwrap()["problems"], json!([wrong]));
        let mut longer = data.clone();
        longer["min_days_left"] = json!(10_000_000);
        let problem = execute(&ca, &longer).await.unwrap_err();
        assert!(problem.ends_with("); expected 10000000 days at least"), "{problem}");
    }

    #[tokio::test]
    async fn a_name_in_any_language_is_asked_for() {
        let ca = TestCa::new("Test CA");
        let identity = ca.identity(&params("xn--mnchen-3ya.example"));
        let server = TestServer::start_tls(identity, |_| Vec::new()).await;
        let data = json!({"host": "127.0.0.1", "port": server.address.port(), "name": "München.example"});
        assert_eq!(execute(&ca, &data).await.unwrap()["problems"], json!([]));
    }

    #[tokio::test]
    async fn what_has_no_certificate_is_told() {
        let ca = TestCa::new("Test CA");
        let server = TestServer::start(|_| Vec::new()).await;
        for (data, expected) in [
            (json!({"host": "127.0.0.1", "port": 1}), "could not connect to 127.0.0.1:1: connection refused"),
            (
                json!({"host": "127.0.0.1", "port": server.address.port(), "timeout": 0.3}),
                "could not begin TLS with 127.0.0.1:",
            ),
            (
                json!({"host": "127.0.0.1", "port": server.address.port(), "name": "a b"}),
                "\"a b\" cannot be the name of a TLS server",
            ),
            (json!({"host": "169.254.169.254"}), "this agent does not allow tasks to reach 169.254.169.254"),
            (json!({"host": "", "port": 1}), "could not find the address of \"\": it is no name"),
            (
                json!({"host": "a", "port": 65536}),
                "task_data.port: invalid value: integer `65536`, expected u16",
            ),
        ] {
            let problem = execute(&ca, &data).await.unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }
}
