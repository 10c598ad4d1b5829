//! The `slamon-afm` command.
fn main() {}
