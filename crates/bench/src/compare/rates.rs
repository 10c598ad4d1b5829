//! Rates of several servers, round after round: in each round every server has its turn, so that a ratio compares what ran
//! within the same minute.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::load::{self, Latency, Measured};
use super::pgbench;
use super::server::Running;
use super::spread::{Spread, short};
use super::table::Table;
use super::workshop::Workshop;

/// Polls or lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rates {
    turns: Vec<Turn>,
}

/// One load on one server.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Turn {
    round: usize,
    kind: Kind,
    way: Way,
    connections: u32,
    /// Polls or lives.
    per_second: f64,
    requests_per_second: f64,
    /// Not of pgbench.
    latency_us: Option<Latency>,
}

/// How a server is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// Over connections that stay open, as few as keep it busy.
    Kept,
    /// Over so many that there is always much to do at once.
    ManyKept,
    /// Each request has a connection of its own.
    Closed,
}

/// A load for a server: its name, and how many connections there are.
type Plan = (&'static str, Way, u32);

/// One server, and how it is loaded.
pub(crate) type Who = (Kind, Way);

/// All that can be measured, in the order of tables.
const ORDER: [Kind; 7] =
    [Kind::Bare, Kind::Memory, Kind::File, Kind::Postgres, Kind::Pgbench, Kind::Development, Kind::Gunicorn];

fn plan_of_polls(kind: Kind) -> &'static [Plan] {
    match kind {
        Kind::Bare | Kind::Memory | Kind::File | Kind::Postgres => {
            &[("poll", Way::Kept, 32), ("poll", Way::Closed, 32)]
        }
        // It closes every connection, and gains nothing from more that wait.
        Kind::Development | Kind::Gunicorn => &[("poll", Way::Closed, 8)],
        Kind::Pgbench => &[],
    }
}

fn plan_of_lives(kind: Kind) -> &'static [Plan] {
    match kind {
        Kind::Bare => &[("mix", Way::Kept, 64), ("mix", Way::ManyKept, 512), ("mix", Way::Closed, 64)],
        Kind::Memory | Kind::File | Kind::Postgres => {
            &[("life", Way::Kept, 64), ("life", Way::ManyKept, 512), ("life", Way::Closed, 64)]
        }
        Kind::Development | Kind::Gunicorn => &[("life", Way::Closed, 8)],
        Kind::Pgbench => &[("pgbench", Way::Kept, pgbench::CLIENTS)],
    }
}

impl Way {
    fn words(self, connections: u32) -> String {
        match self {
            Self::Kept | Self::ManyKept => format!("{connections} kept"),
            Self::Closed => format!("{connections}, each for 1 request"),
        }
    }
}

impl Rates {
    /// Polls that find nothing.
    ///
    /// # Errors
    /// When a server or a load does not run.
    pub(crate) fn of_polls(workshop: &Workshop) -> Result<Self> {
        Self::measure(workshop, plan_of_polls)
    }

    /// Whole lives: post, claim, report, read.
    ///
    /// # Errors
    /// When a server or a load does not run.
    pub(crate) fn of_lives(workshop: &Workshop) -> Result<Self> {
        Self::measure(workshop, plan_of_lives)
    }

    fn measure(workshop: &Workshop, plan: impl Fn(Kind) -> &'static [Plan]) -> Result<Self> {
        let mut turns = Vec::new();
        for round in 1..=workshop.scale.rounds {
            for kind in ORDER.into_iter().filter(|kind| !plan(*kind).is_empty()) {
                for turn in take_turn(workshop, kind, plan(kind))? {
                    let (name, how) = (kind.label(), turn.way.words(turn.connections));
                    eprintln!("round {round}: {name}, {how}: {}/s", short(turn.per_second));
                    turns.push(Turn { round, ..turn });
                }
            }
        }
        Ok(Self { turns })
    }

    /// What one server did, in all rounds.
    pub(crate) fn per_second(&self, who: Who) -> Option<Spread> {
        self.spread(who, |turn| turn.per_second)
    }

    /// What one server did, counted in requests.
    pub(crate) fn requests_per_second(&self, who: Who) -> Option<Spread> {
        self.spread(who, |turn| turn.requests_per_second)
    }

    /// The rate of one by that of another, of each round.
    pub(crate) fn ratio(&self, who: Who, by: Who) -> Option<Spread> {
        self.ratio_of(who, by, |turn| turn.per_second)
    }

    /// The same, counted in requests.
    pub(crate) fn ratio_of_requests(&self, who: Who, by: Who) -> Option<Spread> {
        self.ratio_of(who, by, |turn| turn.requests_per_second)
    }

