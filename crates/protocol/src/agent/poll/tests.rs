//! What is taken for a poll, and what is wrong with the rest.

use proptest::prelude::*;

use super::*;

const ID: &str = "de305d54-75b4-431b-adb2-eb6b9e546013";

fn poll(rest: &str) -> Result<PollRequest, Invalid> {
    PollRequest::parse(&format!(
        r#"{{"protocol":1,"agent_id":"{ID}","agent_name":"","agent_time":"whenever",{rest}}}"#
    ))
}

#[test]
fn a_whole_poll() {
    let poll = poll(
        r#""agent_capabilities":{"a":{"version":1,"more":[]},"":{"version":-2},"a":{"version":3}},
           "max_tasks":5,"agent_location":{"country":"FI","region":"18","latitude":60,"longitude":24.9}"#,
    )
    .unwrap();
    let capability = |task_type: &str, version| Capability { task_type: task_type.into(), version };
    assert_eq!(poll.agent_capabilities, [capability("a", 3), capability("", -2)]);
    assert_eq!(poll.capabilities_to_json(), r#"{"a":3,"":-2}"#);
    assert_eq!(poll.max_tasks, 5);
    let location = poll.agent_location.unwrap();
    assert_eq!(location.to_json(), r#"{"country":"FI","region":"18","latitude":60.0,"longitude":24.9}"#);
}

#[test]
fn the_time_of_an_agent_is_any_string() {
    for time in [r#""""#, r#""\u0000""#, r#""\ud800""#] {
        let body = format!(
            r#"{{"protocol":1,"agent_id":"{ID}","agent_name":"","agent_time":{time},
                "agent_capabilities":{{}},"max_tasks":1}}"#
        );
        assert!(PollRequest::parse(&body).is_ok(), "{time}");
    }
}

