//! `process`: executes a command that the operator of the agent has listed.
//!
//! A task names the command and gives it its data; it says neither a program nor an argument. There is no shell.

mod group;
mod pipes;

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use self::group::Group;
use self::pipes::{Pipes, TooMuch};
use super::environment::Command;
use super::{Context, Environment, Failure};
use crate::network::limit::{Limit, Timeout, milliseconds, seconds};

const OUTPUT_LIMIT: usize = 256 * 1024;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long what a command has written is waited for once it has ended: a process that has left its group may hold the
/// pipes open.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// An error repeats so many characters of what a command has written.
const QUOTED: usize = 500;

/// Executes a command that the operator of the agent has listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The name of the command, as the operator has listed it.
    command: String,
    /// What the command reads on its standard input, as JSON; by default an object without members.
    #[serde(default = "nothing")]
    #[schemars(with = "Value")]
    input: Box<RawValue>,
    /// With which exit statuses the command has done what it was asked for; by default with 0.
    #[serde(default = "success")]
    expected_exit_status: Vec<u8>,
    /// How many seconds the command may take.
    #[serde(default)]
    timeout: Timeout,
}

/// What the command has done.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    /// The status with which it has ended.
    exit_status: i32,
    /// What it has written to its standard output, if that is a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    /// What it has written to its standard output, if that is anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    /// The end of what it has written to its standard error.
    #[serde(skip_serializing_if = "String::is_empty")]
    error_output: String,
    /// How long it took.
    total_ms: f64,
}

fn nothing() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

fn success() -> Vec<u8> {
    vec![0]
}

pub(super) async fn execute(
    data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    if data.expected_exit_status.is_empty() {
        return Err(Failure::new("task_data.expected_exit_status: is empty: no exit status could be right"));
    }
    if environment.network.hosts().is_some() {
        return Err(Failure::new(
            "task_data.input: names a secret that is for some hosts alone, and a command is not one of them",
        ));
    }
    let command = environment.commands.get(&data.command).ok_or_else(|| unknown(&data, &environment))?;
    let limit = data.timeout.limit(&context);
    let (mut group, mut pipes) = start(command, &data, &context)?;
    let began = Instant::now();
    let ended = tokio::select! {
        ended = run(&mut group, &mut pipes, &limit) => ended,
        () = context.cancelled() => Err("was stopped, since the task was cancelled".to_owned()),
    };
    let status = match ended {
        Ok(status) => status,
        Err(why) => {
            tokio::select! {
                () = group.end() => {}
                () = pipes.discard() => {}
            }
            return Err(Failure::new(format!("the command {:?} {why}", data.command)));
        }
    };
    let took = began.elapsed();
    let (output, error_output) = (pipes.output(), pipes.error_output());
    let exit_status = expected(status, &data.expected_exit_status).map_err(|why| {
        let said = if error_output.trim().is_empty() { &output } else { &error_output };
        Failure::new(format!("the command {:?} {why}{}", data.command, quoted(said)))
    })?;
    let result = object(&output);
    let output = if result.is_some() { None } else { Some(output) };
    Ok(Output { exit_status, result, output, error_output, total_ms: milliseconds(took) })
}

fn unknown(data: &Data, environment: &Environment) -> Failure {
    let known: Vec<String> = environment.commands.keys().map(|name| format!("{name:?}")).collect();
    let known = match known.as_slice() {
        [] => "its operator has listed none".to_owned(),
        _ => format!("there are {}", known.join(", ")),
    };
    Failure::new(format!("task_data.command: this agent has no command {:?}: {known}", data.command))
}

fn start(command: &Command, data: &Data, context: &Context) -> Result<(Group, Pipes), Failure> {
    let failed = |problem: &dyn std::fmt::Display| {
        Failure::new(format!(
            "could not start the command {:?} ({}): {problem}",
            data.command,
            command.program.display()
        ))
    };
    if !command.program.is_absolute() {
        return Err(failed(&"its operator has to give an absolute path"));
    }
    // As it was posted, in one line: texts have no line breaks in JSON, so that these mean nothing.
    let input = format!("{}\n", data.input.get().replace(['\n', '\r'], " ")).into_bytes();
    let mut child = tokio::process::Command::new(&command.program)
        .args(&command.arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", "C.UTF-8")
        .env("SLAMON_TASK_ID", context.task_id().to_string())
        .envs(&command.environment)
        .current_dir(command.folder.as_deref().unwrap_or("/".as_ref()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|problem| failed(&problem))?;
    let pipes = Pipes::new(&mut child, input, command.output_limit.unwrap_or(OUTPUT_LIMIT));
    Ok((Group::new(child), pipes))
}

/// Waits until the command has ended, and then ends what it has left behind. An error says what became of the command.
async fn run(group: &mut Group, pipes: &mut Pipes, limit: &Limit) -> Result<ExitStatus, String> {
    let most = pipes.output_limit();
    let too_much = |TooMuch| format!("wrote more than {most} bytes to its standard output, and was stopped");
    let running = async {
        let mut flowing = std::pin::pin!(pipes.flow());
        let mut has_flown = false;
        let status = loop {
            tokio::select! {
                flown = &mut flowing, if !has_flown => {
                    flown.map_err(too_much)?;
                    has_flown = true;
                }
                status = group.wait() => break status,
            }
        };
        if !has_flown && let Ok(flown) = tokio::time::timeout(LAST_WORDS, flowing).await {
            flown.map_err(too_much)?;
        }
        status.map_err(|problem| format!("could not be waited for: {problem}"))
    };
    let late = |_| format!("had not ended after {}, and was stopped", seconds(limit.elapsed()));
    limit.hold(running).await.map_err(late)?
}

fn expected(status: ExitStatus, expected: &[u8]) -> Result<i32, String> {
    let Some(code) = status.code() else {
        return Err(match status.signal() {
            Some(signal) => format!("was ended by signal {signal}"),
            None => format!("ended otherwise than by its own will: {status}"),
        });
    };
    if expected.iter().any(|expected| i32::from(*expected) == code) {
        return Ok(code);
    }
    let expected: Vec<String> = expected.iter().map(u8::to_string).collect();
    Err(format!("ended with exit status {code}, where {} was expected", expected.join(" or ")))
}

/// The end of a text, as an error repeats it.
fn quoted(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().rev().nth(QUOTED - 1) {
        _ if text.is_empty() => String::new(),
        Some((from, _)) if from > 0 => format!(": …{}", &text[from..]),
        _ => format!(": {text}"),
    }
}

/// The text as a JSON object, if it is one; not one that is nested deeper than others would read.
fn object(text: &str) -> Option<Box<RawValue>> {
    serde_json::from_str::<Map<String, Value>>(text).ok()?;
    RawValue::from_string(text.trim().to_owned()).ok()
}

#[cfg(test)]
mod tests;
