//! The text in which changes of tasks are published to other AFMs.

use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use slamon_domain::{StateName, Transition};
use slamon_protocol::excerpt;
use uuid::Uuid;

/// Writes changes into texts of at most `bytes` bytes.
///
/// A change is `TASK TEST FROM TO MICROSECONDS AGENT VERSION LENGTH TYPE`, and a space follows; `-` stands for
/// no state and for no agent. Long types are cut.
pub(super) fn write(changes: &[Arc<Transition>], bytes: usize) -> Vec<String> {
    let mut texts = vec![String::new()];
    for change in changes {
        let entry = entry(change);
        match texts.last_mut() {
            Some(text) if text.len() + entry.len() <= bytes => text.push_str(&entry),
            _ => texts.push(entry),
        }
    }
    texts.retain(|text| !text.is_empty());
    texts
}

fn entry(change: &Transition) -> String {
    let task_type = excerpt(&change.task_type);
    let from = change.from.map_or("-", StateName::as_str);
    let mut entry = format!(
        "{} {} {from} {} {} ",
        change.task_id.simple(),
        change.test_id.simple(),
        change.to.as_str(),
        change.at.as_microsecond()
    );
    // Writing to a String cannot fail.
    let _ = match change.agent_id {
        Some(agent_id) => write!(entry, "{}", agent_id.simple()),
        None => write!(entry, "-"),
    };
    let _ = write!(entry, " {} {} {task_type} ", change.task_version, task_type.len());
    entry
}

/// Reads what [`write()`] has written; `None` where it is something else.
pub(super) fn read(mut text: &str) -> Option<Vec<Transition>> {
    let mut changes = Vec::new();
    while !text.is_empty() {
        let mut word = || {
            let (word, rest) = text.split_once(' ')?;
            text = rest;
            Some(word)
        };
        let (task_id, test_id): (Uuid, Uuid) = (word()?.parse().ok()?, word()?.parse().ok()?);
        let from = match word()? {
            "-" => None,
            name => Some(state(name)?),
        };
        let to = state(word()?)?;
        let at = Timestamp::from_microsecond(word()?.parse().ok()?).ok()?;
        let agent_id = match word()? {
            "-" => None,
            id => Some(id.parse().ok()?),
        };
        let task_version = word()?.parse().ok()?;
        let (length, rest) = text.split_once(' ')?;
        let (task_type, rest) = rest.split_at_checked(length.parse().ok()?)?;
        text = rest.strip_prefix(' ')?;
        let task_type = task_type.to_owned();
        let change = Transition::of(task_id, from, to, at);
        changes.push(Transition { test_id, task_type, task_version, agent_id, ..change });
    }
    Some(changes)
}

fn state(name: &str) -> Option<StateName> {
    StateName::ALL.into_iter().find(|state| state.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(n: u128, task_type: &str) -> Transition {
        let from = n.is_multiple_of(2).then_some(StateName::Claimed);
        let to = StateName::ALL[usize::try_from(n % 9).unwrap()];
        let at = Timestamp::from_microsecond(1_795_375_381_621_614).unwrap();
        Transition {
            test_id: Uuid::from_u128(n + 1),
            task_type: task_type.to_owned(),
            task_version: -3,
            agent_id: n.is_multiple_of(3).then(|| Uuid::from_u128(n + 2)),
            ..Transition::of(Uuid::from_u128(n), from, to, at)
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let types = ["", " ", "a b\n", "ä 12 x", "-"];
        let changes: Vec<Transition> = (0..100).map(|n| change(n, types[n as usize % types.len()])).collect();
        let texts = write(&changes.iter().cloned().map(Arc::new).collect::<Vec<_>>(), 1_000);
        assert!(texts.len() > 10 && texts.iter().all(|text| text.len() <= 1_000));
        let read: Vec<Transition> = texts.iter().flat_map(|text| read(text).unwrap()).collect();
        assert_eq!(read, changes);
    }

    #[test]
    fn what_cannot_be_read_is_not_guessed() {
        let text = &write(&[Arc::new(change(2, "ä"))], 1_000)[0];
        for end in (1..text.len()).filter(|end| text.is_char_boundary(*end)) {
            assert_eq!(read(&text[..end]), None, "{:?}", &text[..end]);
        }
        assert_eq!(read(&text.replace("claimed", "odd")), None);
    }
}
