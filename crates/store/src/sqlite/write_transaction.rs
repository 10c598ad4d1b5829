//! Transactions that write.

use rusqlite::Connection;

/// A transaction that writes; it is rolled back where it is dropped before it was committed.
///
/// Those of rusqlite have BEGIN and COMMIT parsed anew each time, which takes longer than to execute them.
pub(super) struct WriteTransaction<'c> {
    pub(super) connection: &'c Connection,
}

impl<'c> WriteTransaction<'c> {
    /// Begins one at once: two processes on one file must not both read before either writes.
    pub(super) fn begin(connection: &'c mut Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("begin immediate")?.execute([])?;
        Ok(Self { connection })
    }

    pub(super) fn commit(self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("commit")?.execute([])?;
        Ok(())
    }
}

impl Drop for WriteTransaction<'_> {
    fn drop(&mut self) {
        // Some errors have rolled it back already.
        if !self.connection.is_autocommit() {
            // An error that stays is met by the next transaction.
            let _ = self.connection.execute_batch("rollback");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(connection: &Connection) -> i64 {
        connection.query_row("select count(*) from t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_is_not_committed_is_rolled_back() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("create table t (n integer primary key)").unwrap();
        let insert = "insert into t values (1)";
        let transaction = WriteTransaction::begin(&mut connection).unwrap();
        transaction.connection.execute_batch(insert).unwrap();
        drop(transaction);
        assert_eq!((count(&connection), connection.is_autocommit()), (0, true));
        let transaction = WriteTransaction::begin(&mut connection).unwrap();
        transaction.connection.execute_batch(insert).unwrap();
        transaction.connection.execute_batch("insert or rollback into t values (1)").unwrap_err();
        drop(transaction);
        assert_eq!((count(&connection), connection.is_autocommit()), (0, true));
        let transaction = WriteTransaction::begin(&mut connection).unwrap();
        transaction.connection.execute_batch(insert).unwrap();
        transaction.commit().unwrap();
        assert_eq!((count(&connection), connection.is_autocommit()), (1, true));
    }

    #[test]
    fn what_cannot_be_committed_is_rolled_back() {
        let mut connection = Connection::open_in_memory().unwrap();
        let tables = "pragma foreign_keys = on; create table t (n integer primary key);
             create table u (t integer references t (n) deferrable initially deferred)";
        connection.execute_batch(tables).unwrap();
        let transaction = WriteTransaction::begin(&mut connection).unwrap();
        transaction.connection.execute_batch("insert into t values (2); insert into u values (1)").unwrap();
        transaction.commit().unwrap_err();
        assert_eq!((count(&connection), connection.is_autocommit()), (0, true));
    }
}
