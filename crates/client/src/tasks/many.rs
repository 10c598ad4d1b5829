//! Requests about several tasks, each of which is answered by itself.

use std::time::Instant;

use serde::Deserialize;

use crate::client::Client;
use crate::error::{ClientError, is_passing};

/// An AFM takes so many tasks in a request.
pub(super) const AT_ONCE: usize = 1_000;

/// The answers, in the order of the tasks.
#[derive(Deserialize)]
pub(super) struct Answers<T> {
    pub(super) results: Vec<T>,
}

/// The answer to one of several tasks.
pub(super) trait OfOne {
    /// The status that it would have been answered alone.
    fn status(&self) -> u16;
}

impl Client {
    /// Sends tasks in one request, and those again that the AFM could not do in time.
    pub(super) async fn until_answered<T: Clone, A: OfOne>(
        &self,
        tasks: &[T],
        send: impl AsyncFn(Vec<T>) -> Result<Vec<A>, ClientError>,
    ) -> Result<Vec<A>, ClientError> {
        let (began, mut backoff) = (Instant::now(), Self::backoff());
        let mut answers = answered(tasks.len(), send(tasks.to_vec()).await?)?;
        loop {
            let passing: Vec<usize> =
                (0..answers.len()).filter(|place| is_passing(answers[*place].status())).collect();
            let wait = backoff.wait(None);
            if passing.is_empty() || !self.has_time_for(began, wait) {
                return Ok(answers);
            }
            tokio::time::sleep(wait).await;
            let again: Vec<T> = passing.iter().map(|place| tasks[*place].clone()).collect();
            for (place, answer) in passing.iter().zip(answered(again.len(), send(again).await?)?) {
                answers[*place] = answer;
            }
        }
    }
}

/// The answers, of which there has to be one for each task.
fn answered<A>(asked: usize, answers: Vec<A>) -> Result<Vec<A>, ClientError> {
    match answers.len() {
        got if got == asked => Ok(answers),
        got => Err(ClientError::Unreadable(format!("{asked} tasks were sent, and {got} of them answered"))),
    }
}