    /// Over how many connections a server was loaded.
    pub(crate) fn connections(&self, who: Who) -> Option<u32> {
        self.of(who).next().map(|turn| turn.connections)
    }

    /// One latency in all rounds, in milliseconds.
    pub(crate) fn latency(&self, who: Who, pick: impl Fn(&Latency) -> f64) -> Option<Spread> {
        Spread::of(self.of(who).filter_map(|turn| Some(pick(&turn.latency_us?) / 1e3)))
    }

    /// Whoever was measured, in the order of tables.
    pub(crate) fn all(&self) -> impl Iterator<Item = Who> {
        let ways = [Way::Kept, Way::ManyKept, Way::Closed];
        let all = ways.into_iter().flat_map(|way| ORDER.map(|kind| (kind, way)));
        all.filter(|who| self.of(*who).next().is_some())
    }

    fn of(&self, (kind, way): Who) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.kind == kind && turn.way == way)
    }

    fn spread(&self, who: Who, pick: impl Fn(&Turn) -> f64) -> Option<Spread> {
        Spread::of(self.of(who).map(pick))
    }

    fn ratio_of(&self, who: Who, by: Who, pick: impl Fn(&Turn) -> f64) -> Option<Spread> {
        let in_round = |round| self.of(by).find(|turn| turn.round == round).map(&pick);
        Spread::of(self.of(who).filter_map(|turn| Some(pick(turn) / in_round(turn.round)?)))
    }

    /// One row a server; `what` is what is counted, and `yardstick` what the last column compares with.
    pub(crate) fn table(&self, what: &str, yardstick: Kind) -> Table {
        let by_yardstick = format!("÷ {}", yardstick.label());
        let mut table = Table::new([
            "server",
            "connections",
            &format!("{what} a second"),
            "requests a second",
            &by_yardstick,
            "p50, ms",
            "p99, ms",
        ]);
        for who in self.all() {
            let (kind, way) = who;
            let connections = self.connections(who).map_or_else(String::new, |count| way.words(count));
            let written =
                |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| spread.to_string());
            let middle =
                |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| short(spread.median));
            table.row([
                kind.label().to_owned(),
                connections,
                written(self.per_second(who)),
                middle(self.requests_per_second(who)),
                written(self.ratio_of_requests(who, (yardstick, way))),
                middle(self.latency(who, |latency| latency.p50)),
                middle(self.latency(who, |latency| latency.p99)),
            ]);
        }
        table
    }
}

/// One server, started for it, under its loads.
fn take_turn(workshop: &Workshop, kind: Kind, plan: &[Plan]) -> Result<Vec<Turn>> {
    if kind == Kind::Pgbench {
        return Ok(vec![of_pgbench(pgbench::measure(workshop)?)]);
    }
    let running = Running::start(workshop, kind)?;
    let turn = |&(load, way, connections): &Plan| {
        let connections_text = connections.to_string();
        let mut args = vec!["--connections", &connections_text];
        args.extend((way == Way::Closed).then_some("--close"));
        let measured = load::run_timed(workshop, load, &running.server, &args)?;
        Ok(of_load(kind, way, connections, &measured))
    };
    plan.iter().map(turn).collect()
}

fn of_load(kind: Kind, way: Way, connections: u32, measured: &Measured) -> Turn {
    Turn {
        round: 0,
        kind,
        way,
        connections,
        per_second: measured.per_second,
        requests_per_second: measured.requests_per_second,
        latency_us: Some(measured.latency_us),
    }
}

fn of_pgbench(lives_per_second: f64) -> Turn {
    Turn {
        round: 0,
        kind: Kind::Pgbench,
        way: Way::Kept,
        connections: pgbench::CLIENTS,
        per_second: lives_per_second,
        requests_per_second: 4.0 * lives_per_second,
        latency_us: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(round: usize, kind: Kind, per_second: f64) -> Turn {
        Turn { round, kind, ..of_pgbench(per_second) }
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let turns = vec![
            turn(1, Kind::Bare, 100.0),
            turn(1, Kind::File, 50.0),
            turn(2, Kind::Bare, 10.0),
            turn(2, Kind::File, 9.0),
            turn(3, Kind::File, 1.0),
        ];
        let rates = Rates { turns };
        let ratio = rates.ratio((Kind::File, Way::Kept), (Kind::Bare, Way::Kept));
        assert_eq!(ratio, Some(Spread { median: 0.7, least: 0.5, most: 0.9 }));
        assert_eq!(rates.ratio((Kind::File, Way::Closed), (Kind::Bare, Way::Closed)), None);
        assert_eq!(rates.all().collect::<Vec<_>>(), [(Kind::Bare, Way::Kept), (Kind::File, Way::Kept)]);
    }
}
