//! A collector that takes spans over OTLP, and shows them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

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
}

type Shared = Arc<(Mutex<Taken>, Condvar)>;

pub(super) struct Collector {
    address: SocketAddr,
    taken: Shared,
}

impl Collector {
    pub(super) fn start() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"))
    }

    /// Listens at this address, until the end of the test process.
    pub(super) fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let taken = Shared::default();
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, taken }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
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

/// Answers the requests of a connection, until it is closed.
fn serve(stream: &TcpStream, taken: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = read(&mut reader) {
        let request = ExportTraceServiceRequest::decode(&*body).expect("spans in Protobuf");
        let mut of = taken.0.lock().expect("no panic");
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
        drop(of);
        taken.1.notify_all();
        let mut stream = stream;
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
            )
            .expect("it reads its answer");
    }
}

/// Reads the body of a request for the path of traces; `None` if there is no more.
fn read(reader: &mut BufReader<&TcpStream>) -> Option<Vec<u8>> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    assert!(line.starts_with("POST /v1/traces HTTP/1.1"), "{line}");
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if let Some(value) = header.strip_prefix("content-type:") {
            assert_eq!(value.trim(), "application/x-protobuf");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
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
