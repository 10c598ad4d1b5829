//! Saves what a command has changed.

use rusqlite::params;
use slamon_protocol::TaskOutcome;
use uuid::Uuid;

use super::BatchTransaction;
use crate::encoding::outcome_columns;
use crate::error::StoreError;
use crate::sqlite::rows;

impl BatchTransaction<'_> {
    pub(super) fn save(&self) -> Result<(), StoreError> {
        for locked in self.executor.changed_tasks() {
            rows::save_state(self.transaction, locked.seq, &locked.task)?;
        }
        let changes = self.executor.changes();
        for (task_id, ended) in &changes.ended {
            rows::attempts::save(self.transaction, *task_id, ended)?;
        }
        for ((task_id, number), outcome) in &changes.late {
            self.keep_late(*task_id, *number, outcome)?;
        }
        Ok(())
    }

    /// Saves a late result, unless the attempt has one: the first one is kept.
    fn keep_late(&self, task_id: Uuid, number: u32, outcome: &TaskOutcome) -> rusqlite::Result<()> {
        let (result, error) = outcome_columns(outcome);
        self.transaction
            .prepare_cached(
                "update attempt set late_at = ?3, late_result = ?4, late_error = ?5
                 where task_id = ?1 and number = ?2 and late_at is null",
            )?
            .execute(params![task_id.as_bytes(), number, self.now.as_microsecond(), result, error])?;
        Ok(())
    }
}
