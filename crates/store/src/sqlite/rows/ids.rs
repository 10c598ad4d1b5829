//! Ids of attempts: which are used, and which are free.

use rusqlite::Connection;
use slamon_domain::alias;
use uuid::Uuid;

/// Gives the first of the ids made by `make` that neither a task nor an attempt has.
pub(in crate::sqlite) fn unused_id(
    connection: &Connection,
    mut make: impl FnMut() -> Uuid,
) -> rusqlite::Result<Uuid> {
    let mut is_used = connection.prepare_cached(
        "select 1 from task where id = ?1 union all select 1 from task where alias = ?1
         union all select 1 from attempt where alias = ?1",
    )?;
    loop {
        let id = make();
        if !is_used.exists([id.as_bytes()])? {
            return Ok(id);
        }
    }
}

/// Whether an attempt that is not its task's first has this id.
pub(in crate::sqlite) fn is_of_attempt(connection: &Connection, id: Uuid) -> rusqlite::Result<bool> {
    if !alias::is_possible(id) {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "select 1 from task where alias = ?1
             union all select 1 from attempt where alias = ?1 and task_id <> ?1",
        )?
        .exists([id.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_none_that_a_task_or_an_attempt_has() {
        let connection = Connection::open_in_memory().unwrap();
        for migration in [
            include_str!("../../../migrations/sqlite/0001_tasks.sql"),
            include_str!("../../../migrations/sqlite/0002_life.sql"),
        ] {
            connection.execute_batch(migration).unwrap();
        }
        let id = |n: u128| format!("x'{}'", Uuid::from_u128(n).simple());
        connection
            .execute_batch(&format!(
                "insert into task (id, test_id, type, version, created_at, state, alias, agent_id, agent_name,
                                   claimed_at)
                 values ({}, {0}, '', 1, 0, 'claimed', {}, {0}, '', 0);
                 insert into attempt (task_id, number, alias, agent_id, agent_name, claimed_at, ended_at,
                 ending)
                 values ({0}, 2, {}, {0}, '', 0, 0, 'lost')",
                id(1),
                id(2),
                id(3)
            ))
            .unwrap();
        let mut made = 0;
        let unused = unused_id(&connection, || {
            made += 1;
            Uuid::from_u128(made)
        });
        assert_eq!(unused.unwrap(), Uuid::from_u128(4));
    }
}
