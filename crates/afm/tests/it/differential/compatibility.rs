//! COMPATIBILITY.md says what the tests show, and names them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::additions::ADDITIONS;
use super::differences::DIFFERENCES;

const DOCUMENT: &str = include_str!("../../../../../COMPATIBILITY.md");

/// First cell, whole row, and what is in backticks in the last cell, of every row.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, Vec<&'static str>)> {
    DOCUMENT.lines().filter_map(|line| {
        let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let (first, last) = (cells.split(" | ").next()?, cells.rsplit(" | ").next()?);
        Some((first, line, last.split('`').skip(1).step_by(2).collect()))
    })
}

#[test]
fn every_allowed_difference_has_its_row() {
    let additions = ADDITIONS.iter().map(|addition| (addition.name, addition.why));
    let allowed = DIFFERENCES.iter().map(|difference| (difference.name, difference.why)).chain(additions);
    let listed: BTreeSet<&str> = allowed.clone().map(|(name, _)| name).collect();
    assert_eq!(listed.len(), allowed.clone().count(), "a name is there twice");
    let shown_here = rows().filter(|(_, _, tests)| tests.contains(&"differential"));
    assert_eq!(shown_here.map(|(name, _, _)| name).collect::<BTreeSet<_>>(), listed);
    for difference in DIFFERENCES {
        assert!(!difference.seen.is_empty(), "{} shows nowhere", difference.name);
    }
    for (name, why) in allowed {
        let row = rows().find(|(row, _, _)| *row == name);
        assert!(row.is_some_and(|(_, row, _)| row.contains(why)), "{name} is not explained");
    }
}

/// A test that is renamed must not be missed by those who look for it.
#[test]
fn the_tests_it_names_are_there() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for folder in ["src", "tests", "../protocol/src", "../domain/src", "../store/src", "../store/tests"] {
        collect(&here.join(folder), &mut names);
    }
    for (_, row, tests) in rows() {
        for test in tests {
            let missing = test.split("::").find(|name| !names.contains(*name));
            assert_eq!(missing, None, "{row}");
        }
    }
}

/// The names of all modules and functions.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a source");
            let functions = source.split("fn ").skip(1);
            names.extend(functions.filter_map(|rest| rest.split('(').next()).map(str::to_owned));
        }
    }
}
