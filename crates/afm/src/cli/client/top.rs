//! `top`: how the fleet does, now.

mod screen;

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use serde_json::value::RawValue;
use slamon_client::{Client, ClientError, Overview};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::list::add_tasks;
use super::output::Output;
use super::overview::figures;
use super::show_task;
use super::table::Table;
use super::terminal_text::shown;
use super::types::{self, add_types};
use screen::{Key, Screen};

/// `top`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Top {
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// So often it is looked again.
const REFRESH: Duration = Duration::from_secs(1);
/// So many types are read, and so many tasks that failed.
const TYPES: usize = 100;
const FAILURES: usize = 10;
/// So many columns stand beside the bars, for numbers of up to five digits.
const BESIDE_BARS: usize = 34;

impl Top {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let client = self.connection.client()?;
        if self.connection.json {
            let answer: Box<RawValue> = client.get(&["api", "v1", "overview"], &[]).await?;
            out.raw_json(&answer)?;
        } else if io::stdout().is_terminal() {
            // What cannot be read now is shown as such, and tried again with the next look.
            watch(client.retry_for(Duration::ZERO)).await?;
        } else {
            let view = View::read(&client).await?;
            out.lines(view.lines(&client.url(), None))?;
        }
        Ok(Ending::Done)
    }
}

