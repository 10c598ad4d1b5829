//! A unit of work, and how it ends.

use std::time::{Duration, Instant};

use crate::client::{Answer, Client, Failure, Request};
use crate::tally::Tally;

/// One connection's part of a load.
pub(crate) trait Worker: Send + 'static {
    /// What the requests of a unit are called; [`ask`] knows them by their places.
    const STEPS: &'static [&'static str];

    /// Does the unit with this number: no two of a run have the same, and all from 0 on are used.
    fn unit(&mut self, n: u64, tally: &mut Tally) -> impl Future<Output = Result<Took, GaveUp>> + Send;

    /// Ends what units have left undone. Not measured.
    fn finish(&mut self, tally: &mut Tally) -> impl Future<Output = ()> + Send {
        let _ = tally;
        async {}
    }
}

/// How long a unit took.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Took {
    /// All the time from its start to its end.
    AllOfIt,
    /// This much; the rest was preparation.
    Only(Duration),
}

/// Why a unit was given up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GaveUp {
    /// 503: the server has too much to do.
    Refused,
    /// Anything else, by kind.
    Failed(String),
}

/// Sends a request of a unit, and gives the body of the answer if that is a 200.
pub(crate) async fn ask<'a>(
    client: &'a mut Client,
    request: &Request,
    step: usize,
    tally: &mut Tally,
) -> Result<&'a [u8], GaveUp> {
    let began = Instant::now();
    let answer = client.send(request).await;
    let took = began.elapsed();
    judge(answer, took, step, tally)
}

/// The body of an answer if that is a 200.
pub(crate) fn judge<'a>(
    answer: Result<Answer<'a>, Failure>,
    took: Duration,
    step: usize,
    tally: &mut Tally,
) -> Result<&'a [u8], GaveUp> {
    let step_name = tally.steps[step];
    let answer = answer.map_err(|failure| GaveUp::Failed(format!("{step_name}: {failure}")))?;
    tally.answered(step, took);
    match answer.status {
        200 => Ok(answer.body),
        503 => Err(GaveUp::Refused),
        status => Err(GaveUp::Failed(format!("{step_name}: status {status}"))),
    }
}
