//! A unit of work, and how it ends.

use std::time::{Duration, Instant};

use crate::client::{Client, Request};
use crate::tally::Tally;

/// One connection's part of a load.
pub(crate) trait Worker: Send + 'static {
    /// The requests of a unit, by name; [`Tally`] and [`ask`] know them by their places.
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
pub(crate) async fn ask<'a, W: Worker>(
    step: usize,
    client: &'a mut Client,
    request: &Request,
    tally: &mut Tally,
) -> Result<&'a [u8], GaveUp> {
    let began = Instant::now();
    match client.send(request).await {
        Ok(answer) => {
            tally.answered(step, began.elapsed());
            match answer.status {
                200 => Ok(answer.body),
                503 => Err(GaveUp::Refused),
                status => Err(GaveUp::Failed(format!("{}: status {status}", W::STEPS[step]))),
            }
        }
        Err(failure) => Err(GaveUp::Failed(format!("{}: {failure}", W::STEPS[step]))),
    }
}
