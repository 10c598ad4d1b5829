//! Weighs the commands that wait: the data that they carry, and what the store has to do with it.

use std::mem::size_of;

use slamon_domain::{Command, KindCursor, Operation, PauseTarget};
use slamon_protocol::{PollRequest, TaskOutcome};

/// The commands that wait may have this many KiB together.
pub(super) const QUEUE_KIB: u32 = 64 * 1_024;

/// A capability weighs this many bytes beside its name: it is looked for among the waiting tasks, and written
/// to a table of its own with two indexes.
const CAPABILITY: usize = 256;

/// Returns the weight of a command in KiB: one for its request, and what it carries. It is never more than
/// the queue takes.
pub(super) fn kib(command: &Command) -> u32 {
    let bytes = match command {
        Command::Submit(task) => {
            task.task_type.len()
                + task.terms.agent_filter.text_bytes()
                + task.task_data.as_ref().map_or(0, |data| data.as_str().len())
                + task.posted_by.as_ref().map_or(0, String::len)
        }
        Command::Report(result) => match &result.outcome {
            TaskOutcome::Completed(text) | TaskOutcome::Failed(text) => text.as_str().len(),
        },
        Command::Poll { poll, kinds, running } => {
            let running = running.as_ref().map_or(0, |running| size_of_val(running.aliases.as_slice()));
            poll_bytes(poll) + kinds.as_deref().map_or(0, kinds_bytes) + running
        }
        Command::Claim { poll, kinds } => poll_bytes(poll) + kinds_bytes(kinds),
        Command::Seen(agents) => size_of_val(agents.as_slice()),
        Command::Release { task_ids, cancelled, .. } => {
            size_of_val(task_ids.as_slice()) + size_of_val(cancelled.as_slice())
        }
        Command::Operate(Operation::Pause(target) | Operation::Resume(target)) => match target {
            PauseTarget::Agent(_) => 0,
            PauseTarget::Type(task_type) => task_type.len(),
            PauseTarget::Version(capability) => capability.task_type.len(),
        },
        Command::Cancel(_) | Command::Sweep(_) | Command::Operate(Operation::Forget(_)) => 0,
    };
    u32::try_from(bytes / 1_024 + 1).unwrap_or(QUEUE_KIB).min(QUEUE_KIB)
}

fn poll_bytes(poll: &PollRequest) -> usize {
    let offers = poll.agent_capabilities.iter();
    poll.agent_name.len() + offers.map(|offer| CAPABILITY + offer.task_type.len()).sum::<usize>()
}

fn kinds_bytes(kinds: &[KindCursor]) -> usize {
    kinds.iter().map(|KindCursor { kind, .. }| size_of::<KindCursor>() + kind.text_bytes()).sum()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use slamon_domain::{Running, WaitingKind};
    use slamon_protocol::{AgentFilter, Capability, Limits, PostTask};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn everything_that_a_command_carries_is_counted() {
        let limits = Limits { name_bytes: usize::MAX, capabilities: usize::MAX };
        let id = "de305d54-75b4-431b-adb2-eb6b9e546013";
        let task = |task_type: &str, filter: &str, data: &str| {
            let body = format!(
                r#"{{"task_id":"{id}","test_id":"{id}","task_type":"{task_type}","task_version":1,
                    "agent_filter":{{{filter}}},"task_data":{{{data}}}}}"#
            );
            kib(&Command::Submit(PostTask::parse_within(&body, &limits).unwrap()))
        };
        let poll = |name: &str, offers: usize| {
            let offers: Vec<String> = (0..offers).map(|n| format!(r#""type {n}":{{"version":1}}"#)).collect();
            let body = format!(
                r#"{{"protocol":1,"agent_id":"{id}","agent_name":"{name}","agent_time":"","max_tasks":1,
                    "agent_capabilities":{{{}}}}}"#,
                offers.join(",")
            );
            PollRequest::parse_within(&body, &limits).unwrap()
        };
        let long = "x".repeat(100 * 1_024);
        assert_eq!(task("t", "", ""), 1);
        assert_eq!(task(&long, "", ""), 101);
        assert_eq!(task("t", "", &format!(r#""x":"{long}""#)), 101);
        assert_eq!(task("t", &format!(r#""agent_name":"{long}""#), ""), 101);
        let body = format!(r#"{{"task_id":"{id}","test_id":"{id}","task_type":"t","task_version":1}}"#);
        let posted = PostTask { posted_by: Some(long.clone()), ..PostTask::parse(&body).unwrap() };
        assert_eq!(kib(&Command::Submit(posted)), 101);
        assert_eq!(kib(&Command::from(poll("", 0))), 1);
        assert_eq!(kib(&Command::from(poll(&long, 0))), 101);
        assert!((250..300).contains(&kib(&Command::from(poll("", 1_000)))));
        let poll = poll("", 0);
        let capability = Capability { task_type: long, version: 1 };
        let kinds = vec![KindCursor::from(WaitingKind { capability, agent_filter: AgentFilter::default() })];
        assert_eq!(kib(&Command::Claim { poll: poll.clone(), kinds: kinds.clone() }), 101);
        let running = Running { aliases: vec![Uuid::nil(); 1_000], until: Timestamp::UNIX_EPOCH };
        assert_eq!(kib(&Command::Poll { poll: poll.clone(), kinds: Some(kinds), running: None }), 101);
        assert_eq!(kib(&Command::Poll { poll, kinds: None, running: Some(running) }), 16);
    }
}
