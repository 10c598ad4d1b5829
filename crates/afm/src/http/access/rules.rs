//! What each path needs. A path, or a method of it, that is not in here is served to nobody.

use std::collections::HashMap;

use axum::http::Method;
use slamon_domain::Right;

use Right::{CancelTask, Execute, Operate, Post, PostByHand, Read, ReadTask};
use Rule::{Needs, Open};

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Nothing: everybody may send it.
    Open,
    /// A token with this right, where tokens are required.
    Needs(Right),
}

/// The method of a request. HEAD counts as GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET and HEAD.
    Get,
    /// POST.
    Post,
    /// DELETE.
    Delete,
}

impl Verb {
    fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Post),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    /// The name of the method.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// The rules of a path, by method.
type PathRules = &'static [(Verb, Rule)];

const OPEN: PathRules = &[(Verb::Get, Open)];
const READ: PathRules = &[(Verb::Get, Needs(Read))];
const READ_TASK: PathRules = &[(Verb::Get, Needs(ReadTask))];
const OPERATE: PathRules = &[(Verb::Post, Needs(Operate))];

/// All paths, without a slash at their end.
pub const RULES: &[(&str, PathRules)] = &[
    // Protocol 1: process engines and agents.
    ("/task", &[(Verb::Post, Needs(Post))]),
    ("/task/{task_id}", &[(Verb::Get, Needs(ReadTask)), (Verb::Delete, Needs(CancelTask))]),
    ("/tasks", &[(Verb::Post, Needs(Execute))]),
    ("/tasks/response", &[(Verb::Post, Needs(Execute))]),
    ("/status", READ),
    ("/dashboard/status", READ),
    // The probes of supervisors and proxies tell no more than that the server is there.
    ("/healthz", OPEN),
    ("/readyz", OPEN),
    ("/metrics", READ),
    // The management API.
    ("/api/v1/agents", READ),
    ("/api/v1/agents/{agent_id}", &[(Verb::Get, Needs(Read)), (Verb::Delete, Needs(Operate))]),
    ("/api/v1/agents/{agent_id}/pause", OPERATE),
    ("/api/v1/agents/{agent_id}/resume", OPERATE),
    ("/api/v1/events", READ),
    ("/api/v1/locations", READ),
    ("/api/v1/overview", READ),
    ("/api/v1/tasks", &[(Verb::Get, Needs(Read)), (Verb::Post, Needs(Post))]),
    ("/api/v1/tasks/cancel", OPERATE),
    ("/api/v1/tasks/retry", OPERATE),
    ("/api/v1/tasks/{task_id}", READ_TASK),
    ("/api/v1/tasks/{task_id}/cancel", &[(Verb::Post, Needs(CancelTask))]),
    ("/api/v1/tasks/{task_id}/retry", OPERATE),
    ("/api/v1/tests/{test_id}", READ),
    ("/api/v1/types", READ),
    ("/api/v1/types/{task_type}/{task_version}", READ),
    ("/api/v1/types//{task_version}", READ),
    ("/api/v1/types/{task_type}/pause", OPERATE),
    ("/api/v1/types/{task_type}/resume", OPERATE),
    ("/api/v1/types/{task_type}/{task_version}/pause", OPERATE),
    ("/api/v1/types/{task_type}/{task_version}/resume", OPERATE),
    ("/api/v1/types//pause", OPERATE),
    ("/api/v1/types//resume", OPERATE),
    ("/api/v1/types//{task_version}/pause", OPERATE),
    ("/api/v1/types//{task_version}/resume", OPERATE),
    // What the API is like is no secret: it is in the source.
    ("/api/v1/openapi.json", OPEN),
    ("/api/docs", OPEN),
    ("/api/docs.css", OPEN),
    // The dashboard.
    ("/", OPEN),
    ("/dashboard/dashboard.css", OPEN),
    ("/dashboard/dashboard.js", OPEN),
    ("/dashboard/icon.svg", OPEN),
    ("/dashboard", READ),
    ("/dashboard/events", READ),
    ("/dashboard/search", READ),
    ("/dashboard/tasks", READ),
    ("/dashboard/tasks/{task_id}", READ),
    ("/dashboard/tasks/{task_id}/data", READ),
    ("/dashboard/tasks/{task_id}/result", READ),
    ("/dashboard/tasks/{task_id}/error", READ),
    ("/dashboard/tasks/{task_id}/cancel", OPERATE),
    ("/dashboard/tasks/{task_id}/again", &[(Verb::Post, Needs(PostByHand))]),
    ("/dashboard/bulk", OPERATE),
    ("/dashboard/bulk/confirmed", OPERATE),
    ("/dashboard/post", &[(Verb::Get, Needs(PostByHand)), (Verb::Post, Needs(PostByHand))]),
    ("/dashboard/tests/{test_id}", READ),
    ("/dashboard/agents", READ),
    ("/dashboard/agents/places", READ),
    ("/dashboard/agents/{agent_id}", READ),
    ("/dashboard/agents/{agent_id}/pause", OPERATE),
    ("/dashboard/agents/{agent_id}/resume", OPERATE),
    ("/dashboard/agents/{agent_id}/forget", OPERATE),
    ("/dashboard/types", READ),
    ("/dashboard/types/one", READ),
    ("/dashboard/types/{task_type}/{task_version}", READ),
    ("/dashboard/types/pause", OPERATE),
    ("/dashboard/types/resume", OPERATE),
];

/// The rules of all routes, as the router names these.
#[derive(Debug, Default)]
pub(in crate::http) struct RulesByRoute(HashMap<String, PathRules>);

impl RulesByRoute {
    /// Notes that a route belongs to a path. A path without rules is served to nobody.
    pub(in crate::http) fn add(&mut self, route: &str, path: &str) {
        if let Some((_, rules)) = RULES.iter().find(|(known, _)| *known == path) {
            self.0.insert(route.to_owned(), rules);
        }
    }

    /// Returns what a request needs; `None` if nobody is served.
    pub(super) fn of(&self, route: &str, method: &Method) -> Option<Rule> {
        let (rules, verb) = (self.0.get(route)?, Verb::of(method)?);
        rules.iter().find(|(known, _)| *known == verb).map(|(_, rule)| *rule)
    }

    /// Returns the methods of a route that are served, as the header Allow has them.
    pub(in crate::http) fn allowed(&self, route: &str) -> String {
        let rules = self.0.get(route).copied().unwrap_or_default();
        let names = rules.iter().map(|(verb, _)| if *verb == Verb::Get { "GET,HEAD" } else { verb.name() });
        names.collect::<Vec<_>>().join(",")
    }
}
