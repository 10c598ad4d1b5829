//! How long a unit took is counted from when it was due.

use std::time::Duration;

use slamon_bench::poll::Poll;

use crate::fake::{Fake, Fault};
use crate::run;

const STALL: Duration = Duration::from_millis(200);

/// On one connection, a poll is due each millisecond for 200 ms. The first takes 200 ms, so that the others wait for it:
/// the one due after n ms for at least 200 - n.
#[test]
fn an_open_loop_sees_what_a_stall_has_kept_waiting() {
    let report = run::<Poll>(Fake::start(Fault::Stalls(STALL)).address, "--count 200 --rate 1000 -c 1");
    assert_eq!((report.done, report.unsent), (200, 0), "{report}");
    assert!(report.latency_us.max >= 199_000.0, "{report}");
    assert!(report.latency_us.p50 >= 99_000.0, "{report}");
}
