//! Adds to each operation the errors that it shares with others, and that no handler answers.

use utoipa::Modify;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, Response, ResponseBuilder};

/// What every request passes through refuses some.
pub(super) struct CommonErrors;

impl Modify for CommonErrors {
    fn modify(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
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

fn add(operation: &mut Operation, status: &str, description: &str) {
    let responses = &mut operation.responses.responses;
    responses.entry(status.to_owned()).or_insert_with(|| problem(description).into());
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}