#[test]
fn max_tasks_has_no_upper_end() {
    for (given, read) in [("0", 0), ("-0", 0), ("7", 7), ("123456789012345678901234567890", u32::MAX)] {
        let poll = poll(&format!(r#""agent_capabilities":{{}},"max_tasks":{given}"#)).unwrap();
        assert_eq!(poll.max_tasks, read);
    }
}

#[test]
fn what_an_agent_executes_is_a_list_of_ids_which_may_be_empty_or_absent() {
    let running = |ids: &str| poll(&format!(r#""agent_capabilities":{{}},"max_tasks":1{ids}"#));
    assert_eq!(running("").unwrap().agent_running, None);
    assert_eq!(running(r#","agent_running":[]"#).unwrap().agent_running, Some(vec![]));
    let ids = format!(r#","agent_running":["{ID}", "{}"]"#, ID.to_uppercase());
    assert_eq!(running(&ids).unwrap().agent_running, Some(vec![ID.parse().unwrap(); 2]));
    let many = |n| format!(r#","agent_running":[{}]"#, vec![format!("\"{ID}\""); n].join(","));
    assert_eq!(running(&many(MOST_RUNNING)).unwrap().agent_running.unwrap().len(), MOST_RUNNING);
    for (ids, error) in [
        (many(MOST_RUNNING + 1), "agent_running: must hold at most 1000 UUIDs, holds 1001"),
        (r#","agent_running":null"#.into(), "agent_running: must be an array of UUIDs, is null"),
        (r#","agent_running":{}"#.into(), "agent_running: must be an array of UUIDs, is an object"),
        (
            format!(r#","agent_running":["{ID}",1]"#),
            "agent_running.1: must be a UUID of 8-4-4-4-12 hexadecimal digits, is 1",
        ),
    ] {
        assert_eq!(running(&ids).unwrap_err().to_string(), error);
    }
}

#[test]
fn what_is_wrong_with_a_poll_is_named() {
    let caps = r#""agent_capabilities":{}"#;
    let at = |location: &str| format!(r#"{caps},"max_tasks":1,"agent_location":{location}"#);
    for (rest, error) in [
        (r#""max_tasks":1"#.into(), "agent_capabilities: is required"),
        (caps.into(), "max_tasks: is required"),
        (format!(r#"{caps},"max_tasks":-1"#), "max_tasks: must be an integer of 0 or more, is -1"),
        (format!(r#"{caps},"max_tasks":1.0"#), "max_tasks: must be an integer of 0 or more, is 1.0"),
        (
            r#""agent_capabilities":{"a":{}},"max_tasks":1"#.into(),
            "agent_capabilities.a.version: is required",
        ),
        (
            r#""agent_capabilities":{"a":{"version":"1"}},"max_tasks":1"#.into(),
            "agent_capabilities.a.version: must be an integer, is \"1\"",
        ),
        (
            r#""agent_capabilities":{"a":1},"max_tasks":1"#.into(),
            "agent_capabilities.a: must be an object, is 1",
        ),
        (
            r#""agent_capabilities":[],"max_tasks":1"#.into(),
            "agent_capabilities: must be an object, is an array",
        ),
        (
            format!(r#"{caps},"max_tasks":1,"max_wait":18446744073769.55"#),
            "max_wait: must be a number of seconds from 0 and at most 300, is 18446744073769.55",
        ),
        (at("null"), "agent_location: must be an object, is null"),
        (at(r#"{"region":"18"}"#), "agent_location.country: is required"),
        (at(r#"{"country":"FI"}"#), "agent_location.region: is required"),
        (
            at(r#"{"country":"FIN","region":"18"}"#),
            "agent_location.country: must be 2 characters long, has 3",
        ),
        (
            at(r#"{"country":"ÅÄ","region":"Ö"}"#),
            "agent_location.region: must be 2 to 4 characters long, has 1",
        ),
        (
            at(r#"{"country":"FI","region":"18","latitude":"60"}"#),
            "agent_location.latitude: must be a number, is \"60\"",
        ),
        (
            at(r#"{"country":"FI","region":"18","city":"Espoo"}"#),
            "agent_location.city: is not a known field; known are country, region, latitude, longitude",
        ),
    ] {
        assert_eq!(poll(&rest).unwrap_err().to_string(), error);
    }
}

#[test]
fn names_and_the_number_of_capabilities_are_bounded() {
    let poll = |name: usize, types: usize, of: usize| {
        let offers: Vec<String> = (0..types).map(|n| format!(r#""{n:0of$}":{{"version":1}}"#)).collect();
        PollRequest::parse(&format!(
            r#"{{"protocol":1,"agent_id":"{ID}","agent_name":"{}","agent_time":"","max_tasks":1,
                "agent_capabilities":{{{}}}}}"#,
            "x".repeat(name),
            offers.join(",")
        ))
    };
    for (name, types, of) in [(1_024, 1, 1_024), (0, 1_000, 10), (0, 1_000, 1_024)] {
        assert_eq!(poll(name, types, of).unwrap().agent_capabilities.len(), types);
    }
    for (name, types, of, error) in [
        (1_025, 1, 1, "agent_name: must be at most 1024 bytes long, has 1025"),
        (1, 1, 1_025, "agent_capabilities: a name must be at most 1024 bytes long, has 1025"),
        (1, 20, 1_025, "agent_capabilities: a name must be at most 1024 bytes long, has 1025"),
        (1, 1_001, 5, "agent_capabilities: must have at most 1000 members, has 1001"),
        (1, 38_000, 5, "agent_capabilities: must have at most 1000 members, has 38000"),
    ] {
        assert_eq!(poll(name, types, of).unwrap_err().to_string(), error);
    }
}

#[test]
fn the_limits_are_those_of_the_server() {
    let body = format!(
        r#"{{"protocol":1,"agent_id":"{ID}","agent_name":"abc","agent_time":"","max_tasks":1,
            "agent_capabilities":{{"abc":{{"version":1}},"d":{{"version":1}}}}}}"#
    );
    let parse = |name_bytes, capabilities| {
        let limits = Limits { name_bytes, capabilities };
        PollRequest::parse_within(&body, &limits).map_err(|e| e.to_string())
    };
    parse(3, 2).unwrap();
    assert_eq!(parse(2, 2).unwrap_err(), "agent_name: must be at most 2 bytes long, has 3");
    assert_eq!(parse(3, 1).unwrap_err(), "agent_capabilities: must have at most 1 members, has 2");
}

/// A string literal, without escapes or with one for each character.
fn literal(text: &str, is_escaped: bool) -> String {
    if !is_escaped {
        return format!("\"{text}\"");
    }
    let escapes: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{escapes}\"")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    /// The order of members, white space, escapes and values that a later one replaces do not matter.
    #[test]
    fn a_poll_says_the_same_however_it_is_written(
        name in "[a-zé😀]{0,6}",
        types in prop::collection::vec(("[a-d]{1,2}", any::<i64>()), 0..12),
        (max_tasks, max_wait) in (any::<u32>(), 0..=300_u64),
        running in prop::option::of(0..40_usize),
        order in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
        (escaped, repeated, spaced) in (any::<u16>(), any::<u16>(), any::<bool>()),
    ) {
        let flag = |flags: u16, n: usize| flags & (1 << n) != 0;
        let running: Option<Vec<String>> = running.map(|n| vec![literal(ID, flag(escaped, 15)); n]);
        let offers: Vec<String> = types
            .iter()
            .map(|(name, version)| {
                let more = if flag(repeated, 15) { "\"version\":null,\"x\":[{\"version\":7}]," } else { "" };
                let key = literal("version", flag(escaped, 14));
                format!("{}:{{{more}{key}:{version}}}", literal(name, flag(escaped, 13)))
            })
            .collect();
        let members = [
            ("protocol", Some("1".to_owned())),
            ("agent_id", Some(literal(ID, flag(escaped, 12)))),
            ("agent_name", Some(literal(&name, flag(escaped, 11)))),
            ("agent_time", Some("\"\"".to_owned())),
            ("agent_capabilities", Some(format!("{{{}}}", offers.join(",")))),
            ("max_tasks", Some(max_tasks.to_string())),
            ("agent_location", Some(r#"{"region":"18","country":"FI"}"#.to_owned())),
            ("max_wait", Some(max_wait.to_string())),
            ("agent_running", running.as_ref().map(|ids| format!("[{}]", ids.join(",")))),
        ];
        let mut written = Vec::new();
        for n in order {
            let (name, Some(value)) = &members[n] else { continue };
            let name = literal(name, flag(escaped, n));
            if flag(repeated, n) {
                written.push(format!(r#"{name}:[{{"version":"1"}},"{ID}"]"#));
            }
            written.push(format!("{name}:{value}"));
        }
        let mut body = format!("{{{}}}", written.join(","));
        if spaced {
            body = format!(" {} ", body.replace(',', " ,\n").replace(':', "\t: ").replace('{', "{\r "));
        }
        let mut agent_capabilities: Vec<Capability> = Vec::new();
        for (task_type, version) in types {
            match agent_capabilities.iter_mut().find(|offer| offer.task_type == task_type) {
                Some(offer) => offer.version = version,
                None => agent_capabilities.push(Capability { task_type, version }),
            }
        }
        let (country, region) = ("FI".into(), "18".into());
        let location = Location { country, region, latitude: None, longitude: None };
        let poll = PollRequest {
            agent_id: ID.parse().unwrap(),
            agent_name: name,
            agent_capabilities,
            max_tasks,
            agent_location: Some(location),
            max_wait: Duration::from_secs(max_wait),
            agent_running: running.map(|ids| vec![ID.parse().unwrap(); ids.len()]),
        };
        prop_assert_eq!(PollRequest::parse(&body), Ok(poll), "{}", body);
    }
}
