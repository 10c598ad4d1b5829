//! Whole lives in batches, beside single ones on the same server.

mod others;
mod rabbitmq;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::backlog::KINDS;
use super::kind::Kind;
use super::load::{self, Latency, Measured};
use super::server::Running;
use super::spread::{Spread, short};
use super::table::Table;
use super::workshop::Workshop;
use others::{Lives, OTHERS, Other};

pub(crate) use others::Programs;

/// Tasks in a request.
pub(crate) const SIZE: u32 = 100;

/// Lives, round after round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Batches {
    turns: Vec<Turn>,
    #[serde(default)]
    others: Vec<OtherTurn>,
}

/// The same lives in another queue, in a request as many.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OtherTurn {
    round: usize,
    other: Other,
    lives: Lives,
}

/// One load on one server.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Turn {
    round: usize,
    kind: Kind,
    way: Way,
    lives_per_second: f64,
    requests_per_second: f64,
    /// Of a life, or of all lives of a batch.
    latency_us: Latency,
}

/// How tasks come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// One in a request, over as many connections as keep a server busy.
    Single,
    /// The same over so many that there is always much to do at once.
    ManySingle,
    /// [`SIZE`] in a request.
    Batches,
}

const WAYS: [Way; 3] = [Way::Single, Way::ManySingle, Way::Batches];

impl Way {
    fn connections(self) -> u32 {
        match self {
            Self::Single => 64,
            Self::ManySingle => 512,
            Self::Batches => 16,
        }
    }

    fn label(self) -> String {
        match self {
            Self::Single | Self::ManySingle => "single".to_owned(),
            Self::Batches => format!("{SIZE} in a request"),
        }
    }

    fn lives(self) -> f64 {
        if self == Self::Batches { f64::from(SIZE) } else { 1.0 }
    }
}

impl Batches {
    /// In each round, each store has all its turns on one server.
    ///
    /// # Errors
    /// When a server or a load does not run.
    pub(crate) fn measure(workshop: &Workshop) -> Result<Self> {
        let (mut turns, mut others) = (Vec::new(), Vec::new());
        for round in 1..=workshop.scale.rounds {
            for kind in KINDS {
                let running = Running::start(workshop, kind)?;
                for way in WAYS {
                    let connections = way.connections().to_string();
                    let (load, size) = match way {
                        Way::Single | Way::ManySingle => ("life", None),
                        Way::Batches => ("batches", Some(SIZE.to_string())),
                    };
                    let mut args = vec!["--connections", &connections];
                    args.extend(size.iter().flat_map(|size| ["--size", size]));
                    let measured = load::run_timed(workshop, load, &running.server, &args)?;
                    let turn = Turn::of(round, kind, way, &measured);
                    let (name, rate) = (kind.label(), short(turn.lives_per_second));
                    eprintln!("round {round}: {name}, {}, {connections}: {rate}/s", way.label());
                    turns.push(turn);
                }
            }
            for (programs, other) in
                workshop.others.iter().flat_map(|programs| OTHERS.map(|other| (programs, other)))
            {
                let lives = programs.measure(workshop, other)?;
                eprintln!("round {round}: {other}: {}/s", short(lives.lives_per_second));
                others.push(OtherTurn { round, other, lives });
            }
        }
        Ok(Self { turns, others })
    }

    /// Lives a second in batches by those of single tasks, of each round, with both.
    pub(crate) fn gain(&self, kind: Kind, by: Way) -> Option<(Spread, Spread, Spread)> {
        let in_round = |round| self.of(kind, by).find(|turn| turn.round == round);
        let ratios = self
            .of(kind, Way::Batches)
            .filter_map(|turn| Some(turn.lives_per_second / in_round(turn.round)?.lives_per_second));
        Some((Spread::of(ratios)?, self.lives(kind, Way::Batches)?, self.lives(kind, by)?))
    }

