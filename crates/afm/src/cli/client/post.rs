//! `task post`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use slamon_client::{Client, ClientError, TaskAnswer};
use slamon_command_line::integer;
use uuid::Uuid;

use super::arguments::{id, seconds};
use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::new_task::{Fields, Terms, data, set};
use super::output::{Output, tell};
use super::show_task::{Shown, show_task};
use super::table::Table;
use super::terminal_text::shown;
use super::wait::wait_for;
use super::words::count;

/// So many tasks of a file are sent at once, and so many bytes of them are kept.
const AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;

/// `task post`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Post {
    /// What an agent must be capable of
    #[arg(value_name = "TYPE", required_unless_present = "file", conflicts_with = "file")]
    task_type: Option<String>,
    /// The version that an agent must offer; 1 if nothing is said
    #[arg(value_name = "VERSION", value_parser = integer, allow_negative_numbers = true)]
    task_version: Option<i64>,
    /// What the agent is told: a JSON object, @FILE with one, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", conflicts_with = "file", allow_hyphen_values = true)]
    data: Option<String>,
    /// The id of the task; a new one if nothing is said. The same task again changes nothing
    #[arg(long, alias = "task-id", value_name = "ID", value_parser = id, conflicts_with = "file")]
    id: Option<Uuid>,
    /// Post the tasks of a file (- for standard input): a JSON object a line, with the fields of POST /task. Where a
    /// line has no task_id, a new one is taken. Each line gets an answer
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Wait until the task has ended, and show it
    #[arg(long)]
    wait: bool,
    /// Wait so many seconds at most; without it, as long as it takes
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds, requires = "wait")]
    most: Option<Duration>,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    pub(super) connection: Connection,
}

impl Post {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let client = self.connection.client()?;
        match &self.file {
            Some(file) => self.post_file(&client, file, out).await,
            None => self.post_one(&client, out).await,
        }
    }

    async fn post_one(&self, client: &Client, out: &mut Output) -> Result<Ending, Failure> {
        #[derive(Serialize)]
        struct Posted<'a> {
            task_id: Uuid,
            test_id: Option<&'a RawValue>,
            status: u16,
        }
        let mut task = self.terms.fields()?;
        let task_id = self.id.unwrap_or_else(Uuid::new_v4);
        set(&mut task, "task_id", &task_id)?;
        set(&mut task, "task_type", &self.task_type)?;
        set(&mut task, "task_version", &self.task_version.unwrap_or(1))?;
        if let Some(given) = &self.data {
            task.insert("task_data".to_owned(), data(given)?);
        }
        client.post_task(&task).await?;
        if self.wait {
            // Whoever gives up needs the id, and so does whoever is told that the AFM has gone.
            let posted = format!("task {task_id} is posted");
            let is_watched = io::stderr().is_terminal();
            if is_watched {
                tell(&posted);
            }
            let waited = wait_for(client, task_id, self.most).await;
            if waited.is_err() && !is_watched {
                tell(&posted);
            }
            let (task, ending) = waited?;
            show_task(out, &task, self.connection.json)?;
            return Ok(ending);
        }
        if self.connection.json {
            let test_id = task.get("test_id").map(|id| &**id);
            out.json(&Posted { task_id, test_id, status: 200 })?;
        } else {
            out.line(&task_id.to_string())?;
        }
        Ok(Ending::Done)
    }

    async fn post_file(&self, client: &Client, file: &Path, out: &mut Output) -> Result<Ending, Failure> {
        let problem = |error: io::Error| {
            Failure::Arguments(format!("file: could not read {}: {error}", file.display()))
        };
        let mut reader: Box<dyn BufRead> = match file.as_os_str() == "-" {
            true => Box::new(io::stdin().lock()),
            false => Box::new(BufReader::new(File::open(file).map_err(problem)?)),
        };
        let terms = self.terms.fields()?;
        let mut report = Report::new(self.connection.json);
        let mut number = 0;
        loop {
            let (mut lines, mut bytes, mut text) = (Vec::new(), 0, Vec::new());
            while lines.len() < AT_ONCE && bytes < BYTES_AT_ONCE {
                text.clear();
                bytes += reader.read_until(b'\n', &mut text).map_err(problem)?;
                if text.is_empty() {
                    break;
                }
                number += 1;
                if !text.trim_ascii().is_empty() {
                    lines.push(Line::read(number, &text, &terms));
                }
            }
            if let Err(error) = post_lines(client, &lines, &mut report, out).await? {
                report.finish(out)?;
                return Err(error.into());
            }
            if text.is_empty() {
                break;
            }
        }
        report.finish(out)?;
        let mut ending = report.ending;
        if self.wait {
            ending = ending.max(wait_for_all(client, &report.posted, self, out).await?);
        }
        Ok(ending)
    }
}

/// A line of a file: its task, or what is wrong with it.
struct Line {
    number: u64,
    task: Result<(Uuid, Fields), String>,
}

