//! A PostgreSQL to try things on: prints its URI and its folder, and is gone when this program is, or its stdin ends.

use std::io::{self, Write};

use anyhow::Result;
use slamon_testbed::{PgCluster, PgOptions};

fn main() -> Result<()> {
    let cluster = PgCluster::start(&PgOptions::default())?;
    let database = cluster.create_database();
    println!("{}", database.uri());
    println!("{}", cluster.folder().display());
    io::stdout().flush()?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
