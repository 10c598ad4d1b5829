use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::svcb::{Alpn, IpHint, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HTTPS, MX, SVCB, TXT};
use hickory_proto::rr::{RData, Record};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use super::*;

/// A DNS server on a port of its own, over UDP and TCP: it sends what a function makes of a question, and ends with the
/// test.
struct Server {
    port: u16,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn server(answers: impl Fn(&Message, Transport) -> Vec<Vec<u8>> + Clone + Send + 'static) -> Server {
    let (udp, tcp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let port = udp.local_addr().unwrap().port();
    let over_udp = answers.clone();
    let udp = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..length]).unwrap();
            for answer in over_udp(&question, Transport::Udp) {
                // Whoever has asked need not wait for all of them.
                let _ = udp.send_to(&answer, from).await;
            }
        }
    });
    let tcp = tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            for answer in answers(&Message::from_vec(&question).unwrap(), Transport::Tcp) {
                let _ = stream.write_all(&answer).await;
            }
        }
    });
    Server { port, tasks: [udp, tcp] }
}

/// The answer to a question with these records.
fn answer(question: &Message, records: Vec<Record>) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.add_queries(question.queries.clone()).add_answers(records);
    answer
}

fn framed(message: &Message) -> Vec<u8> {
    let bytes = message.to_vec().unwrap();
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes.as_slice()].concat()
}

fn record(name: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(name).unwrap(), ttl, data)
}

fn address(name: &str, ttl: u32, last: u8) -> Record {
    record(name, ttl, RData::A(A::new(192, 0, 2, last)))
}

/// A server that answers every question with these records.
async fn of(records: Vec<Record>) -> Server {
    server(move |question, _| vec![answer(question, records.clone()).to_vec().unwrap()]).await
}

async fn ask(server: &Server, mut data: Value) -> Result<Value, String> {
    let members = data.as_object_mut().unwrap();
    members.entry("name").or_insert("www.example.org".into());
    members.insert("server".to_owned(), "127.0.0.1".into());
    members.insert("port".to_owned(), server.port.into());
    let data = serde_json::from_value(data).unwrap();
    let output = execute(data, Context::alone(), Arc::default()).await;
    let hide = |text: String| without_time(&text.replace(&format!(":{}", server.port), ":PORT"));
    output.map(|output| serde_json::to_value(output).unwrap()).map_err(|error| hide(error.to_string()))
}