impl Line {
    fn read(number: u64, text: &[u8], terms: &Fields) -> Self {
        Self { number, task: Self::task(text, terms) }
    }

    fn task(text: &[u8], terms: &Fields) -> Result<(Uuid, Fields), String> {
        let mut task: Fields =
            serde_json::from_slice(text).map_err(|error| format!("is not a JSON object: {error}"))?;
        for (name, value) in terms {
            task.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let task_id = match task.get("task_id") {
            Some(id) => serde_json::from_str(id.get())
                .map_err(|_| "task_id: must be a UUID of 8-4-4-4-12 hexadecimal digits".to_owned())?,
            None => {
                let id = Uuid::new_v4();
                set(&mut task, "task_id", &id).map_err(|error| error.to_string())?;
                id
            }
        };
        Ok((task_id, task))
    }
}

/// Posts the tasks of lines and reports what came of each. The inner error is the AFM's, after it was reported.
async fn post_lines(
    client: &Client,
    lines: &[Line],
    report: &mut Report,
    out: &mut Output,
) -> Result<Result<(), ClientError>, Failure> {
    let tasks: Vec<&Fields> = lines.iter().filter_map(|line| Some(&line.task.as_ref().ok()?.1)).collect();
    let (mut answers, problem) = match client.post_tasks(&tasks).await {
        Ok(answers) => (answers.into_iter(), None),
        Err(problem) => (Vec::new().into_iter(), Some(problem)),
    };
    for line in lines {
        let answer = match (&line.task, &problem) {
            (Err(detail), _) => refusal(400, detail.clone()),
            (Ok(_), Some(problem)) => refusal(503, format!("may not be posted: {problem}")),
            (Ok(_), None) => answers.next().unwrap_or_else(|| refusal(503, String::new())),
        };
        report.add(line, answer, out)?;
    }
    report.flush(out)?;
    Ok(problem.map_or(Ok(()), Err))
}

fn refusal(status: u16, detail: String) -> TaskAnswer {
    TaskAnswer { task_id: None, status, detail: Some(detail), field: None }
}

/// What came of the lines of a file.
struct Report {
    json: bool,
    table: Table,
    has_header: bool,
    ending: Ending,
    posted: Vec<(u64, Uuid)>,
}

impl Report {
    fn new(json: bool) -> Self {
        let table = Table::new(&["LINE", "TASK", "STATUS", "DETAIL"]);
        Self { json, table, has_header: false, ending: Ending::Done, posted: Vec::new() }
    }

    fn add(&mut self, line: &Line, mut answer: TaskAnswer, out: &mut Output) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct OfLine<'a> {
            line: u64,
            #[serde(flatten)]
            answer: &'a TaskAnswer,
        }
        let task_id = line.task.as_ref().ok().map(|(id, _)| *id);
        answer.task_id = task_id;
        let ending = Ending::of_status(answer.status);
        self.ending = self.ending.max(ending);
        if let (Ending::Done, Some(task_id)) = (ending, task_id) {
            self.posted.push((line.number, task_id));
        }
        if self.json {
            return out.json(&OfLine { line: line.number, answer: &answer });
        }
        self.table.row(vec![
            line.number.to_string(),
            task_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            answer.status.to_string(),
            shown(answer.detail.as_deref().unwrap_or("")),
        ]);
        Ok(())
    }

    fn flush(&mut self, out: &mut Output) -> Result<(), Failure> {
        if !self.json {
            if !std::mem::replace(&mut self.has_header, true) {
                out.line(&self.table.header(out.room()))?;
            }
            out.lines(self.table.take_rows(out.room()))?;
        }
        out.flush()
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        self.flush(out)?;
        if !self.json && self.ending != Ending::Done {
            let posted = u64::try_from(self.posted.len()).unwrap_or(u64::MAX);
            tell(&format!("{} posted, others were not", count(posted, "task")));
        }
        Ok(())
    }
}

/// Waits until tasks have ended, in their order, and shows each.
async fn wait_for_all(
    client: &Client,
    posted: &[(u64, Uuid)],
    post: &Post,
    out: &mut Output,
) -> Result<Ending, Failure> {
    let end = post.most.map(|most| Instant::now() + most);
    let mut ending = Ending::Done;
    let mut table = Table::new(&["LINE", "TASK", "STATE", "RESULT OR ERROR"]);
    for (line, id) in posted {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let (task, of_task) = wait_for(client, *id, left).await?;
        ending = ending.max(of_task);
        if post.connection.json {
            out.raw_json(&task)?;
            out.flush()?;
            continue;
        }
        let task = Shown::read(&task)?;
        table.row(vec![line.to_string(), id.to_string(), shown(task.end()), task.came_of_it()]);
    }
    if !post.connection.json {
        out.lines(table.lines(out.room()))?;
    }
    Ok(ending)
}
