//! `ping`: whether a host answers echo requests (ICMP), and how fast.

mod echo;
mod socket;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::echo::Echo;
use self::socket::EchoSocket;
use super::{Context, Environment, Failure};
use crate::network::connect::{IpVersion, Target, reason};
use crate::network::limit::{Limit, Timeout, milliseconds, seconds};

/// How long an answer is waited for once all requests are sent.
const LAST_WAIT: Duration = Duration::from_secs(2);
const MOST_REQUESTS: u16 = 100;
const SHORTEST_INTERVAL: f64 = 0.1;
const LONGEST_INTERVAL: f64 = 60.0;

/// Sends echo requests to a host, and measures how long it takes to answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The name or the address of the host.
    host: String,
    /// How many requests to send, from 1 to 100.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    count: u16,
    /// How many seconds there are between two requests, from 0.1 to 60.
    #[serde(default = "one")]
    #[schemars(range(min = 0.1, max = 60))]
    interval: f64,
    /// How many of 100 requests may be without an answer. By default one answer is enough.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    max_loss_percent: Option<f64>,
    /// 4 or 6: only IPv4, or only IPv6.
    #[serde(default)]
    ip_version: Option<IpVersion>,
    /// How many seconds it may take in all.
    #[serde(default)]
    timeout: Timeout,
}

/// How the host has answered.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    /// The address that was asked.
    address: String,
    /// How many requests were sent.
    sent: u16,
    /// How many were answered.
    received: u16,
    /// How many of 100 were not.
    loss_percent: f64,
    /// How long the fastest answer took; not where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_ms: Option<f64>,
    /// How long they took on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_ms: Option<f64>,
    /// How long the slowest one took.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ms: Option<f64>,
    /// How long it took to find the address.
    dns_ms: f64,
    /// How long everything took.
    total_ms: f64,
}

/// What came of the requests, by their numbers.
#[derive(Debug)]
struct Requests {
    sent: Vec<Instant>,
    answered: Vec<Option<Duration>>,
    /// Why the last one that could not be sent could not, or why it was not answered.
    problem: Option<String>,
}

fn three() -> u16 {
    3
}

fn one() -> f64 {
    1.0
}

pub(super) async fn execute(
    data: Data,
    context: Context,
    environment: Arc<Environment>,
) -> Result<Output, Failure> {
    data.check()?;
    let limit = data.timeout.limit(&context);
    let target = Target::new(&data.host, 0);
    let resolved = target.resolve(&environment.network, data.ip_version, &limit).await?;
    let address = resolved.addresses[0].ip();
    let socket = EchoSocket::open(address)?;
    let mut requests = Requests { sent: Vec::new(), answered: Vec::new(), problem: None };
    let interval = Duration::from_secs_f64(data.interval);
    // What has come until the time is over counts, too.
    let is_done = limit.hold(requests.exchange(&socket, &Echo::new(address), data.count, interval)).await;
    let place =
        if data.host.parse() == Ok(address) { data.host } else { format!("{} ({address})", data.host) };
    if is_done.is_err() && requests.sent.len() < usize::from(data.count) {
        let (sent, time) = (requests.sent.len(), seconds(limit.elapsed()));
        return Err(Failure::new(format!(
            "the time was over after {time}: {place} was sent {sent} of {} pings, and answered {}",
            data.count,
            requests.times().len()
        )));
    }
    requests.check(&place, data.max_loss_percent, &limit)?;
    let times = requests.times();
    let average = || times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(u32::MAX);
    Ok(Output {
        address: address.to_string(),
        sent: data.count,
        received: u16::try_from(times.len()).unwrap_or(u16::MAX),
        loss_percent: requests.loss_percent(),
        min_ms: times.iter().min().copied().map(milliseconds),
        avg_ms: (!times.is_empty()).then(|| milliseconds(average())),
        max_ms: times.iter().max().copied().map(milliseconds),
        dns_ms: milliseconds(resolved.took),
        total_ms: milliseconds(limit.elapsed()),
    })
}

impl Data {
    fn check(&self) -> Result<(), Failure> {
        if !(1..=MOST_REQUESTS).contains(&self.count) {
            return Err(Failure::new(format!(
                "task_data.count: must be from 1 to {MOST_REQUESTS}, and is {}",
                self.count
            )));
        }
        if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&self.interval) {
            return Err(Failure::new(format!(
                "task_data.interval: must be from {SHORTEST_INTERVAL} to {LONGEST_INTERVAL} seconds, and is {}",
                self.interval
            )));
        }
        match self.max_loss_percent {
            Some(most) if !(0.0..=100.0).contains(&most) => {
                Err(Failure::new(format!("task_data.max_loss_percent: must be from 0 to 100, and is {most}")))
            }
            _ => Ok(()),
        }
    }
}

impl Requests {
    /// Sends requests, and takes what answers them, until all are answered or the last wait is over.
    async fn exchange(&mut self, socket: &EchoSocket, echo: &Echo, count: u16, interval: Duration) {
        let mut buffer = [0; 2048];
        for number in 0..count {
            let now = Instant::now();
            self.sent.push(now);
            self.answered.push(None);
            if let Err(error) = socket.send(&echo.request(number)).await {
                self.problem = Some(reason(&error));
            }
            let is_last = number + 1 == count;
            let until = now + if is_last { LAST_WAIT } else { interval };
            while !(is_last && self.is_complete()) {
                match tokio::time::timeout_at(until.into(), socket.receive(&mut buffer)).await {
                    Ok(Ok(message)) => self.take(echo.answered(message)),
                    Ok(Err(error)) => {
                        self.problem = Some(reason(&error));
                        // An error that stays must not take the processor.
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Err(_) => break,
                }
            }
        }
    }

    /// Takes the answer to a request; a second one says nothing new.
    fn take(&mut self, number: Option<u16>) {
        let Some(number) = number.map(usize::from).filter(|number| *number < self.sent.len()) else { return };
        let took = self.sent[number].elapsed();
        self.answered[number].get_or_insert(took);
    }

    fn is_complete(&self) -> bool {
        self.answered.iter().all(Option::is_some)
    }

    fn times(&self) -> Vec<Duration> {
        self.answered.iter().copied().flatten().collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "there are few requests")]
    fn loss_percent(&self) -> f64 {
        let lost = self.answered.iter().filter(|answer| answer.is_none()).count();
        (lost as f64 / self.sent.len() as f64 * 100_000.0).round() / 1_000.0
    }

    fn check(&self, place: &str, most: Option<f64>, limit: &Limit) -> Result<(), Failure> {
        let (sent, received) = (self.sent.len(), self.times().len());
        let why = self.problem.as_ref().map_or_else(String::new, |problem| format!(": {problem}"));
        let loss = self.loss_percent();
        match most {
            None if received == 0 => {
                let time = seconds(limit.elapsed());
                Err(Failure::new(format!("{place} has answered none of {sent} pings within {time}{why}")))
            }
            Some(most) if loss > most => Err(Failure::new(format!(
                "{place} has answered {received} of {sent} pings: {loss} % were lost, and at most {most} % may be{why}"
            ))),
            _ => Ok(()),
        }
    }
}
