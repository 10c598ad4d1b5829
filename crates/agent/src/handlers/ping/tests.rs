use serde_json::{Value, json};

use super::*;

/// Set for a process of the tests that may not ping as root may.
const AS_ANYBODY: &str = "SLAMON_TEST_PINGS_AS_ANYBODY";

async fn execute_with(data: Value) -> Result<Value, String> {
    let data = serde_json::from_value(data).unwrap();
    let outcome = execute(data, Context::alone(), Arc::default()).await;
    outcome.map(|output| serde_json::to_value(output).unwrap()).map_err(|failure| failure.to_string())
}

fn check_answers(output: &Value, address: &str) {
    assert_eq!(output["address"], address);
    assert_eq!((&output["sent"], &output["received"]), (&json!(3), &json!(3)), "{output}");
    assert_eq!(output["loss_percent"], 0.0);
    let times = ["min_ms", "avg_ms", "max_ms", "total_ms"].map(|name| output[name].as_f64().unwrap());
    assert!(times[0] > 0.0 && times.is_sorted(), "{times:?}");
    assert!(times[3] >= 200.0, "{times:?}");
}

/// Whether the system lets every group ping.
fn everybody_may_ping() -> bool {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap();
    let range: Vec<u32> = range.split_whitespace().map(|number| number.parse().unwrap()).collect();
    (range[0]..=range[1]).contains(&rustix::process::getegid().as_raw())
}

#[tokio::test]
async fn this_machine_answers_over_both_protocols() {
    let is_root = rustix::process::geteuid().is_root();
    for (host, version, address) in
        [("127.0.0.1", 4, "127.0.0.1"), ("::1", 6, "::1"), ("localhost", 4, "127.0.0.1")]
    {
        let data =
            json!({"host": host, "ip_version": version, "count": 3, "interval": 0.1, "max_loss_percent": 0});
        match execute_with(data).await {
            Ok(output) => check_answers(&output, address),
            Err(error) => {
                assert!(!is_root && !everybody_may_ping(), "{error}");
                assert!(error.starts_with("the system of this agent does not let it ping: "), "{error}");
            }
        }
    }
}

/// The part of the next test that runs without privileges.
#[tokio::test]
async fn who_has_no_privilege() {
    if std::env::var_os(AS_ANYBODY).is_none() {
        return;
    }
    let outcome = execute_with(json!({"host": "127.0.0.1", "count": 3, "interval": 0.1})).await;
    if everybody_may_ping() {
        return check_answers(&outcome.unwrap(), "127.0.0.1");
    }
    let error = outcome.unwrap_err();
    assert!(error.starts_with("the system of this agent does not let it ping: "), "{error}");
    assert!(error.contains("net.ipv4.ping_group_range") && error.contains("CAP_NET_RAW"), "{error}");
}

#[tokio::test]
async fn without_privileges_the_system_decides() {
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--bounding-set", "-net_raw", "--inh-caps", "-net_raw"])
        .arg(std::env::current_exe().unwrap());
    command.args(["--exact", "handlers::ping::tests::who_has_no_privilege"]).env(AS_ANYBODY, "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[tokio::test]
async fn data_out_of_its_bounds_and_forbidden_addresses_are_refused() {
    for (data, expected) in [
        (json!({"host": "127.0.0.1", "count": 0}), "task_data.count: must be from 1 to 100, and is 0"),
        (json!({"host": "127.0.0.1", "count": 101}), "task_data.count: must be from 1 to 100, and is 101"),
        (
            json!({"host": "127.0.0.1", "interval": 0.01}),
            "task_data.interval: must be from 0.1 to 60 seconds, and is 0.01",
        ),
        (
            json!({"host": "127.0.0.1", "max_loss_percent": 101}),
            "task_data.max_loss_percent: must be from 0 to 100, and is 101",
        ),
        (json!({"host": "169.254.169.254"}), "this agent does not allow tasks to reach 169.254.169.254"),
    ] {
        assert_eq!(execute_with(data).await.unwrap_err(), expected);
    }
}

/// Requests of which these were answered, in milliseconds.
fn requests(answered: &[Option<u64>], problem: Option<&str>) -> Requests {
    Requests {
        sent: answered.iter().map(|_| Instant::now()).collect(),
        answered: answered.iter().map(|time| time.map(Duration::from_millis)).collect(),
        problem: problem.map(str::to_owned),
    }
}

#[test]
fn what_is_lost_is_told() {
    let limit = Timeout::default().limit(&Context::alone());
    let check = |requests: &Requests, most| {
        requests.check("203.0.113.7", most, &limit).map_err(|failure| failure.to_string())
    };
    let half = requests(&[Some(1), None, None], None);
    assert_eq!(half.loss_percent(), 66.667);
    assert_eq!(check(&half, None), Ok(()));
    assert_eq!(check(&half, Some(66.667)), Ok(()));
    assert_eq!(
        check(&half, Some(50.0)).unwrap_err(),
        "203.0.113.7 has answered 1 of 3 pings: 66.667 % were lost, and at most 50 % may be"
    );
    let none = requests(&[None, None], Some("the host is unreachable"));
    let error = check(&none, None).unwrap_err();
    assert!(error.starts_with("203.0.113.7 has answered none of 2 pings within "), "{error}");
    assert!(error.ends_with(": the host is unreachable"), "{error}");
    assert_eq!(check(&none, Some(100.0)), Ok(()));
}

#[test]
fn answers_count_once_and_only_to_what_was_sent() {
    let mut requests = requests(&[None, None], None);
    requests.take(Some(2));
    requests.take(None);
    assert!(requests.times().is_empty());
    requests.take(Some(1));
    let first = requests.times();
    requests.take(Some(1));
    assert_eq!((requests.times(), requests.is_complete()), (first, false));
}
