//! The private PgBouncer lends connections as it is told to.

use slamon_testbed::{PgBouncer, PgCluster};

#[test]
fn it_is_told_how_it_lends_and_may_be_told_anew() {
    let cluster = PgCluster::shared();
    let database = cluster.create_database();
    let mut bouncer = PgBouncer::start(cluster, &[("default_pool_size", "1")]).unwrap();
    assert_eq!(bouncer.sql(database.name(), "select current_database()"), database.name());
    let mode = "show databases";
    let line = |rows: String| rows.lines().find(|row| row.starts_with(database.name())).unwrap().to_owned();
    assert!(line(bouncer.console(mode)).contains(&cluster.port().to_string()));

    // What one client leaves, the next one has, unless it is told to clean up.
    let setting = |bouncer: &PgBouncer| {
        bouncer.sql(database.name(), "set work_mem = '7MB'");
        bouncer.sql(database.name(), "show work_mem")
    };
    assert_eq!(setting(&bouncer), "4MB");
    bouncer.set("pool_mode", "transaction");
    assert_eq!(setting(&bouncer), "7MB");
    assert!(bouncer.log_lines().iter().any(|line| line.contains("RELOAD")), "{:?}", bouncer.log_lines());
}

#[test]
fn a_setting_that_it_refuses_is_an_error_that_says_so() {
    let error = PgBouncer::start(PgCluster::shared(), &[("pool_mode", "none")]).unwrap_err();
    assert!(format!("{error:#}").contains("pool_mode"), "{error:#}");
}
