//! slamon-afm 1.1.0 and our server get the same requests. Wherever their answers differ,
//! [`differences::DIFFERENCES`] or [`additions::ADDITIONS`] must say so.
//!
//! Status and JSON values are compared, not bytes. Error bodies may differ. The original lists tasks in no
//! fixed order, so lists of tasks and agents are compared without regard to order.

mod additions;
mod agent;
mod answer;
mod bodies;
mod bpms;
mod case;
mod compatibility;
mod dashboard;
mod difference;
mod differences;
mod http;
mod paths;
mod response;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::thread;

use slamon_testbed::{AfmProcess, OriginalAfm};

use crate::test_app::Place;
use additions::{ADDITIONS, shows};
use answer::ComparedAnswer;
use case::{Case, Step};
use difference::{On, Seen};
use differences::DIFFERENCES;

/// Returns all requests, in the order in which they are sent. Those about all agents and tasks come first,
/// while there are none.
fn cases() -> Vec<Case> {
    [dashboard::cases(), paths::cases(), bodies::cases(), bpms::cases(), agent::cases(), response::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// A request that was answered differently.
struct Found {
    request: String,
    original: ComparedAnswer,
    ours: ComparedAnswer,
}

fn compare(original: SocketAddr, ours: SocketAddr) -> Vec<Found> {
    let answers = |server| {
        let answers = |case: &Case| {
            let answer = |step: &Step| {
                let response = http::send(server, &case.fill_in(&step.request));
                for addition in ADDITIONS {
                    let is_ours = server == ours;
                    let request = format!("{} > {}", case.name, step.label);
                    let shown = shows(addition, &response.body);
                    assert!(is_ours || !shown, "{}: the original has it in {request}", addition.name);
                    assert!(
                        !is_ours || shown || request != addition.seen,
                        "{} is added no more",
                        addition.name
                    );
                }
                ComparedAnswer::of(case, step, &response)
            };
            case.steps.iter().map(answer).collect::<Vec<_>>()
        };
        cases().iter().flat_map(answers).collect::<Vec<_>>()
    };
    // Each server gets the requests one after the other; the two servers run side by side.
    let (of_original, of_ours) = thread::scope(|scope| {
        let of_original = scope.spawn(|| answers(original));
        let of_ours = answers(ours);
        (of_original.join().expect("the original answers"), of_ours)
    });
    requests()
        .into_iter()
        .zip(of_original.into_iter().zip(of_ours))
        .filter(|(_, (original, ours))| original != ours)
        .map(|(request, (original, ours))| Found { request, original, ours })
        .collect()
}

/// Returns the names of all requests.
fn requests() -> Vec<String> {
    let names = |case: &Case| {
        case.steps.iter().map(|step| format!("{} > {}", case.name, step.label)).collect::<Vec<_>>()
    };
    cases().iter().flat_map(names).collect()
}

/// Describes what of `found` is not allowed on this database, and what is allowed and was not found.
fn complaints(found: &[Found], on: On) -> String {
    let mut complaints = String::new();
    let allowed: Vec<&Seen> = DIFFERENCES
        .iter()
        .flat_map(|difference| difference.seen)
        .filter(|seen| seen.on == On::Both || seen.on == on)
        .collect();
    for Found { request, original, ours } in found {
        let is_this = |seen: &&Seen| {
            seen.request == request && original.as_str() == seen.original && ours.as_str() == seen.ours
        };
        if !allowed.iter().any(is_this) {
            let _ = writeln!(complaints, "differs: {request}\n  original: {original}\n  ours:     {ours}");
        }
    }
    for seen in allowed {
        if !found.iter().any(|difference| difference.request == seen.request) {
            let _ = writeln!(complaints, "differs no more: {}", seen.request);
        }
    }
    complaints
}

#[track_caller]
fn differ_only_as_allowed(of_original: &Place, of_ours: &Place, on: On) {
    let original = OriginalAfm::start(&of_original.uri(), &[]).expect("the original runs");
    let ours = AfmProcess::start(
        env!("CARGO_BIN_EXE_slamon-afm").as_ref(),
        &["--database-uri", &of_ours.uri()],
        &[],
        None,
    );
    let original = original.url().trim_start_matches("http://").parse().expect("an address");
    let complaints = complaints(&compare(original, ours.address()), on);
    assert!(complaints.is_empty(), "on {on:?}:\n{complaints}");
}

#[test]
fn on_sqlite() {
    differ_only_as_allowed(&Place::file(), &Place::file(), On::Sqlite);
}

#[test]
fn on_postgresql() {
    differ_only_as_allowed(&Place::postgres(), &Place::postgres(), On::Postgresql);
}

/// A name that is given twice would hide a request.
#[test]
fn every_request_has_its_own_name() {
    let mut names = BTreeSet::new();
    for name in requests() {
        assert!(names.insert(name.clone()), "{name} is there twice");
    }
}
