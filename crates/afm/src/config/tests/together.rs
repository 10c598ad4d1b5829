//! Tests values that depend on each other.

use super::{env, file, secs};

#[test]
fn values_that_do_not_go_together() {
    assert_eq!(
        file("AGENT_ACTIVE_THRESHOLD = 7200").config().agent_drop_threshold,
        secs(7200),
        "a default gives way to what the original's files can say"
    );
    assert_eq!(
        env("AGENT_DROP_THRESHOLD", "0.5").file("AGENT_ACTIVE_THRESHOLD = 1").error(),
        "AGENT_DROP_THRESHOLD (0.5 s, environment variable AGENT_DROP_THRESHOLD) is less than \
         AGENT_ACTIVE_THRESHOLD (1 s, FILE:1): agents would be forgotten before they count as lost"
    );
    assert_eq!(
        file("AGENT_DROP_THRESHOLD = 300").config().agent_drop_threshold,
        secs(300),
        "equal is enough"
    );
    assert_eq!(
        env("AGENT_ACTIVE_THRESHOLD", "30").warnings(),
        ["AGENT_ACTIVE_THRESHOLD (30 s, environment variable AGENT_ACTIVE_THRESHOLD) is less than \
          AGENT_RETURN_TIME (60 s, the default): agents count as lost before they are told to come back"]
    );
    assert_eq!(file("AGENT_ACTIVE_THRESHOLD = 60").config().agent_active_threshold, secs(60));
}
