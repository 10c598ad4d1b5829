//! An answer with its assertions. One that fails shows the whole answer.

use std::fmt;

use serde_json::Value;

pub(crate) struct Answer {
    /// The request, for messages.
    request: String,
    pub(crate) status: u16,
    /// The headers in the order in which they came, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(super) fn new(request: String, status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        let body = String::from_utf8(body).expect("bodies are UTF-8");
        Self { request, status, headers, body }
    }

    pub(super) fn read(
        request: String,
        answer: ureq::http::Response<ureq::Body>,
    ) -> Result<Self, ureq::Error> {
        let (head, mut body) = answer.into_parts();
        let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
            (name.to_string(), value.to_str().expect("headers are ASCII").to_owned())
        };
        let headers = head.headers.iter().map(header).collect();
        let body = body.with_config().limit(u64::MAX).read_to_vec()?;
        Ok(Self::new(request, head.status.as_u16(), headers, body))
    }

    /// Returns a header, which must come once at most.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} comes more than once: {self:?}");
        value
    }

    /// Returns the names of its headers, sorted.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Asserts that it is 200 with this JSON, to the byte.
    #[track_caller]
    pub(crate) fn is_json(&self, text: &str) {
        self.json();
        assert_eq!(self.body, text, "{self:?}");
    }

    /// Asserts that it is 200 with JSON, and returns that.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"), "{self:?}");
        self.body.parse().unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it is 200 without a body.
    #[track_caller]
    pub(crate) fn is_empty(&self) {
        assert_eq!((self.status, self.body.as_str()), (200, ""), "{self:?}");
        assert_eq!(self.header("content-type"), None, "{self:?}");
    }

    /// Asserts that it is 200 without a body, and that the connection closes after it.
    #[track_caller]
    pub(crate) fn is_empty_and_last(&self) {
        self.is_empty();
        assert_eq!(self.header("connection"), Some("close"), "{self:?}");
    }

    /// Asserts that it is a problem with this status and `detail`. If the detail begins with the name of a
    /// field, `field` has it, too.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, detail: &str) {
        let problem = self.problem(status);
        assert_eq!(problem["detail"], detail, "{self:?}");
        let field = detail.split_once(": ").map(|(field, _)| field).filter(|field| *field != "request body");
        assert_eq!(problem.get("field").and_then(Value::as_str), field, "{self:?}");
    }

    /// Asserts that it is a problem with this status, and returns the body.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json; charset=utf-8"), "{self:?}");
        let problem: Value = self.body.parse().unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(problem["type"], "about:blank", "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{self:?}");
        problem
    }

    /// Asserts that it is a 503 that says when to try again.
    #[track_caller]
    pub(crate) fn is_try_again(&self) {
        self.problem(503);
        assert_eq!(self.header("retry-after"), Some("1"), "{self:?}");
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.request, self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", self.body)
    }
}
