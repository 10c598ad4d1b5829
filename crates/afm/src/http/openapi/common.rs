//! Adds to each operation the errors that it shares with others, and that no handler answers; and how a token is shown.

use utoipa::Modify;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, Response, ResponseBuilder};

use crate::http::access::{RULES, Rule, Verb};

/// What every request passes through refuses some.
pub(super) struct CommonErrors;

impl Modify for CommonErrors {
    fn modify(&self, document: &mut OpenApi) {
        let schemes = [("bearer", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)];
        if let Some(components) = &mut document.components {
            for (name, scheme) in schemes {
                let scheme = HttpBuilder::new().scheme(scheme).description(Some(TOKEN)).build();
                components.add_security_scheme(name, SecurityScheme::Http(scheme));
            }
        }
        for (path, item) in &mut document.paths.paths {
            for operation in with_token(path, item) {
                add(operation, "401", "AUTH_REQUIRED is set, and there is no token, or it is no good");
                add(
                    operation,
                    "403",
                    "The token does not allow this, or a page of another site has sent the request",
                );
                // An empty one: where AUTH_REQUIRED is not set, none is needed.
                let shown = ["bearer", "basic"].map(|name| SecurityRequirement::new(name, [""; 0]));
                operation.security =
                    Some([SecurityRequirement::default()].into_iter().chain(shown).collect());
            }
            let is_guarded = path.starts_with("/api/");
            let changes = [&mut item.post, &mut item.delete].into_iter().flatten();
            for change in changes.filter(|_| is_guarded) {
                add(change, "403", "A page of another site has sent the request");
            }
            for with_body in [&mut item.post, &mut item.delete].into_iter().flatten() {
                if with_body.request_body.is_some() {
                    add(with_body, "413", "The body is larger than MAX_CONTENT_LENGTH");
                }
            }
        }
    }
}

/// What the schemes are for.
const TOKEN: &str = "A token, which `slamon-afm token create` makes; of Basic it is the password, and the user does not matter";

/// The operations of a path that need a token where AUTH_REQUIRED is set.
fn with_token<'a>(path: &str, item: &'a mut PathItem) -> impl Iterator<Item = &'a mut Operation> + use<'a> {
    let rules = RULES.iter().find(|(known, _)| *known == path).map_or(&[][..], |(_, rules)| rules);
    let needs = |verb| rules.iter().any(|(known, rule)| *known == verb && *rule != Rule::Open);
    let [get, post, delete] = [Verb::Get, Verb::Post, Verb::Delete].map(needs);
    let operations = [(get, &mut item.get), (post, &mut item.post), (delete, &mut item.delete)];
    operations.into_iter().filter(|(needs, _)| *needs).filter_map(|(_, operation)| operation.as_mut())
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let responses = &mut operation.responses.responses;
    responses.entry(status.to_owned()).or_insert_with(|| problem(description).into());
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}
