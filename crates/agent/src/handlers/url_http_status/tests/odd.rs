//! Hosts of all alphabets, and servers that redirect to odd places.

use super::{are_taken_apart_alike, compare, urls};
use crate::network::test_server::{TestServer, answer, path};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_all_alphabets_are_read_as_by_requests() {
    #[rustfmt::skip]
    let hosts = [
        "bücher.example", "BÜCHER.example", "faß.example", "FASS.example", "straße.de", "日本語.example", "例え。テスト",
        "пример.испытание", "παράδειγμα.δοκιμή", "βόλος.com", "ΒΌΛΟΣ.com", "مثال.إختبار", "דוגמה.טעסט", "א1.example",
        "1א.example", "א-.example", "उदाहरण.परीक्षा", "क्‍ष.example", "نامه‌ای.com", "a‌b.example", "☃.net", "💩.la", "♥.example", "ａｂｃ.example", "①.example", "ﬁ.example",
        "Å.example", "Å.example", "a\u{30a}.example", "\u{30a}a.example", "ü-.example", "-ü.example", "ab--ü.example",
        "xn--bcher-kva.example", "XN--BCHER-KVA.example", "xn--bcher-kva.ü.example", "xn--ü.example", "xn--zz.ü.example",
        "xn--a.ü.example", "ü_x.example", "ü x.example", "ü..example", "ü.", "ü.example.", ".ü", "ü。x", "ü．x", "ü｡x", "..ü",
        "l·l.example", "a·b.example", "͵α.example", "א׳.example", "カ・タ.example", "・.example", "٠١.example", "۰۱.example", "٠۱.example",
        "\u{ad}ü.example", "ü\u{200b}.example", "ü\u{feff}x.example", "\u{e000}.example", "\u{10ffff}.example", "ü\u{fffd}.example",
        "١٢٧.٠.٠.١", "１２７.０.０.１", "ı.example", "İ.example", "ẞ.example", "ς.example", "\u{2260}.example", "℀.example", "ü%41.example", "㋿.example",
    ];
    let mut texts: Vec<String> = hosts.iter().map(|host| format!("http://{host}/")).collect();
    texts.extend(hosts.iter().map(|host| format!("https://u:p@{host}:8080/x")));
    texts.push(format!("http://{}.example/", "ü".repeat(60)));
    texts.push(format!("http://{}/", ["ü"; 60].join(".")));
    are_taken_apart_alike(&texts).await;
}

/// An answer whose head is as it is given.
fn redirect(status: &str, location: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\nLocation:");
    [head.as_bytes(), location, b"\r\n\r\n"].concat()
}

