//! All combinations of filters, for tests.

use jiff::Timestamp;
use slamon_domain::StateName;
use uuid::Uuid;

use super::{States, TaskFilter};

/// Each filter given or not, with any one state, with states that stores keep in several parts, and with all.
pub(crate) fn every_filter() -> Vec<TaskFilter> {
    let some = [States::ALL, States::UNFINISHED, States::UNSUCCESSFUL];
    let mixed = [
        States::of(&[StateName::Completed, StateName::Pending]),
        States::of(&[StateName::Claimed, StateName::Failed]),
    ];
    let states = some.into_iter().chain(mixed).chain(StateName::ALL.map(|state| States::of(&[state])));
    let mut filters: Vec<TaskFilter> =
        states.map(|states| TaskFilter { states, ..TaskFilter::default() }).collect();
    let mut also = |with: &dyn Fn(&mut TaskFilter)| {
        for n in 0..filters.len() {
            let mut filter = filters[n].clone();
            with(&mut filter);
            filters.push(filter);
        }
    };
    also(&|filter| filter.task_id = Some(Uuid::nil()));
    also(&|filter| filter.test_id = Some(Uuid::nil()));
    also(&|filter| filter.task_type = Some("type".to_owned()));
    also(&|filter| filter.task_version = Some(1));
    also(&|filter| filter.agent_id = Some(Uuid::nil()));
    also(&|filter| filter.country = Some("FI".to_owned()));
    also(&|filter| (filter.from, filter.to) = (Some(Timestamp::MIN), Some(Timestamp::MAX)));
    also(&|filter| filter.error_text = Some("text".to_owned()));
    filters
}
