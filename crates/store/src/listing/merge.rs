//! Merges what was read of several indexes into one page.

use super::{ListOrder, TaskPlace};

/// What was read of one index, in the order of the list.
#[derive(Debug)]
pub(crate) struct Walked<T> {
    /// The tasks that are in the list, with their places.
    pub(crate) found: Vec<(TaskPlace, T)>,
    /// The last place that was looked at, if others follow.
    pub(crate) stopped_at: Option<TaskPlace>,
    /// How many tasks were passed over, in the list or not.
    pub(crate) passed: u32,
}

impl<T> Walked<T> {
    /// What was read where all that was passed over is in the list.
    pub(crate) fn of(found: Vec<(TaskPlace, T)>, stopped_at: Option<TaskPlace>) -> Self {
        let passed = u32::try_from(found.len()).unwrap_or(u32::MAX);
        Self { found, stopped_at, passed }
    }
}

/// Makes a page of at most `limit` tasks, and says behind which place the next one begins.
///
/// Nothing is given beyond the place where any of the indexes was left: what follows there may come before what
/// another index has.
pub(crate) fn merge<T>(order: ListOrder, walked: Vec<Walked<T>>, limit: u32) -> (Vec<T>, Option<TaskPlace>) {
    let rank = |place: TaskPlace| match order {
        // The negative of the least place would not fit.
        ListOrder::NewestFirst => -i128::from(place),
        ListOrder::OldestFirst => i128::from(place),
    };
    let stopped = walked.iter().filter_map(|walked| walked.stopped_at).min_by_key(|place| rank(*place));
    let mut found: Vec<(TaskPlace, T)> = walked.into_iter().flat_map(|walked| walked.found).collect();
    found.sort_unstable_by_key(|(place, _)| rank(*place));
    if let Some(stopped) = stopped {
        found.retain(|(place, _)| rank(*place) <= rank(stopped));
    }
    let (mut next, limit) = (stopped, usize::try_from(limit).unwrap_or(usize::MAX));
    if found.len() > limit {
        found.truncate(limit);
        next = found.last().map(|(place, _)| *place);
    }
    (found.into_iter().map(|(_, task)| task).collect(), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(places: &[i64], stopped_at: Option<i64>) -> Walked<i64> {
        Walked::of(places.iter().map(|place| (*place, *place)).collect(), stopped_at)
    }

    #[test]
    fn the_page_ends_where_an_index_was_left() {
        use ListOrder::{NewestFirst, OldestFirst};
        let newest =
            |limit| merge(NewestFirst, vec![walked(&[9, 5, 3], None), walked(&[8, 7], Some(4))], limit);
        assert_eq!(newest(9), (vec![9, 8, 7, 5], Some(4)));
        assert_eq!(newest(4), (vec![9, 8, 7, 5], Some(4)));
        assert_eq!(newest(2), (vec![9, 8], Some(8)));
        let oldest = |limit| merge(OldestFirst, vec![walked(&[3, 5, 9], None), walked(&[7, 8], None)], limit);
        assert_eq!(oldest(9), (vec![3, 5, 7, 8, 9], None));
        assert_eq!(oldest(5), (vec![3, 5, 7, 8, 9], None));
        assert_eq!(oldest(4), (vec![3, 5, 7, 8], Some(8)));
        assert_eq!(merge(OldestFirst, vec![walked(&[], Some(6)), walked(&[7], None)], 9), (vec![], Some(6)));
        assert_eq!(merge(NewestFirst, vec![walked(&[i64::MIN], None)], 9), (vec![i64::MIN], None));
        assert_eq!(merge::<i64>(NewestFirst, Vec::new(), 9), (vec![], None));
    }
}
