//! How long a task waits between its attempts.

use std::time::Duration;

use crate::task::Task;

/// No task waits longer for its next attempt.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The delay after the attempt that just ended: doubled with each, at most an hour, and up to a tenth
/// shorter, so that tasks that failed together do not come back together.
///
/// The tenth is made of the task's id: the same task at the same attempt always waits the same time.
pub(super) fn delay(task: &Task) -> Duration {
    let doubled = 2_u32.saturating_pow(task.attempts.saturating_sub(1));
    let longest = task.posted.terms.retry_delay.saturating_mul(doubled).min(LONGEST);
    let mixed = task.posted.task_id.as_u64_pair().1.wrapping_add(u64::from(task.attempts));
    // Multiplying by 2^64 / φ spreads neighbouring numbers over the whole range (Knuth, TAOCP 3, 6.4).
    let share = (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as f64 / f64::from(u32::MAX);
    let micros = longest.as_micros() as f64 * (1.0 - share / 10.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to an hour, to the microsecond"
    )]
    Duration::from_micros(micros as u64)
}
