//! Paths and methods.

use super::case::{Case, Shown};
use super::http::Request;

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for path in
        ["/task", "/task/", "/tasks", "/tasks/", "/tasks/response", "/dashboard", "/dashboard/", "/status/"]
    {
        for method in METHODS {
            let case = Case::new(format!("{method} {path}"));
            cases.push(case.step("ask", Request::new(method, path)));
        }
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        for path in ["/status", "/dashboard/status", "/static/page.js"] {
            let case = Case::new(format!("{method} {path}"));
            cases.push(case.step("ask", Request::new(method, path)));
        }
    }
    for path in OTHER {
        cases.push(Case::new(format!("GET {path}")).get("ask", path).showing(Shown::Status));
    }
    cases
}

/// Nothing of the original's is at any of these.
const OTHER: [&str; 20] = [
    "/",
    "//",
    "/nothing",
    "/TASK",
    "/Status",
    "//status",
    "/status//",
    "/./status",
    "/status.json",
    "/status/all",
    "/tasks/response/all",
    "/tasks/other",
    "/dashboard/other",
    "/dashboard/dashboard.js",
    "/dashboard/dashboard.css",
    "/static/page.js",
    "/favicon.ico",
    "/healthz",
    "/readyz",
    "/metrics",
];
