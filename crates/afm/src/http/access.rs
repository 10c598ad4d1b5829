//! Decides whether a request may do what it asks for: by its token, and by the rule of its path.

mod caller;
mod credentials;
mod rules;

use axum::extract::{MatchedPath, Request};
use slamon_domain::{Right, Role};

pub(in crate::http) use caller::Caller;

use crate::access::{Refused, token_text};
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::request_log;
pub(in crate::http) use rules::RulesByRoute;
pub use rules::{RULES, Rule, Verb};

/// What is asked of requests without a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccessSettings {
    /// `AUTH_REQUIRED`: whether all need one, where the rule of their path does not let everybody in.
    pub required: bool,
    /// `SHARED_READ`: whether those that only read need none all the same.
    pub shared_read: bool,
}

/// Checks that a request may do what it asks for, and notes in it who sends it.
pub(super) async fn check(app: &App, rules: &RulesByRoute, request: &mut Request) -> Result<(), ApiError> {
    let Some(route) = request.extensions().get::<MatchedPath>() else {
        // No path, no handler: it is told so.
        return Ok(());
    };
    let (headers, method) = (request.headers(), request.method());
    let settings = app.settings.access;
    let rule = rules.of(route.as_str(), method).ok_or(ApiError::WrongMethod)?;
    let text = credentials::token(headers)?;
    let Some(text) = text.filter(|text| settings.required || token_text::is_meant(text)) else {
        return anyone(settings, rule);
    };
    let Rule::Needs(right) = rule else { return Ok(()) };
    let held = app.tokens.find(&text, app.clock.now()).await.map_err(|refused| match refused {
        Refused::Unknown => ApiError::Unauthenticated("there is no such token"),
        Refused::Expired => ApiError::Unauthenticated("the token has expired"),
        Refused::Revoked => ApiError::Unauthenticated("the token was revoked"),
        Refused::NotRead => ApiError::TryAgain("the tokens could not be read from the database".to_owned()),
    })?;
    request_log::bearer(&held);
    if !held.token.role.has(right) {
        return Err(ApiError::Forbidden(format!(
            "a token of the role {} may not {}",
            held.token.role,
            words(right)
        )));
    }
    request.extensions_mut().insert(Caller::of(held));
    Ok(())
}

/// Checks a request without a token.
fn anyone(settings: AccessSettings, rule: Rule) -> Result<(), ApiError> {
    match rule {
        Rule::Open => Ok(()),
        Rule::Needs(_) if !settings.required => Ok(()),
        Rule::Needs(right) if settings.shared_read && Role::Viewer.has(right) => Ok(()),
        Rule::Needs(_) => Err(ApiError::Unauthenticated("a token is required")),
    }
}

/// What a right is for, after "may not".
fn words(right: Right) -> &'static str {
    match right {
        Right::Execute => "poll for tasks or report results",
        Right::Post => "post tasks",
        Right::PostByHand => "post tasks on the dashboard",
        Right::ReadTask => "read tasks",
        Right::CancelTask => "cancel tasks",
        Right::Read => "read lists and figures",
        Right::Operate => "change tasks, agents or types",
    }
}
