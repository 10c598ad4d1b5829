//! Knows how many commands there are, and so when another batch is worth it.

/// How many commands there are.
///
/// Two batches at once are worth most where each has half of the commands: then the statements of one run while the
/// other is written to the disk. While one is under way, it cannot be known how many commands will come; clients whose
/// commands were answered mostly come back, so it is taken to be as many as there were lately.
#[derive(Debug)]
pub(super) struct Load {
    min_batch: usize,
    /// How many commands the batches under way have.
    under_way: usize,
    /// How many commands there were lately, those that waited among them.
    lately: usize,
}

impl Load {
    /// At least `min_batch` commands are worth another batch, however many there are.
    pub(super) fn new(min_batch: usize) -> Self {
        Self { min_batch, under_way: 0, lately: 0 }
    }

    /// Whether so many commands that wait are worth another batch beside one that is under way.
    pub(super) fn is_worth_another_batch(&self, waiting: usize) -> bool {
        waiting >= self.min_batch.min(self.lately.div_ceil(2)).max(1)
    }

    /// A batch of so many commands began, and so many others wait.
    pub(super) fn began(&mut self, commands: usize, waiting: usize) {
        self.under_way += commands;
        let forgotten = self.lately.div_ceil(8);
        self.lately = (self.under_way + waiting).max(self.lately - forgotten);
    }

    /// A batch of so many commands ended.
    pub(super) fn ended(&mut self, commands: usize) {
        self.under_way -= commands;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_all_are_worth_another_batch() {
        let mut load = Load::new(100);
        load.began(3, 9);
        assert_eq!([5, 6].map(|waiting| load.is_worth_another_batch(waiting)), [false, true]);
        load.began(9, 0);
        load.ended(3);
        // Those three have not come back yet, and may.
        assert_eq!([5, 6].map(|waiting| load.is_worth_another_batch(waiting)), [false, true]);
    }

    #[test]
    fn enough_are_worth_another_batch_however_many_there_are() {
        let mut load = Load::new(100);
        load.began(500, 500);
        assert_eq!([99, 100].map(|waiting| load.is_worth_another_batch(waiting)), [false, true]);
    }

    #[test]
    fn what_there_was_long_ago_is_forgotten() {
        let mut load = Load::new(100);
        load.began(64, 0);
        load.ended(64);
        assert!(!load.is_worth_another_batch(1));
        for _ in 0..40 {
            load.began(1, 0);
            load.ended(1);
        }
        assert!(load.is_worth_another_batch(1));
    }
}