/// Shows the view until somebody ends it.
async fn watch(client: Client) -> Result<(), Failure> {
    let (mut terminate, mut hang_up, mut interrupt) = (
        signal(SignalKind::terminate()).map_err(Failure::of_writing)?,
        signal(SignalKind::hangup()).map_err(Failure::of_writing)?,
        signal(SignalKind::interrupt()).map_err(Failure::of_writing)?,
    );
    let url = client.url();
    let (send, mut views) = mpsc::channel(1);
    let reader = tokio::spawn(async move {
        while send.send(View::read(&client).await).await.is_ok() {
            tokio::time::sleep(REFRESH).await;
        }
    });
    let mut screen = Screen::enter().map_err(Failure::of_writing)?;
    let mut keys = screen::keys();
    let mut has_keys = true;
    let (mut view, mut problem) = (None, None);
    loop {
        screen.draw(|rows, columns| drawn(view.as_ref(), problem.as_deref(), &url, rows, columns))?;
        tokio::select! {
            read = views.recv() => match read {
                Some(Ok(read)) => (view, problem) = (Some(read), None),
                Some(Err(error)) => problem = Some(error.to_string()),
                None => break,
            },
            key = keys.recv(), if has_keys => match key {
                Some(Key::End) => break,
                Some(Key::Redraw) => {}
                None => has_keys = false,
            },
            _ = terminate.recv() => break,
            _ = hang_up.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    reader.abort();
    Ok(())
}

/// The lines of the screen: as many as it has, and the last one says how it ends.
fn drawn(view: Option<&View>, problem: Option<&str>, url: &str, rows: usize, columns: usize) -> Vec<String> {
    let mut lines = match view {
        Some(view) => view.lines(url, Some((rows, columns))),
        None => vec![format!("AFM        {url}")],
    };
    if let Some(problem) = problem {
        lines.insert(1, format!("Problem    {}", shown(problem)));
    }
    lines.truncate(rows.saturating_sub(1));
    lines.resize(rows.saturating_sub(1), String::new());
    lines.push("q ends this view".to_owned());
    lines
}

/// What is shown.
struct View {
    overview: Overview,
    types: Box<RawValue>,
    failures: Box<RawValue>,
}

impl View {
    async fn read(client: &Client) -> Result<Self, ClientError> {
        let limit = |limit: usize| ("limit", limit.to_string());
        let overview: Box<RawValue> = client.get(&["api", "v1", "overview"], &[]).await?;
        let types = client.get(&["api", "v1", "types"], &[limit(TYPES)]).await?;
        let failed = [("state", "failed".to_owned()), limit(FAILURES)];
        let failures = client.get(&["api", "v1", "tasks"], &failed).await?;
        let overview = serde_json::from_str(overview.get());
        let overview = overview.map_err(|error| ClientError::Unreadable(error.to_string()))?;
        Ok(Self { overview, types, failures })
    }

    /// The lines of the view, as many as there is room for in rows and columns.
    fn lines(&self, url: &str, room: Option<(usize, usize)>) -> Vec<String> {
        let columns = room.map(|(_, columns)| columns);
        let mut lines = vec![format!("AFM        {}", shown(url))];
        lines.extend(figures(&self.overview));
        lines.push(format!("Finished   {}", self.finished(columns)));
        let section = |mut table: Table, added: Result<usize, Failure>| match added {
            Ok(1..) => table.lines(columns),
            _ => Vec::new(),
        };
        let (mut types, mut failures) = (types::header(), show_task::list());
        let added = add_types(&self.types, &mut types);
        let mut types = section(types, added);
        let added = add_tasks(&self.failures, &mut failures);
        let mut failures = section(failures, added);
        if let Some((rows, _)) = room {
            // Where there is no room for all, there is for some of both. Two lines are empty, and one says how it ends.
            let left = rows.saturating_sub(lines.len() + 3);
            failures.truncate(left.saturating_sub(types.len()).max(left / 2));
            let of_types = left.saturating_sub(failures.len());
            if types.len() > of_types {
                types.truncate(of_types.saturating_sub(1));
                types.push("… and others".to_owned());
            }
        }
        for section in [types, failures] {
            if !section.is_empty() {
                lines.push(String::new());
                lines.extend(section);
            }
        }
        lines
    }

    /// How many tasks ended in each minute of the last hour, or of as much of it as there is room for, as a row
    /// of bars.
    fn finished(&self, room: Option<usize>) -> String {
        let minutes = &self.overview.minutes;
        let room = room.unwrap_or(usize::MAX).saturating_sub(BESIDE_BARS);
        let minutes = &minutes[minutes.len().saturating_sub(room)..];
        let most = minutes.iter().map(|minute| minute.happened.finished).max().unwrap_or(0);
        let bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let bar = |finished: u64| match finished {
            0 => ' ',
            _ => bars[usize::try_from(finished.saturating_mul(7) / most.max(1)).unwrap_or(0).min(7)],
        };
        let row: String = minutes.iter().map(|minute| bar(minute.happened.finished)).collect();
        format!("{row}| at most {most} a minute")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn types_and_failures_are_both_seen_where_there_is_no_room_for_all() {
        let agents = json!({"active": 1, "lost": 0, "paused": 0, "is_complete": true});
        let overview = json!({"at": "", "agents": agents, "minutes": [], "types": []});
        let offering = json!({"active": 1, "silent": 0, "is_complete": true});
        let of_type =
            |n| json!({"task_type": format!("t{n}"), "task_version": 1, "offered": true, "agents": offering});
        let types: Vec<_> = (0..50).map(of_type).collect();
        let failure = json!({"task_id": "f", "task_type": "a", "task_version": 1, "task_state": "failed", "task_error": "no"});
        let view = View {
            overview: serde_json::from_value(overview).unwrap(),
            types: to_raw_value(&json!({ "types": types })).unwrap(),
            failures: to_raw_value(&json!({ "tasks": vec![failure; 10] })).unwrap(),
        };
        for (rows, of_types, of_failures) in [(30, 9, 9), (80, 50, 10), (24, 6, 6), (10, 0, 0), (3, 0, 0)] {
            let lines = view.lines("http://afm", Some((rows, 100)));
            let of = |what: fn(&str) -> bool| lines.iter().filter(|line| what(line)).count();
            assert_eq!(of(|line| line.starts_with('t')), of_types, "{rows}: {lines:#?}");
            assert_eq!(of(|line| line.ends_with("no")), of_failures, "{rows}: {lines:#?}");
            assert_eq!(of(|line| line == "… and others"), usize::from(of_types < 50), "{lines:#?}");
            assert!(rows < 10 || lines.len() < rows, "{rows}: {lines:#?}");
        }
        assert_eq!(view.lines("http://afm", None).iter().filter(|line| line.starts_with('t')).count(), 50);
    }
}
