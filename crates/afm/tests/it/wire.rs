//! Tests what the server answers, resource by resource.

mod agent;
mod attempts;
mod bodies;
mod bounds;
mod bpms;
mod cancel;
mod dashboard;
mod dispatch_cache;
mod headers;
mod health;
mod held;
mod lives;
mod lost;
mod overview_page;
mod page_answers;
mod pages;
mod paths;
mod response;
mod running;
mod several_results;
mod status;
mod terms;
mod verbatim;
mod waiting;
