//! The index of tasks by the process instance that they belong to, which is the table `task_of_test`.
//!
//! Ids of process instances are random, so each entry changes a page of its own. An index of SQLite's would be written
//! with each post, which took a tenth more. This one is written a block at a time, with the post that fills the block. The
//! tasks of the block that is not full yet, fewer than [`BLOCK`], are looked at one by one.
//!
//! SQLite gives a new task the place behind the last one that is there. So every task in a block that is full is in the
//! index: it was there when the last place of the block was taken. Where the last tasks were deleted, and their places
//! are taken again, so is that one. What is in the index beyond the full blocks is not looked at.

use rusqlite::{Connection, params};

use crate::listing::TaskPlace;

/// How many places a block has.
const BLOCK: TaskPlace = 128;

/// The last place of the last block that is full, where `last` is the last place that is taken.
pub(super) fn end(last: TaskPlace) -> TaskPlace {
    last - last.rem_euclid(BLOCK)
}

/// Indexes a block, if the task that was just inserted at `place` fills it.
pub(super) fn inserted(connection: &Connection, place: TaskPlace) -> rusqlite::Result<()> {
    if end(place) != place {
        return Ok(());
    }
    connection
        .prepare_cached(
            "insert or ignore into task_of_test (test_id, seq)
             select test_id, seq from task where seq between ?1 and ?2",
        )?
        .execute([place - BLOCK + 1, place])?;
    Ok(())
}

/// Indexes all tasks of a database that has none in the index.
pub(super) fn build(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "insert into task_of_test (test_id, seq) select test_id, seq from task order by test_id, seq",
    )
}

/// Takes a task out that is deleted.
pub(super) fn deleted(connection: &Connection, test_id: [u8; 16], place: TaskPlace) -> rusqlite::Result<()> {
    connection
        .prepare_cached("delete from task_of_test where test_id = ?1 and seq = ?2")?
        .execute(params![test_id, place])?;
    Ok(())
}