fn odd_answer(request: &str) -> Vec<u8> {
    let to = |location: &str| redirect("302 Found", location.as_bytes());
    let path = path(request);
    let at = request
        .lines()
        .find_map(|line| line.strip_prefix("Host: ").or(line.strip_prefix("host: ")))
        .unwrap_or_default();
    match path {
        "/300" => redirect("300 Multiple Choices", b" /end"),
        "/301" => redirect("301 Moved", b" /end"),
        "/304" => redirect("304 Not Modified", b" /end"),
        "/305" => redirect("305 Use Proxy", b" /end"),
        "/306" => redirect("306 Unused", b" /end"),
        "/310" => redirect("310 Odd", b" /end"),
        "/201" => redirect("201 Created", b" /end"),
        "/spaces" => to("  \t/end"),
        "/within" => to(" /e nd"),
        "/utf-8" => to(" /ü?ü=€#ü"),
        "/utf-8-end" => redirect("302 Found", b" /x\xe2\x82"),
        "/utf-8-broken" => redirect("302 Found", b" /x\xe2\x82x"),
        "/utf-8-start" => redirect("302 Found", b" /x\xff"),
        "/utf-8-surrogate" => redirect("302 Found", b" /x\xed\xa0\x80"),
        "/no-port" => to(" http://127.0.0.1:abc/"),
        "/minus-port" => to(" http://127.0.0.1:-1/"),
        "/slashes" => to(" ///end"),
        "/https-no-host" => to(" https:///end"),
        "/HTTP-no-host" => to(" HTTP:///end?x"),
        "/latin-1" => redirect("302 Found", b" /\xfc\xe9"),
        "/escaped" => to(" /%C3%BC%zz%2f%7e"),
        "/query" => to(" ?a=b"),
        "/fragment" => to(" #x"),
        "/dots" => to(" ../../end/./x/.."),
        "/backslash" => to(" \\end"),
        "/host" => to(&format!(" //{at}/end")),
        "/user" => to(&format!(" http://u:p@{at}/who")),
        "/upper" => to(&format!(" HTTP://{at}/end")),
        "/port" => to(" http://127.0.0.1:99999/"),
        "/closed" => to(" http://127.0.0.1:1/ü x?y#z"),
        "/closed-tls" => to(" https://127.0.0.1:1/"),
        "/no-host" => to(" http:///end"),
        "/one-slash" => to(" http:/end"),
        "/no-slash" => to(" http:end"),
        "/mail" => to(" mailto:a@b"),
        "/script" => to(" javascript:alert(1)"),
        "/unicode" => to(" http://nowhere-ü.invalid/x"),
        "/dotted" => to(" http://.a/"),
        "/bracket" => to(" http://[::1/"),
        "/star" => to(" http://*.a/"),
        "/two" => b"HTTP/1.1 302 Found\r\nLocation: /end\r\nLocation: /who\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
        "/twice" => to(" /301"),
        "/who" if request.to_ascii_lowercase().contains("authorization: basic dtpw\r\n") => answer("202 Known", &[], b""),
        "/who" => answer("401 Unauthorized", &[], b""),
        "/cookies" => answer("302 Found", &[("Location", "/told"), ("Set-Cookie", "a=1; Max-Age=0"), ("Set-Cookie", "b=\"x y\"; HttpOnly")], b""),
        "/told" if request.contains("b=\"x y\"\r\n") && !request.contains("a=1") => answer("200 OK", &[], b""),
        "/told" => answer("400 Bad", &[], b""),
        "/fragment-end" | "/end" => answer("203 Ended", &[], b"end"),
        "/long" => answer("200 OK", &[("X-Long", &"x".repeat(60_000))], b""),
        "/no-length" => b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec(),
        "/lengths" => b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
        "/more" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nabc".to_vec(),
        "/empty-chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
        "/trailers" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\nX-End: 1\r\n\r\n".to_vec(),
        "/205" => answer("205 Reset Content", &[], b""),
        "/599" => answer("599 Odd", &[], b""),
        _ => answer("404 Not Found", &[("X-Path", "?")], path.as_bytes()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_redirects_and_answers_are_followed_as_by_the_python_agent() {
    let server = TestServer::start(odd_answer).await;
    #[rustfmt::skip]
    let paths = [
        "/300", "/301", "/304", "/305", "/306", "/310", "/201", "/spaces", "/within", "/utf-8", "/latin-1", "/utf-8-end", "/utf-8-broken", "/utf-8-start", "/utf-8-surrogate", "/no-port", "/minus-port", "/slashes", "/https-no-host", "/HTTP-no-host", "/escaped", "/query", "/fragment",
        "/dots", "/backslash", "/host", "/user", "/upper", "/port", "/closed", "/closed-tls", "/no-host", "/one-slash", "/no-slash", "/mail",
        "/script", "/unicode", "/dotted", "/bracket", "/star", "/two", "/twice", "/who", "/cookies", "/long", "/no-length", "/lengths", "/more",
         "/empty-chunked", "/trailers", "/205", "/599",
    ];
    let texts: Vec<String> = paths.iter().map(|path| server.url(path)).collect();
    let cases = urls(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    compare(cases, &[]).await;
    // What both have asked for is the same, too.
    let lines: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.lines().next().unwrap_or_default().to_owned())
        .collect();
    let (by_python, by_us) = lines.split_at(lines.len() / 2);
    assert_eq!(by_python, by_us);
}
