//! Tests which URLs of collectors are taken.

use super::file;

#[test]
fn only_urls_to_which_spans_can_be_sent_are_taken() {
    let uri = |text: &str| file(format!("OTEL_EXPORTER_OTLP_ENDPOINT = '{text}'"));
    for right in [
        "http://c",
        "http://c:4318",
        "HTTPS://c.example:65535/",
        "http://127.0.0.1:1/a/b/",
        "https://[::1]:4318",
        "http://[::1]/@",
    ] {
        assert_eq!(uri(right).config().otlp_endpoint.as_deref(), Some(right));
    }
    for none in ["", " "] {
        assert_eq!(uri(none).config().otlp_endpoint, None);
    }
    for wrong in [
        "http://",
        "http://:4318",
        "http://c:",
        "http://c:0",
        "http://c:65536",
        "http://c:x",
        "http://[::1",
        "http://afm@c",
        "http://afm:secret@c:4318",
        "http://@c",
        "http://c/?a=b",
        "http://c/#a",
        "http:/c",
        "https:c",
        " http://c",
        "http://ä",
    ] {
        let error = uri(wrong).error();
        assert!(error.contains("OTEL_EXPORTER_OTLP_ENDPOINT: found "), "{wrong}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