/// A sentence without the time that something took.
fn without_time(sentence: &str) -> String {
    let is_time = |word: &str| word.parse::<f64>().is_ok_and(|_| word.contains('.'));
    sentence.split(' ').map(|word| if is_time(word) { "TIME" } else { word }).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn an_answer_has_values_aliases_and_times() {
    let server = server(|question, _| {
        let mut answer = answer(
            question,
            vec![
                record("www.EXAMPLE.org.", 300, RData::CNAME(CNAME(Name::from_ascii("a.net.").unwrap()))),
                address("a.net.", 60, 1),
                address("a.net.", 30, 2),
                address("evil.example.", 5, 3),
            ],
        );
        let wants_signatures = question.edns.as_ref().unwrap().flags().dnssec_ok;
        answer.metadata.authentic_data = question.metadata.authentic_data && wants_signatures;
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let output = ask(&server, json!({"dnssec": true, "expected": ["192.0.2.2"]})).await.unwrap();
    assert_eq!(output["answers"], json!(["192.0.2.1", "192.0.2.2"]));
    assert_eq!(output["aliases"], json!(["a.net."]));
    assert_eq!(output["ttl"], 30);
    assert_eq!(output["code"], "NOERROR");
    assert_eq!(output["authenticated"], true);
    assert_eq!(output["authoritative"], false);
    assert_eq!(output["server"], format!("127.0.0.1:{}", server.port));
    assert_eq!(output["transport"], "udp");
    assert!(output["query_ms"].as_f64().unwrap() > 0.0);
    assert!(output["total_ms"].as_f64() >= output["query_ms"].as_f64());
}

#[tokio::test]
async fn values_are_compared_as_their_type_is() {
    let exchange = Name::from_ascii("Mail.example.org.").unwrap();
    let server = of(vec![
        record("x.org.", 1, RData::MX(MX::new(10, exchange))),
        record("x.org.", 1, RData::TXT(TXT::new(vec!["v=spf1 ".to_owned(), "-all".to_owned()]))),
        record("x.org.", 1, RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
    ])
    .await;
    for (kind, expected) in
        [("MX", "10 mail.EXAMPLE.org"), ("TXT", "v=spf1 -all"), ("AAAA", "2001:0DB8::0:1")]
    {
        let data = json!({"name": "X.org", "type": kind, "expected": [expected], "only_expected": true});
        ask(&server, data).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_not_expected_is_named() {
    let server = of(vec![address("www.example.org.", 1, 1), address("www.example.org.", 1, 2)]).await;
    assert_eq!(
        ask(&server, json!({"expected": ["192.0.2.2", "192.0.2.9"]})).await.unwrap_err(),
        "www.example.org. has other records A than expected: 192.0.2.9 was expected and is not there; \
         127.0.0.1:PORT answers 192.0.2.1, 192.0.2.2"
    );
    assert_eq!(
        ask(&server, json!({"expected": ["192.0.2.2"], "only_expected": true})).await.unwrap_err(),
        "www.example.org. has other records A than expected: 192.0.2.1 was not expected; \
         127.0.0.1:PORT answers 192.0.2.1, 192.0.2.2"
    );
    assert_eq!(
        ask(&server, json!({"type": "AAAA"})).await.unwrap_err(),
        "www.example.org. has no record AAAA, says 127.0.0.1:PORT"
    );
    ask(&server, json!({"type": "AAAA", "only_expected": true})).await.unwrap();
    assert_eq!(
        ask(&server, json!({"dnssec": true})).await.unwrap_err(),
        "127.0.0.1:PORT does not say that it has validated its answer for www.example.org. A by DNSSEC (flag AD)"
    );
}

#[tokio::test]
async fn a_code_that_is_no_answer_is_told_unless_it_was_expected() {
    for (code, sentence) in [
        (ResponseCode::NXDomain, "NXDOMAIN to the question for www.example.org. A: there is no such name"),
        (ResponseCode::ServFail, "SERVFAIL to the question for www.example.org. A: it could not find out"),
        (ResponseCode::NotZone, "CODE10 to the question for www.example.org. A"),
    ] {
        let server = server(move |question, _| {
            let mut answer = answer(question, Vec::new());
            answer.metadata.response_code = code;
            // A server that could not read the question need not repeat it.
            answer.queries.clear();
            vec![answer.to_vec().unwrap()]
        })
        .await;
        assert_eq!(ask(&server, json!({})).await.unwrap_err(), format!("127.0.0.1:PORT answers {sentence}"));
        if code == ResponseCode::NXDomain {
            let output = ask(&server, json!({"expected_code": "NXDOMAIN"})).await.unwrap();
            assert_eq!(output["code"], "NXDOMAIN");
        }
    }
    let server = of(vec![address("www.example.org.", 1, 1)]).await;
    assert_eq!(
        ask(&server, json!({"expected_code": "NXDOMAIN"})).await.unwrap_err(),
        "127.0.0.1:PORT answers NOERROR to the question for www.example.org. A, where NXDOMAIN was expected"
    );
}

#[tokio::test]
async fn what_is_expected_beside_a_code_is_checked_or_refused() {
    let server = server(|question, _| {
        let mut message = answer(question, vec![address("www.example.org.", 60, 1)]);
        message.metadata.response_code = ResponseCode::ServFail;
        vec![message.to_vec().unwrap()]
    })
    .await;
    ask(&server, json!({"expected_code": "SERVFAIL"})).await.unwrap();
    let data = json!({"expected_code": "SERVFAIL", "expected": ["192.0.2.7"]});
    assert_eq!(
        ask(&server, data).await.unwrap_err(),
        "task_data.expected: values are compared with the code NOERROR alone, and SERVFAIL is expected"
    );
    let data = json!({"expected_code": "SERVFAIL", "only_expected": true});
    let problem = ask(&server, data).await.unwrap_err();
    assert!(problem.contains("192.0.2.1 was not expected"), "{problem}");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_over_tcp() {
    let server = server(|question, transport| {
        let mut answer = answer(question, (0..200).map(|n| address("www.example.org.", 9, n)).collect());
        if transport == Transport::Tcp {
            return vec![framed(&answer)];
        }
        answer.answers.clear();
        answer.metadata.truncation = true;
        vec![answer.to_vec().unwrap()]
    })
    .await;
    for transport in ["udp", "tcp"] {
        let output = ask(&server, json!({"transport": transport})).await.unwrap();
        assert_eq!(output["answers"].as_array().unwrap().len(), 200);
        assert_eq!(output["transport"], "tcp");
    }
}

#[tokio::test]
async fn an_answer_that_is_far_longer_than_its_message_is_not_repeated() {
    let long = Name::from_ascii(["a".repeat(60), "b".repeat(60), "c".repeat(60)].join(".")).unwrap();
    for (count, expected) in [(256, "…"), (257, "www.example.org. has more than 256 records MX")] {
        let name = long.clone();
        let server = server(move |question, _| {
            let record = |n| record("www.example.org.", 9, RData::MX(MX::new(n, name.clone())));
            vec![framed(&answer(question, (0..count).map(record).collect()))]
        })
        .await;
        let data = json!({"type": "MX", "transport": "tcp", "expected": ["10 x."]});
        let error = ask(&server, data).await.unwrap_err();
        assert!(error.len() < 800 && error.ends_with(expected), "{error}");
    }
}

#[tokio::test]
async fn messages_that_answer_something_else_are_not_believed() {
    let server = server(|question, _| {
        let right = answer(question, vec![address("www.example.org.", 9, 1)]);
        let (mut of_another, mut to_another, mut no_answer) = (right.clone(), right.clone(), right.clone());
        of_another.metadata.id ^= 1;
        to_another.queries[0].set_name(Name::from_ascii("evil.example.").unwrap());
        no_answer.metadata.message_type = hickory_proto::op::MessageType::Query;
        let wrong = [of_another, to_another, no_answer];
        let mut messages: Vec<Vec<u8>> = wrong.iter().map(|message| message.to_vec().unwrap()).collect();
        messages.extend([Vec::new(), vec![0xff; 100], right.to_vec().unwrap()]);
        messages
    })
    .await;
    assert_eq!(ask(&server, json!({})).await.unwrap()["answers"], json!(["192.0.2.1"]));
}

#[tokio::test]
async fn a_server_with_another_id_a_silent_and_a_talkative_one_are_told_apart() {
    let wrong = server(|question, _| {
        let mut answer = answer(question, vec![address("www.example.org.", 9, 1)]);
        answer.metadata.id ^= 1;
        vec![answer.to_vec().unwrap()]
    })
    .await;
    assert_eq!(
        ask(&wrong, json!({"timeout": 0.9})).await.unwrap_err(),
        "127.0.0.1:PORT has not answered within TIME s, but for a message that does not answer the question"
    );
    let silent = server(|_, _| Vec::new()).await;
    assert_eq!(
        ask(&silent, json!({"timeout": 0.3})).await.unwrap_err(),
        "127.0.0.1:PORT has not answered within TIME s"
    );
    let talkative = server(|_, _| vec![vec![1, 2, 3]; 3_000]).await;
    let error = ask(&talkative, json!({"timeout": 5})).await.unwrap_err();
    assert!(error.contains("messages that do not answer the question"), "{error}");
}

#[tokio::test]
async fn a_question_that_is_lost_is_asked_again() {
    let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let server = server(move |question, _| {
        if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        vec![answer(question, vec![address("www.example.org.", 9, 1)]).to_vec().unwrap()]
    })
    .await;
    let output = ask(&server, json!({})).await.unwrap();
    assert!(output["query_ms"].as_f64().unwrap() >= 1_000.0);
}

#[tokio::test]
async fn answers_over_tcp_that_end_early_or_never_are_told() {
    for (reply, expected) in [
        (Vec::new(), "127.0.0.1:PORT has not answered over TCP: the connection ended too soon"),
        (
            vec![vec![0, 100, 1, 2, 3]],
            "127.0.0.1:PORT has not answered over TCP: the connection ended too soon",
        ),
        (
            vec![vec![0, 2, 1, 2]],
            "the answer of 127.0.0.1:PORT over TCP is no DNS message: unexpected end of input",
        ),
    ] {
        let server = server(move |_, _| reply.clone()).await;
        let error = ask(&server, json!({"transport": "tcp"})).await.unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    // Nobody accepts the connection.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = Server { port, tasks: [tokio::spawn(async {}), tokio::spawn(async {})] };
    assert_eq!(
        ask(&silent, json!({"transport": "tcp", "timeout": 0.3})).await.unwrap_err(),
        "127.0.0.1:PORT has not answered over TCP within TIME s"
    );
    drop(listener);
    let error = ask(&silent, json!({"transport": "tcp"})).await.unwrap_err();
    assert!(error.starts_with("could not connect to 127.0.0.1:PORT: connection refused after"), "{error}");
    let error = ask(&silent, json!({})).await.unwrap_err();
    assert_eq!(error, "127.0.0.1:PORT has no DNS server: connection refused");
}

#[tokio::test]
async fn a_server_that_is_not_allowed_is_not_asked() {
    let network = crate::network::NetworkPolicy::new(Vec::new(), vec!["127.0.0.0/8".parse().unwrap()]);
    let environment = Arc::new(Environment { network, ..Environment::default() });
    let data = serde_json::from_value(json!({"name": "x", "server": "127.0.0.1", "port": 9})).unwrap();
    let failure = execute(data, Context::alone(), environment).await.unwrap_err();
    assert_eq!(failure.to_string(), "this agent does not allow tasks to reach 127.0.0.1");
}

#[tokio::test]
async fn names_are_those_of_domains() {
    let read = |name: &str, kind: &str| {
        let data = serde_json::from_value(json!({"name": name, "type": kind})).unwrap();
        super::name(&data).map(|name| name.to_ascii()).map_err(|failure| failure.to_string())
    };
    assert_eq!(read("example.org", "A").unwrap(), "example.org.");
    assert_eq!(read("_dmarc.Example.org.", "TXT").unwrap(), "_dmarc.Example.org.");
    assert_eq!(read("bücher.example", "A").unwrap(), "xn--bcher-kva.example.");
    assert_eq!(read(".", "NS").unwrap(), ".");
    assert_eq!(read("192.0.2.1", "PTR").unwrap(), "1.2.0.192.in-addr.arpa.");
    for name in ["", "a..b", &"a".repeat(64), &"a.".repeat(200)] {
        let problem = read(name, "A").unwrap_err();
        assert!(
            problem.starts_with("task_data.name: ") && problem.ends_with("is no name of a domain"),
            "{name}"
        );
    }
    let data = serde_json::from_value(json!({"name": "x", "expected": ["192.0.2.1", "x"]})).unwrap();
    let failure = execute(data, Context::alone(), Arc::default()).await.unwrap_err();
    assert_eq!(failure.to_string(), "task_data.expected[1]: \"x\" is no value of a record A");
}

#[tokio::test]
async fn random_bytes_are_no_answer_and_no_end() {
    let server = server(|question, _| {
        let right = answer(question, vec![address("www.example.org.", 9, 1)]).to_vec().unwrap();
        // Each byte of the answer changed, one after the other.
        (12..right.len())
            .map(|index| {
                let mut wrong = right.clone();
                wrong[index] ^= 0xff;
                wrong
            })
            .chain([right.clone()])
            .collect()
    })
    .await;
    let asked = tokio::time::timeout(Duration::from_secs(20), ask(&server, json!({"timeout": 10}))).await;
    // One that still answers the question is believed.
    asked.unwrap().unwrap_or_default();
}

#[tokio::test]
async fn parameters_of_services_are_as_in_a_zone_file() {
    let parameters = vec![
        (SvcParamKey::Alpn, SvcParamValue::Alpn(Alpn(vec!["h2".to_owned(), "h3".to_owned()]))),
        (SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(IpHint(vec![A::new(192, 0, 2, 1)]))),
    ];
    let data = RData::HTTPS(HTTPS(SVCB::new(1, Name::root(), parameters)));
    let server = of(vec![record("www.example.org.", 60, data)]).await;
    for expected in [r#"1 . alpn="h2,h3" ipv4hint=192.0.2.1"#, "1 . alpn=h2,h3 ipv4hint=192.0.2.1"] {
        let data = json!({"type": "HTTPS", "expected": [expected], "only_expected": true});
        let output = ask(&server, data).await.unwrap();
        assert_eq!(output["answers"], json!(["1 . alpn=h2,h3 ipv4hint=192.0.2.1"]));
    }
}
