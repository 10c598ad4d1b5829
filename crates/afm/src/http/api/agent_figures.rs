//! What is known of agents beside what the store lists of them: when the next poll of each is due, and how its
//! attempts ended in the last hour.

use jiff::Timestamp;
use slamon_store::{ListedAgent, StoreError};
use uuid::Uuid;

use super::last_hour::LastHour;
use crate::http::app::App;
use crate::http::routes::agent::return_time;

/// When an agent polls next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum NextPoll {
    /// A poll of it is held open at this AFM.
    Held,
    /// It was told to poll at this time.
    Due(Timestamp),
}

/// What is known of an agent.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct AgentFigures {
    pub(in crate::http) next_poll: NextPoll,
    pub(in crate::http) last_hour: LastHour,
}

/// Adds to each of these agents what is known of it.
pub(in crate::http) async fn with_figures(
    app: &App,
    agents: Vec<ListedAgent>,
) -> Result<Vec<(ListedAgent, AgentFigures)>, StoreError> {
    let ids: Vec<Uuid> = agents.iter().map(|agent| agent.id).collect();
    let outcomes = app.statistics.outcomes_of(&ids, app.clock.now()).await?;
    let seen: Vec<(Uuid, Timestamp)> = agents.iter().map(|agent| (agent.id, agent.last_seen)).collect();
    let (polled, held) = (app.cache.polled_at(&seen), app.waiters.are_held(&ids));
    let known = agents.into_iter().zip(polled).zip(held).zip(outcomes);
    let with_figures = known.map(|(((agent, polled), is_held), outcomes)| {
        // Where another AFM has answered the last poll, that was when the agent was seen last, or before.
        let answered = polled.unwrap_or(agent.last_seen);
        let due = return_time(answered, app.settings.agent_return_time, agent.id);
        let next_poll = if is_held { NextPoll::Held } else { NextPoll::Due(due) };
        (agent, AgentFigures { next_poll, last_hour: outcomes.into() })
    });
    Ok(with_figures.collect())
}
