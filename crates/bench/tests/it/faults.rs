//! What a server does wrong is found out.

use slamon_bench::life::Life;
use slamon_bench::poll::Poll;
use slamon_bench::{Checks, Report};

use crate::fake::{Fake, Fault};
use crate::run;

fn lives(fault: Fault) -> Report {
    run::<Life>(Fake::start(fault).address, "--shared --count 200 -c 4")
}

#[test]
fn a_server_without_fault_passes() {
    for arguments in ["--count 200 -c 4", "--shared --count 200 -c 4"] {
        let report = run::<Life>(Fake::start(Fault::None).address, arguments);
        assert_eq!(report.checks, Checks::default(), "{report}");
        assert_eq!((report.done, report.errors.len()), (200, 0), "{report}");
    }
}

#[test]
fn tasks_that_are_handed_out_twice_are_found() {
    let report = lives(Fault::Twice);
    assert_eq!(report.checks, Checks { twice: 20, ..Checks::default() }, "{report}");
}

#[test]
fn tasks_that_are_lost_are_found() {
    let report = lives(Fault::Loses);
    assert_eq!(report.checks, Checks { lost: 20, ..Checks::default() }, "{report}");
}

#[test]
fn data_that_is_altered_is_found() {
    let report = lives(Fault::AltersData);
    assert_eq!(report.checks, Checks { altered: 20, ..Checks::default() }, "{report}");
}

#[test]
fn ids_that_are_altered_are_found() {
    let report = lives(Fault::AltersId);
    // The same wrong id again and again; and the right ones never come.
    assert_eq!(report.checks, Checks { lost: 20, twice: 19, altered: 1 }, "{report}");
}

#[test]
fn results_that_are_altered_are_found() {
    let report = lives(Fault::AltersResult);
    assert_eq!(report.checks, Checks { altered: 20, ..Checks::default() }, "{report}");
}

#[test]
fn a_refused_life_is_given_up_and_nothing_of_it_is_lost() {
    let report = lives(Fault::Refuses);
    assert!(report.refused > 50, "{report}");
    assert_eq!(report.done + report.refused, 200, "{report}");
    assert_eq!((report.checks, report.errors.len()), (Checks::default(), 0), "{report}");
}

#[test]
fn broken_connections_are_counted_and_the_run_goes_on() {
    let report = run::<Poll>(Fake::start(Fault::HangsUp).address, "--count 200 -c 4");
    assert_eq!((report.done, report.refused), (180, 0), "{report}");
    let errors: Vec<(&str, u64)> = report.errors.iter().map(|(why, times)| (why.as_str(), *times)).collect();
    assert_eq!(errors, [("poll: connection closed without an answer", 20)], "{report}");
}
