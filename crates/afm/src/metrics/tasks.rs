//! Sends what happens to tasks, and which types agents offer, to StatsD.

use slamon_domain::{StateName, Transition};
use slamon_protocol::Capability;
use slamon_store::{Counter, Counters, TaskCounts};

/// Sends the changes of a batch: their numbers, and those of each type with how long it took. `is_named` says
/// whether a change belongs to a type that has figures of its own; all others are called `other`.
pub(crate) fn changed(
    transitions: &[Transition],
    counter_of: impl Fn(&Transition) -> Option<Counter>,
    is_named: &[bool],
) {
    let mut counters = Counters::default();
    for (transition, is_named) in transitions.iter().zip(is_named) {
        let Some(counter) = counter_of(transition) else { continue };
        counters.increment(counter);
        let name = |what: &str| {
            if *is_named {
                type_name("tasks", &transition.task_type, transition.task_version, what)
            } else {
                format!("tasks.other.{what}")
            }
        };
        match transition.to {
            StateName::Claimed => {
                if let Some(queued) = transition.queued_for {
                    metrics::histogram!(name("claimed")).record(queued);
                }
            }
            _ if counter == Counter::Posted => metrics::counter!(name("posted")).increment(1),
            StateName::Completed => {
                metrics::histogram!(name("completed")).record(transition.ran_for.unwrap_or_default());
            }
            StateName::Failed | StateName::Lost | StateName::TimedOut => {
                metrics::histogram!(name("error")).record(transition.ran_for.unwrap_or_default());
            }
            _ => {}
        }
    }
    let get = |counter| counters.get(counter);
    let errors = get(Counter::Failed) + get(Counter::Lost) + get(Counter::TimedOut);
    for (name, count) in [
        ("task.posted", get(Counter::Posted)),
        ("task.claimed", get(Counter::Claimed)),
        ("task.completed", get(Counter::Completed)),
        ("task.failed", get(Counter::Failed)),
        ("tasks.posted", get(Counter::Posted)),
        ("tasks.claimed", get(Counter::Claimed)),
        ("tasks.completed", get(Counter::Completed)),
        ("tasks.error", errors),
        ("tasks.deleted", get(Counter::Cancelled)),
    ] {
        if count > 0 {
            metrics::counter!(name).increment(count);
        }
    }
}

/// The gauges of how many tasks of a type wait and run.
pub(crate) fn counted(capability: &Capability, counts: TaskCounts) -> [(String, i64); 2] {
    let Capability { task_type, version } = capability;
    [("queue", counts.pending), ("processing", counts.claimed)]
        .map(|(what, count)| (type_name("tasks", task_type, *version, what), count))
}

/// The gauge of how many active agents offer a type.
pub(crate) fn offered(capability: &Capability, agents: i64) -> (String, i64) {
    let Capability { task_type, version } = capability;
    (of_type("capability", task_type, *version), agents)
}

/// Builds a name such as `tasks.wait.1.posted`.
fn type_name(of: &str, task_type: &str, version: i64, what: &str) -> String {
    format!("{}.{what}", of_type(of, task_type, version))
}

/// Builds a name such as `capability.wait.1`. What StatsD reserves becomes `_`.
fn of_type(of: &str, task_type: &str, version: i64) -> String {
    let reserved =
        |c: char| matches!(c, ':' | '|' | '@' | '.' | '/' | '#') || c.is_whitespace() || c.is_control();
    let task_type: String = task_type.chars().map(|c| if reserved(c) { '_' } else { c }).collect();
    format!("{of}.{task_type}.{version}")
}

#[cfg(test)]
mod tests {
    use super::type_name;

    #[test]
    fn what_statsd_reserves_is_replaced() {
        for (task_type, name) in [
            ("wait", "tasks.wait.1.posted"),
            ("a.b:c|d@e/f", "tasks.a_b_c_d_e_f.1.posted"),
            ("x\n y\t\u{a0}é", "tasks.x__y__é.1.posted"),
            ("", "tasks..1.posted"),
        ] {
            assert_eq!(type_name("tasks", task_type, 1, "posted"), name);
        }
    }
}
