//! Every reading, against the real server on stores that were filled.

#[path = "../../../tests/it/afm.rs"]
#[expect(dead_code, reason = "the tests of loads start servers on empty stores, too")]
mod afm;

use self::afm::{Afm, Place, file};
use super::super::fill::{Contents, fill_postgres, fill_sqlite};
use super::readings::{Reading, readings};
use crate::{Load, Stop};

const STORED: u64 = 10_000;

fn fill(place: &Place) {
    match place {
        Place::Memory => panic!("it has no tasks before it starts"),
        Place::File(folder) => fill_sqlite(&file(folder), STORED, Contents::Varied, || Ok(())).unwrap(),
        Place::Postgres(database) => fill_postgres(database, STORED, Contents::Varied, || Ok(())).unwrap(),
    }
}

#[test]
fn everything_is_found_on_stores_that_are_filled() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for afm in Afm::on_filled_stores(fill) {
        let address = afm.address.to_string();
        for Reading { name, path, has, .. } in readings(STORED) {
            let words = [&*address, "--path", &path, "--has", has, "--count", "2", "--quiet"];
            let load = crate::parse::<crate::read::Read>(&words).unwrap();
            let report = runtime.block_on(load.run(&Stop::default())).unwrap();
            assert!(report.errors.is_empty() && report.done == 2, "{}: {name}, {path}:\n{report}", afm.name);
        }
    }
}
