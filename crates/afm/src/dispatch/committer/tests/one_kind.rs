//! Small batches of one kind of command.

use slamon_domain::Command;
use slamon_protocol::ResultPost;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{poll, task};
use crate::dispatch::committer::one_kind::move_to_front;
use crate::dispatch::committer::queued::{QueuedCommand, ReplyTo};

pub(super) fn result(n: u128) -> ResultPost {
    let task_id = Uuid::from_u128(n);
    ResultPost::parse(&format!(r#"{{"protocol": 1, "task_id": "{task_id}", "task_data": {{}}}}"#)).unwrap()
}

fn queued(command: Command) -> QueuedCommand {
    // Nobody waits for the reply.
    QueuedCommand::new(command, ReplyTo::Seen(oneshot::channel().0), None)
}

fn claim(n: u128) -> Command {
    Command::Claim { poll: poll(n), kinds: Vec::new() }
}

fn taken(commands: Vec<Command>, below: usize) -> (Vec<Command>, Vec<Command>) {
    let mut commands: Vec<QueuedCommand> = commands.into_iter().map(queued).collect();
    let length = move_to_front(&mut commands, below);
    let mut batch: Vec<Command> = commands.into_iter().map(|queued| queued.command).collect();
    let rest = batch.split_off(length);
    (batch, rest)
}

#[test]
fn the_kind_that_has_waited_longest_goes_first_and_the_rest_keeps_its_order() {
    let [one, two] = [1, 2].map(|n| Command::Submit(task(n)));
    let report = Command::Report(result(3));
    let commands = vec![claim(1), one.clone(), report.clone(), claim(2), two.clone(), claim(3)];
    let (batch, rest) = taken(commands, 100);
    assert_eq!(batch, [claim(1), claim(2), claim(3)]);
    assert_eq!(rest, [one, report, two]);
}

#[test]
fn what_comes_rarely_goes_with_the_next_batch() {
    let cancel = Command::Cancel(Uuid::from_u128(1));
    let report = Command::Report(result(3));
    let (batch, rest) = taken(vec![cancel.clone(), report.clone(), claim(1), cancel.clone()], 100);
    assert_eq!(batch, [cancel.clone(), report, cancel]);
    assert_eq!(rest, [claim(1)]);
}

#[test]
fn few_and_many_commands_stay_together() {
    let three = vec![claim(1), Command::Report(result(3)), claim(2)];
    assert_eq!(taken(three.clone(), 100), (three, vec![]));
    let four = vec![claim(1), Command::Report(result(3)), claim(2), claim(3)];
    assert_eq!(taken(four.clone(), 4), (four.clone(), vec![]));
    let rare = vec![Command::Cancel(Uuid::from_u128(1)); 5];
    assert_eq!(taken(rare.clone(), 100), (rare, vec![]));
    assert_eq!(taken(four, 5).0.len(), 3);
}