    fn of(&self, kind: Kind, way: Way) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.kind == kind && turn.way == way)
    }

    fn lives(&self, kind: Kind, way: Way) -> Option<Spread> {
        Spread::of(self.of(kind, way).map(|turn| turn.lives_per_second))
    }

    /// Lives a second of ours in batches, on what is kept alike, by those of another, of each round.
    fn lead(&self, other: Other) -> Option<Spread> {
        let ours = |round| self.of(other.rival(), Way::Batches).find(|turn| turn.round == round);
        let turns = self.others.iter().filter(|turn| turn.other == other);
        let ratio = |turn: &OtherTurn| Some(ours(turn.round)?.lives_per_second / turn.lives.lives_per_second);
        Spread::of(turns.filter_map(ratio))
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new([
            "server",
            "tasks",
            "connections",
            "lives a second",
            "requests a second",
            "÷ single, 64",
            "÷ single, 512",
            "ours ÷ it",
            "p50, ms",
            "p99, ms",
        ]);
        for kind in KINDS {
            for way in WAYS {
                let Some(lives) = self.lives(kind, way) else { continue };
                let middle = |pick: fn(&Turn) -> f64| {
                    Spread::of(self.of(kind, way).map(pick)).map_or_else(String::new, |of| short(of.median))
                };
                let by = |single| match way {
                    Way::Batches => self.gain(kind, single).map(|(ratio, ..)| ratio.to_string()),
                    Way::Single | Way::ManySingle => None,
                };
                table.row([
                    kind.label().to_owned(),
                    way.label(),
                    way.connections().to_string(),
                    lives.to_string(),
                    middle(|turn| turn.requests_per_second),
                    by(Way::Single).unwrap_or_else(|| "–".to_owned()),
                    by(Way::ManySingle).unwrap_or_else(|| "–".to_owned()),
                    "–".to_owned(),
                    middle(|turn| turn.latency_us.p50 / 1e3),
                    middle(|turn| turn.latency_us.p99 / 1e3),
                ]);
            }
        }
        for other in OTHERS {
            let middle = |pick: fn(&Lives) -> f64| {
                let turns = self.others.iter().filter(|turn| turn.other == other);
                Spread::of(turns.map(|turn| pick(&turn.lives)))
            };
            let (Some(lives), Some(lead), Some(p50), Some(p99)) = (
                middle(|lives| lives.lives_per_second),
                self.lead(other),
                middle(|lives| lives.latency_us.p50 / 1e3),
                middle(|lives| lives.latency_us.p99 / 1e3),
            ) else {
                continue;
            };
            let none = || "–".to_owned();
            table.row([
                other.to_string(),
                format!("{SIZE} at a time"),
                Way::Batches.connections().to_string(),
                lives.to_string(),
                none(),
                none(),
                none(),
                lead.to_string(),
                short(p50.median),
                short(p99.median),
            ]);
        }
        table
    }
}

impl Turn {
    fn of(round: usize, kind: Kind, way: Way, measured: &Measured) -> Self {
        Self {
            round,
            kind,
            way,
            lives_per_second: measured.per_second * way.lives(),
            requests_per_second: measured.requests_per_second,
            latency_us: measured.latency_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_of_the_same_round() {
        let turn = |round, way, lives_per_second| Turn {
            round,
            kind: Kind::File,
            way,
            lives_per_second,
            requests_per_second: 0.0,
            latency_us: Latency::default(),
        };
        let turns = vec![
            turn(1, Way::Single, 10.0),
            turn(1, Way::Batches, 30.0),
            turn(2, Way::Single, 100.0),
            turn(2, Way::Batches, 500.0),
            turn(3, Way::Batches, 1.0),
        ];
        let lives = Lives { lives_per_second: 60.0, latency_us: Latency::default() };
        let others = vec![OtherTurn { round: 1, other: Other::RabbitMq, lives }];
        let batches = Batches { turns, others };
        assert_eq!(batches.lead(Other::RabbitMq), Some(Spread { median: 0.5, least: 0.5, most: 0.5 }));
        assert!(batches.lead(Other::Graphile).is_none());
        let (gain, ..) = batches.gain(Kind::File, Way::Single).unwrap();
        assert_eq!(gain, Spread { median: 4.0, least: 3.0, most: 5.0 });
        assert!(batches.gain(Kind::File, Way::ManySingle).is_none());
        assert!(batches.table().to_string().contains("4.00 (3.00–5.00)"), "{}", batches.table());
    }
}
