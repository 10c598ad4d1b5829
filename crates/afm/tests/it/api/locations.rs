//! Tests how many agents there are in each place.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{Body, Place, Setup, TestApp, eventually, id};

fn poll(n: u64, country: &str, region: &str) -> Body {
    Body::poll(n).with("agent_location", json!({ "country": country, "region": region }).to_string())
}

#[track_caller]
fn locations(app: &TestApp) -> Value {
    app.get("/api/v1/locations").json()
}

fn counts(active: u64, lost: u64, paused: u64) -> Value {
    json!({ "active": active, "lost": lost, "paused": paused })
}

fn location(country: &str, region: &str, active: u64, lost: u64, paused: u64) -> Value {
    json!({ "country": country, "region": region, "active": active, "lost": lost, "paused": paused })
}

#[test]
fn agents_are_counted_by_country_and_region() {
    for place in [Place::Memory, Place::file(), Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        eventually("nobody is there", || locations(&app)["locations"] == json!([]));
        for (n, country, region) in [(1, "FI", "18"), (2, "FI", "18"), (3, "FI", "06"), (4, "<\"", "&é")] {
            app.poll(poll(n, country, region));
        }
        app.poll(Body::poll(5));
        app.clock.advance(Duration::from_secs(301));
        app.poll(poll(1, "FI", "18"));
        app.post(&format!("/api/v1/agents/{}/pause", id(3)), "").json();
        let expected = json!([
            location("<\"", "&é", 0, 1, 0),
            location("FI", "06", 0, 0, 1),
            location("FI", "18", 1, 1, 0),
        ]);
        eventually("they are counted anew", || locations(&app)["locations"] == expected);
        let all = locations(&app);
        assert_eq!(all["at"], "2026-11-22T19:28:02.621614+00:00");
        assert_eq!(
            (&all["elsewhere"], &all["others"], &all["is_complete"]),
            (&counts(0, 1, 0), &counts(0, 0, 0), &json!(true))
        );
        // What a row of the page leads to.
        for address in ["/dashboard/agents", "/dashboard/agents/places"] {
            let page = app.get(address).body;
            let link = "agents?country=%3C%22&#38;region=%26%C3%A9\"";
            assert!(page.contains(link) || page.contains(&link.replace("&#38;", "&amp;")), "{page}");
        }
        for (query, agents) in [
            ("country=%3C%22&region=%26%C3%A9", &[4][..]),
            ("country=FI", &[1, 2, 3]),
            ("state=lost&country=FI&region=18", &[2]),
            ("state=paused&country=FI&region=06", &[3]),
            ("country=fi", &[]),
            ("country=%00", &[]),
        ] {
            let page = app.get(&format!("/dashboard/agents?{query}"));
            assert_eq!(page.status, 200);
            for n in 1..=5 {
                assert_eq!(page.body.contains(&id(n)), agents.contains(&n), "{query} {n}");
            }
        }
        assert_eq!(app.get("/dashboard/agents?task_type=%00").status, 400);
    }
}

#[test]
fn no_request_waits_for_a_count_of_all_agents() {
    let (app, gate) = Setup::default().start_gated();
    gate.close();
    let page = app.get("/api/v1/locations").json();
    assert_eq!((&page["locations"], &page["at"]), (&Value::Null, &Value::Null));
    gate.wait_until_reached();
    // Nobody begins another one meanwhile.
    assert_eq!(locations(&app)["locations"], Value::Null);
    gate.open();
    eventually("it goes on", || locations(&app)["locations"] == json!([]));
    // The next one is slow, too: meanwhile, the last one holds.
    app.poll(poll(1, "FI", "18"));
    eventually("it is counted", || locations(&app)["locations"] == json!([location("FI", "18", 1, 0, 0)]));
    gate.close();
    assert_eq!(locations(&app)["locations"], json!([location("FI", "18", 1, 0, 0)]));
    gate.take_database_away();
    eventually("a count fails", || app.get("/api/v1/locations").status == 503);
}

#[test]
fn of_many_places_those_with_the_most_agents_are_listed() {
    let app = TestApp::start();
    for n in 0..1_010 {
        app.poll(poll(n, &format!("{:02}", n / 100), &format!("{:02}", n % 100)));
    }
    app.poll(poll(2_000, "10", "09"));
    let listed = || locations(&app);
    eventually("all are counted", || {
        let listed = listed();
        let places = listed["locations"].as_array().map_or(0, Vec::len);
        places == 1_000 && listed["others"] == counts(10, 0, 0)
    });
    let places = listed()["locations"].as_array().expect("a list").clone();
    assert_eq!(places.last(), Some(&location("10", "09", 2, 0, 0)));
    let page = app.get("/dashboard/agents").body;
    assert!(page.contains("All 1,000 places") && page.contains("10</bdi> <bdi>09"), "{page}");
    let page = app.get("/dashboard/agents/places").body;
    assert!(page.contains("In places that are not listed: 10 active, 0 lost, 0 paused."), "{page}");
}
