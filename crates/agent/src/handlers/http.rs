//! `http`: one request, what its answer has to be, and how long each step took.

mod content;
mod expected;
mod pattern;
mod request;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Environment;
use crate::context::Context;
use crate::failure::Failure;
use crate::network::connect::IpVersion;
use crate::network::http::Client;
use crate::network::limit::{Timeout, milliseconds};
use crate::network::tls::Verify;

pub(super) use content::{Content, examine};
pub(super) use expected::{Expected, OneOrMany, Statuses, is_pointer};
pub(super) use pattern::compile;
pub(super) use request::{
    Answer, HttpRequest, MaxBytes, MaxRedirects, Method, RequestOptions, exchange, headers, url,
};

/// Sends one request, and checks its answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// Where to: `http://…` or `https://…`. A user and a password in it are sent as `Authorization: Basic`.
    url: String,
    /// The method, in capitals.
    #[serde(default)]
    method: Method,
    /// Headers of the request, beside `Host`, `User-Agent` and `Accept`, which they replace.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body of the request: a string as it is, any other value as JSON.
    body: Option<Value>,
    /// The status that the answer has to have: a number such as 200, a class such as "2xx", or a list of both. If it is
    /// not given, all from 200 to 399.
    #[serde(default)]
    expected_status: Statuses,
    /// The text, or the texts, that the body of the answer has to contain.
    #[serde(default)]
    contains: OneOrMany,
    /// A regular expression that the body of the answer has to match somewhere.
    regex: Option<String>,
    /// What the body of the answer, as JSON, has to have: values by JSON pointers, such as {"/status": "up"}.
    #[serde(default)]
    json: BTreeMap<String, Value>,
    /// So many days the certificate of the server has to be valid for.
    min_days_left: Option<i64>,
    /// Whether a certificate that is not valid is an error.
    #[serde(default = "yes")]
    verify: bool,
    /// How many redirects are followed; one more is an error. 0: a redirect is an answer like others.
    #[serde(default)]
    max_redirects: MaxRedirects,
    /// 4 or 6: only IPv4, or only IPv6.
    ip_version: Option<IpVersion>,
    /// How many bytes of the body are read; those beyond are left, and the result has `truncated`.
    #[serde(default)]
    max_bytes: MaxBytes,
    /// Whether the answer may be compressed (gzip, br), and is decompressed before it is checked.
    #[serde(default)]
    compressed: bool,
    /// How many seconds it may take, with all redirects.
    #[serde(default)]
    timeout: Timeout,
}

/// The result of a task. The times of the steps are those of the last request, after all redirects.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    status: u16,
    /// Where the answer came from, after all redirects.
    url: String,
    /// Where redirects led to, in their order.
    redirects: Vec<String>,
    /// `HTTP/1.1`
    http_version: String,
    address: String,
    dns_ms: f64,
    connect_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ms: Option<f64>,
    first_byte_ms: f64,
    total_ms: f64,
    /// How many bytes of the body were read, before they were decompressed.
    bytes: u64,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_not_after: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_days_left: Option<i64>,
    /// What is wrong with the certificate, if it need not be valid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificate_problems: Vec<String>,
}

pub(super) fn yes() -> bool {
    true
}

pub(super) async fn execute(
    data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    let limit = data.timeout.limit(&context);
    let wrong = |problem: String| Failure::new(format!("task_data.{problem}"));
    let (url, headers) = (url(&data.url).map_err(wrong)?, headers(&data.headers).map_err(wrong)?);
    let request = HttpRequest::new(data.method, url, headers, data.body.as_ref());
    let expected = Expected::new(data.expected_status, data.contains, data.regex.as_deref(), data.json);
    let expected = expected.map_err(wrong)?;
    if data.min_days_left.is_some() && request.url.scheme() != "https" {
        return Err(Failure::new(
            "task_data.min_days_left: the URL is not https, so there is no certificate",
        ));
    }
    let client = Client {
        policy: &environment.network,
        tls: &environment.tls,
        verify: if data.verify { Verify::Required } else { Verify::Reported },
        ip_version: data.ip_version,
        proxy: None,
    };
    let options = RequestOptions {
        max_redirects: data.max_redirects,
        max_bytes: data.max_bytes,
        compressed: data.compressed,
    };
    if expected.is_parsed() {
        data.max_bytes.for_parsing(data.regex.as_deref()).map_err(wrong)?;
    }
    let mut answer = exchange(&client, request, options, None, &limit).await?;
    expected
        .check_status(&answer)
        .map_err(|problem| Failure::new(format!("{}: {problem}", answer.shown_url())))?;
    if expected.has_body() {
        let has_regex = data.regex.is_some();
        (answer, ()) = examine(answer, &limit, has_regex, move |content| expected.check(content)).await?;
    }
    if let Some(days) = data.min_days_left {
        let without = || Failure::new(format!("{} is not https: it has no certificate", answer.shown_url()));
        answer.peer.as_ref().ok_or_else(without)?.expect_days(&answer.target, days)?;
    }
    Ok(output(answer))
}

fn output(answer: Answer) -> Output {
    let url = answer.shown_url();
    let certificate = answer.peer.as_ref().and_then(|peer| peer.certificate.as_ref());
    Output {
        status: answer.status.as_u16(),
        url,
        http_version: format!("{:?}", answer.version),
        address: answer.address.ip().to_string(),
        dns_ms: milliseconds(answer.times.dns),
        connect_ms: milliseconds(answer.times.connect),
        tls_ms: answer.peer.as_ref().map(|_| milliseconds(answer.times.tls)),
        first_byte_ms: milliseconds(answer.times.first_byte),
        total_ms: milliseconds(answer.total),
        bytes: answer.body.received,
        truncated: answer.body.is_cut,
        content_type: answer.header("content-type"),
        tls_protocol: answer.peer.as_ref().map(|peer| peer.protocol.clone()),
        certificate_not_after: certificate.map(|certificate| certificate.not_after),
        certificate_days_left: certificate.map(|certificate| certificate.days_left),
        certificate_problems: answer
            .peer
            .as_ref()
            .map_or_else(Vec::new, |peer| peer.problems.iter().map(ToString::to_string).collect()),
        redirects: answer.redirects,
    }
}

#[cfg(test)]
mod tests;
