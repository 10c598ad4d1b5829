//! pgbench: what PostgreSQL can do of task lives when a client does each in four separate statements.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::kind::Kind;
use super::workshop::Workshop;

/// How many do so at once; more or fewer made it slower on 2 cores.
pub(crate) const CLIENTS: u32 = 16;

/// The columns of a task, with the two indexes that its life needs.
const TABLE: &str = "
    create table life (
        id uuid primary key,
        seq bigint not null generated always as identity,
        test_id uuid not null,
        type text not null,
        version bigint not null,
        data text,
        created_at timestamptz not null default now(),
        state text not null default 'pending',
        agent_id uuid,
        claimed_at timestamptz,
        finished_at timestamptz,
        result text,
        error text
    );
    create index life_waiting on life (type, version, seq) where state = 'pending';
";

const SCRIPT: &str = include_str!("pgbench.sql");

/// Lives a second.
///
/// # Errors
/// When pgbench does not run, or a statement fails.
pub(crate) fn measure(workshop: &Workshop) -> Result<f64> {
    let place = workshop.place(Kind::Pgbench)?;
    let database = place.database().context("pgbench works on PostgreSQL")?;
    database.try_sql(TABLE)?;
    let script = place.path("life.sql");
    fs::write(&script, SCRIPT)?;
    let run = |seconds: u64| -> Result<f64> {
        workshop.go_on()?;
        let output = Command::new(workshop.cluster()?.program("pgbench"))
            .args(["--no-vacuum", "--protocol", "prepared", "--jobs", "2"])
            .args(["--client", &CLIENTS.to_string(), "--time", &seconds.max(1).to_string()])
            .arg("--file")
            .arg(&script)
            .arg(database.uri())
            .output()
            .context("cannot start pgbench")?;
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "pgbench: {complained}{said}");
        rate(&said).with_context(|| format!("pgbench names no rate: {said}"))
    };
    run(workshop.scale.warm_up.as_secs())?;
    run(workshop.scale.seconds.as_secs())
}

/// The number in `tps = 1806.321456 (without initial connection time)`.
fn rate(said: &str) -> Option<f64> {
    let (_, rest) = said.split_once("tps = ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found() {
        let said = "number of failed transactions: 0 (0.000%)\nlatency average = 8.857 ms\n\
            initial connection time = 20.3 ms\ntps = 1806.321456 (without initial connection time)\n";
        assert_eq!(rate(said), Some(1806.321456));
        assert_eq!(rate("nothing"), None);
    }
}
