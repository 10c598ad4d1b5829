//! The table that people read.

use std::fmt::{self, Display};

use super::{Arrival, Report};
use crate::latencies::Summary;
use crate::processes::ServerUsage;

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.load, self.address)?;
        match self.rate {
            Some(rate) => write!(f, "open loop, {rate:.1}/s")?,
            None => f.write_str("closed loop")?,
        }
        let connections = if self.keep_alive { "kept" } else { "new for each request" };
        writeln!(
            f,
            ", {} connections ({connections}), agents: {}",
            self.connections,
            thousands(self.agents)
        )?;
        if let Some(Arrival { agents, seconds }) = self.arrival {
            let per_second = agents as f64 / seconds.max(f64::MIN_POSITIVE);
            let per_second = thousands(per_second.round() as u64);
            writeln!(f, "  arrived  {} in {seconds:.1} s: {per_second}/s", thousands(agents))?;
        }
        writeln!(
            f,
            "  done     {} in {:.1} s: {}/s; requests: {}/s",
            thousands(self.done),
            self.seconds,
            thousands(self.per_second.round() as u64),
            thousands(self.requests_per_second.round() as u64),
        )?;
        writeln!(f, "  {:8} {:>9} {:>9} {:>9} {:>9} {:>9}", "ms", "p50", "p90", "p99", "p99.9", "max")?;
        row(f, "all", &self.latency_us)?;
        for (name, summary) in &self.steps {
            row(f, name, summary)?;
        }
        write!(f, "  refused  {}", thousands(self.refused))?;
        writeln!(f, "{}", if self.unsent > 0 { format!(", unsent {}", self.unsent) } else { String::new() })?;
        writeln!(f, "  errors   {}", thousands(self.errors.values().sum()))?;
        for (why, times) in &self.errors {
            writeln!(f, "           {times} × {why}")?;
        }
        let checks = self.checks;
        writeln!(
            f,
            "  checks   lost {}, twice {}, altered {}: {}",
            checks.lost,
            checks.twice,
            checks.altered,
            if checks.passed() { "passed" } else { "FAILED" },
        )?;
        if let Some(server) = &self.server {
            writeln!(f, "  server   {}", used(server, self.seconds))?;
        }
        writeln!(f, "  client   {:.2} s of processor time", self.client_cpu_seconds)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, latencies: &Summary) -> fmt::Result {
    write!(f, "  {name:8}")?;
    for microseconds in [latencies.p50, latencies.p90, latencies.p99, latencies.p999, latencies.max] {
        write!(f, " {:9.3}", microseconds / 1e3)?;
    }
    writeln!(f)
}

fn used(server: &ServerUsage, seconds: f64) -> String {
    let mebibytes = |bytes| bytes as f64 / f64::from(1 << 20);
    format!(
        "{:.2} s of processor time ({:.2} cores); memory {:.1} MiB, at most {:.1} MiB",
        server.cpu_seconds,
        server.cpu_seconds / seconds.max(f64::MIN_POSITIVE),
        mebibytes(server.rss_bytes),
        mebibytes(server.peak_rss_bytes),
    )
}

/// With a comma before each three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
