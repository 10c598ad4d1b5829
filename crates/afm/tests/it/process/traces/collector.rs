//! A collector that takes spans over OTLP, and shows them.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::test_app::PATIENCE;

/// A span, with ids as hexadecimal digits and times in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) name: String,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) status: i32,
    attributes: Vec<(String, String)>,
}

impl Span {
    #[track_caller]
    pub(super) fn attribute(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        &found.unwrap_or_else(|| panic!("no {name}: {self:#?}")).1
    }
}

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    services: Vec<String>,
    /// The first line and the headers of each request.
    heads: Vec<String>,
    /// How the next requests are answered, of which nothing is taken; the others are taken.
    refusals: VecDeque<&'static str>,
    /// How many spans the next answer rejects, of a request that is taken.
    rejected: i64,
}

type Shared = Arc<(Mutex<Taken>, Condvar)>;

pub(super) struct Collector {
    address: SocketAddr,
    is_https: bool,
    taken: Shared,
}

impl Collector {
    pub(super) fn start() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"))
    }

    /// Listens with TLS.
    pub(super) fn with_tls(config: ServerConfig) -> Self {
        Self::listen("127.0.0.1:0".parse().expect("an address"), Some(Arc::new(config)))
    }

    /// Listens at this address, until the end of the test process.
    pub(super) fn at(address: SocketAddr) -> Self {
        Self::listen(address, None)
    }

    fn listen(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let taken = Shared::default();
        let is_https = tls.is_some();
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                std::thread::spawn(move || accept(stream, tls, &shared));
            }
        });
        Self { address, is_https, taken }
    }

    pub(super) fn url(&self) -> String {
        if self.is_https {
            // A certificate is for a name.
            return format!("https://localhost:{}", self.address.port());
        }
        format!("http://{}", self.address)
    }

    /// Answers the next requests with these statuses and headers, and takes nothing of them.
    pub(super) fn refuse(&self, refusals: &[&'static str]) {
        self.taken.0.lock().expect("no panic").refusals.extend(refusals);
    }

    /// Says with the next answer that so many of its spans were rejected.
    pub(super) fn reject(&self, number: i64) {
        self.taken.0.lock().expect("no panic").rejected = number;
    }

    /// The first line and the headers of each request so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.taken.0.lock().expect("no panic").heads.clone()
    }

    /// Waits for so many spans, which must be all that have come.
    #[track_caller]
    pub(super) fn spans(&self, number: usize) -> Vec<Span> {
        let (taken, changed) = &*self.taken;
        let taken = taken.lock().expect("no panic");
        let (taken, _) = changed
            .wait_timeout_while(taken, PATIENCE, |taken| taken.spans.len() < number)
            .expect("no panic");
        assert_eq!(taken.spans.len(), number, "{:#?}", taken.spans);
        taken.spans.clone()
    }

    /// Who has sent the first spans.
    #[track_caller]
    pub(super) fn service(&self) -> String {
        self.taken.0.lock().expect("no panic").services[0].clone()
    }
}

fn accept(stream: TcpStream, tls: Option<Arc<ServerConfig>>, taken: &Shared) {
    match tls {
        None => serve(stream, taken),
        Some(config) => {
            let connection = ServerConnection::new(config).expect("a configuration");
            serve(StreamOwned::new(connection, stream), taken);
        }
    }
}

/// Answers the requests of a connection, until it is closed or breaks off.
fn serve(stream: impl Read + Write, taken: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some((head, body)) = read(&mut reader) {
        let request = ExportTraceServiceRequest::decode(&*body).expect("spans in Protobuf");
        let mut of = taken.0.lock().expect("no panic");
        of.heads.push(head);
        if let Some(refusal) = of.refusals.pop_front() {
            let answer = format!("HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n");
            drop(of);
            reader.get_mut().write_all(answer.as_bytes()).expect("it reads its answer");
            continue;
        }
        for resource_spans in request.resource_spans {
            let attributes = attributes_of(resource_spans.resource.expect("a resource").attributes);
            of.services
                .extend(attributes.into_iter().filter(|(key, _)| key == "service.name").map(|(_, v)| v));
            let spans = resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            of.spans.extend(spans.map(|span| Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                from: span.start_time_unix_nano,
                to: span.end_time_unix_nano,
                status: span.status.map_or(0, |status| status.code),
                attributes: attributes_of(span.attributes),
            }));
        }
        let rejected_spans = std::mem::take(&mut of.rejected);
        drop(of);
        taken.1.notify_all();
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: String::new() };
        let answer = ExportTraceServiceResponse { partial_success: (rejected_spans > 0).then_some(partial) };
        let answer = answer.encode_to_vec();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        reader.get_mut().write_all(&[head.as_bytes(), &answer].concat()).expect("it reads its answer");
    }
}

/// Reads the head and the body of a request; `None` if there is no more.
fn read(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        head.push_str(&line);
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if let Some(value) = header.strip_prefix("content-type:") {
            assert_eq!(value.trim(), "application/x-protobuf");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn attributes_of(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
    let text = |value| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let pair = |pair: KeyValue| (pair.key, text(pair.value.and_then(|value| value.value)));
    attributes.into_iter().map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
