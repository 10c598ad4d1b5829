//! Each load on every store: all is answered, nothing is lost, nothing comes twice or altered.

use slamon_bench::attack::Attack;
use slamon_bench::backlog::Backlog;
use slamon_bench::batches::Batches;
use slamon_bench::dispatch::Dispatch;
use slamon_bench::fleet::Fleet;
use slamon_bench::life::Life;
use slamon_bench::poll::Poll;
use slamon_bench::read::Read;
use slamon_bench::{Load, Report};

use crate::afm::Afm;
use crate::run;

/// Runs a load on every store; `done` units must be done, and nothing may be wrong.
#[track_caller]
fn on_every_store<L: Load + clap::Args>(arguments: &str, done: u64) -> Vec<Report> {
    let all_is_well = |afm: Afm| {
        let report = run::<L>(afm.address, arguments);
        let shown = format!("{}:\n{report}", afm.name);
        assert!(report.checks.passed(), "{shown}");
        assert!(report.errors.is_empty(), "{shown}");
        assert_eq!((report.refused, report.unsent), (0, 0), "{shown}");
        assert_eq!(report.done, done, "{shown}");
        report
    };
    Afm::on_every_store().map(all_is_well).collect()
}

/// How many requests were answered in the measured part.
fn requests(report: &Report) -> u64 {
    (report.requests_per_second * report.seconds).round() as u64
}

#[test]
fn polls() {
    for report in on_every_store::<Poll>("--count 3000 --agents 100 -c 16", 3_000) {
        assert_eq!((report.kind, report.connections, report.agents), ("closed", 16, 100));
        assert_eq!(requests(&report), 3_000);
    }
}

#[test]
fn polls_on_new_connections() {
    for report in on_every_store::<Poll>("--count 300 --close -c 4", 300) {
        assert!(!report.keep_alive);
    }
}

#[test]
fn polls_at_a_rate() {
    for report in on_every_store::<Poll>("--count 600 --rate 1000 -c 8", 600) {
        assert_eq!((report.kind, report.rate), ("open", Some(1_000.0)));
    }
}

#[test]
fn lives_of_types_of_their_own() {
    for report in on_every_store::<Life>("--count 300 -c 16", 300) {
        assert_eq!(requests(&report), 1_200);
        let steps: Vec<&str> = report.steps.iter().map(|(name, _)| *name).collect();
        assert_eq!(steps, ["post", "claim", "report", "get"]);
    }
}

#[test]
fn lives_of_one_type() {
    on_every_store::<Life>("--shared --count 300 -c 16", 300);
}

#[test]
fn lives_at_a_rate_after_a_warm_up_on_new_connections() {
    on_every_store::<Life>("--shared --count 100 --rate 200 --warm-up 0.2 --close -c 8", 100);
}

#[test]
fn lives_in_batches() {
    for report in on_every_store::<Batches>("--size 100 --count 12 -c 4", 12) {
        assert_eq!(requests(&report), 48);
        let steps: Vec<&str> = report.steps.iter().map(|(name, _)| *name).collect();
        assert_eq!(steps, ["post", "claim", "report", "list"]);
    }
}

#[test]
fn reads_of_one_path() {
    on_every_store::<Read>("--path /api/v1/tasks?state=lost --has next_cursor --count 50", 50);
    for afm in Afm::on_every_store() {
        let report = run::<Read>(afm.address, "--path /api/v1/tasks --has nothing --count 10");
        assert_eq!((report.done, report.errors["read: lacks the text"]), (0, 10), "{report}");
    }
}

#[test]
fn claims_while_others_wait() {
    let arguments = "--stored 2000 --waiting 500 --count 300 -c 8 --drain";
    for report in on_every_store::<Backlog>(arguments, 300) {
        let steps: Vec<&str> = report.steps.iter().map(|(name, _)| *name).collect();
        assert_eq!(steps, ["poll", "claim", "report", "post"]);
    }
}

#[test]
fn claims_among_finished_tasks_of_the_same_type() {
    on_every_store::<Backlog>("--stored 500 --waiting 130 --same-type --count 200 -c 8 --drain", 200);
}

#[test]
fn claims_of_what_was_stored_before() {
    for afm in Afm::on_every_store() {
        run::<Backlog>(afm.address, "--stored 300 --waiting 200 --type before --count 50 -c 4");
        let report = run::<Backlog>(afm.address, "--no-fill --type before --count 300 -c 4");
        assert!(report.checks.passed() && report.errors.is_empty(), "{}:\n{report}", afm.name);
        assert_eq!(report.done, 300);
    }
}

#[test]
fn polls_that_are_held_open() {
    for report in on_every_store::<Dispatch>("--count 20", 20) {
        assert_eq!((report.connections, report.agents), (1, 1));
    }
}

#[test]
fn a_fleet_sends_all_it_should() {
    for report in on_every_store::<Fleet>("--agents 2000 --interval 1 --count 2000 -c 32", 2_000) {
        assert_eq!((report.rate, report.agents), (Some(2_000.0), 2_000));
        assert_eq!(report.arrival.map(|arrival| arrival.agents), Some(2_000));
    }
}

#[test]
fn attacks() {
    for with in ["bodies", "heads", "unread", "lists", "held", "idle"] {
        for report in on_every_store::<Attack>(&format!("--with {with} --attackers 50 --count 50"), 50) {
            assert_eq!((report.load, report.keep_alive), ("attack", false));
        }
    }
}
