//! What is SQLite's own.

mod adoption;
mod adoption_killed;
mod full_disk;
mod killed;
mod migration;
mod process;
mod replaced;
mod test_index;
mod wal;
