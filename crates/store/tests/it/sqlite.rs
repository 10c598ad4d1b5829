//! What is SQLite's own.

mod adoption;
mod full_disk;
mod killed;
mod migration;
mod process;
