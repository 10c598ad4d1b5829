//! Tasks as a fleet leaves them in the course of months: of many types, versions, tests and agents, in every state, with what
//! lies beside them. One was posted each second.
//!
//! All is drawn from a task's number, so that both stores have the same tasks and whoever asks knows what is there. Numbers
//! are multiplied by a constant without a common divisor with 2^32, which spreads them as evenly as chance would.

use uuid::Uuid;

/// What numbers are multiplied by.
const SPREAD: u64 = 2_654_435_761;

/// Half of all tasks have it.
pub(crate) const USUAL_TYPE: &str = "check-00";
/// A fortieth of the tasks or so.
pub(crate) const OTHER_TYPE: &str = "check-07";
/// Four tasks, whatever the size.
pub(crate) const RARE_TYPE: &str = "rare";
/// Every type but the rare one.
const TYPES: u64 = 20;

/// Few enough that each has had more tasks than a page lists, also in a store of ten thousand.
const AGENTS: u64 = 100;
/// Tasks of one test.
const OF_TEST: u64 = 20;
/// What is executed at the same time, at most: a fleet does not grow with its past.
const RUNNING: u64 = 1_000;

/// Where the numbers begin from which ids are drawn.
const AGENT_IDS: u64 = 1_000_000_000;
const TEST_IDS: u64 = 2_000_000_000;
const ALIASES: u64 = 3_000_000_000;

/// When task 0 would have been posted, in seconds since 1970.
const BEGAN: i64 = 1_700_000_000;

/// When a task was posted.
pub(crate) fn posted(task: u64) -> jiff::Timestamp {
    let seconds = i64::try_from(task).ok().and_then(|task| BEGAN.checked_add(task));
    seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()).unwrap_or(jiff::Timestamp::MAX)
}

pub(crate) fn task_id(task: u64) -> Uuid {
    id(task)
}

/// The test of a task.
pub(crate) fn test_id(task: u64) -> Uuid {
    id(TEST_IDS + task / OF_TEST)
}

pub(crate) fn agent_id(agent: u64) -> Uuid {
    id(AGENT_IDS + agent % AGENTS)
}

fn hash(number: u64) -> u64 {
    (number * SPREAD) & 0xffff_ffff
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(hash(number)) << 96 | u128::from(number))
}

/// Expressions that a store has words of its own for.
struct Words {
    id: fn(&str) -> String,
    /// Of a whole number of milliseconds since 1970.
    time: fn(&str) -> String,
    /// A number with two digits.
    two_digits: fn(&str) -> String,
}

const SQLITE: Words = Words {
    id: |number| format!("unhex(printf('%08x%024x', ({number}) * {SPREAD} & 4294967295, {number}))"),
    time: |milliseconds| format!("({milliseconds}) * 1000"),
    two_digits: |number| format!("printf('%02d', {number})"),
};

const POSTGRES: Words = Words {
    id: |number| {
        format!(
            "(lpad(to_hex(({number}) * {SPREAD} & 4294967295), 8, '0') || lpad(to_hex({number}), 24, '0'))::uuid"
        )
    },
    time: |milliseconds| format!("(timestamptz 'epoch' + ({milliseconds}) * interval '1 ms')"),
    two_digits: |number| format!("lpad(({number})::text, 2, '0')"),
};

pub(super) fn sqlite_rows((first, last): (u64, u64), stored: u64) -> String {
    let numbers = format!(
        "with recursive number(i) as (values ({first}) union all select i + 1 from number where i < {last}),"
    );
    rows(&numbers, &SQLITE, stored)
}

pub(super) fn postgres_rows((first, last): (u64, u64), stored: u64) -> String {
    let numbers = format!("with number(i) as (select generate_series({first}::bigint, {last})),");
    rows(&numbers, &POSTGRES, stored)
}

/// A statement that inserts the tasks of `numbers`. Of a hundred, one is delayed and two wait, as long as few run; of those
/// that have ended, four have failed, and one each was lost, timed out, expired or was cancelled.
fn rows(numbers: &str, words: &Words, stored: u64) -> String {
    let waiting = stored * 3 / 100;
    let started = stored - waiting;
    let ended = started - (stored / 100).min(RUNNING);
    let quarter = (stored / 4).max(1);
    let rare = quarter / 2;
    let posted = format!("{BEGAN}000 + i * 1000");
    let after = |milliseconds: u64| (words.time)(&format!("{posted} + {milliseconds}"));
    let (created, claimed, finished, expired) = (after(0), after(500), after(900), after(100_000));
    // Far from now, so that none becomes due.
    let available = (words.time)("4102444800000");
    let id = (words.id)("i");
    let test = (words.id)(&format!("{TEST_IDS} + i / {OF_TEST}"));
    let agent = (words.id)(&format!("{AGENT_IDS} + h / 10000 % {AGENTS}"));
    let alias = (words.id)(&format!("{ALIASES} + i"));
    let other = (words.two_digits)(&format!("1 + h / 200 % {}", TYPES - 1));
    format!(
        "{numbers}
         hashed(i, h) as (select i, i * {SPREAD} & 4294967295 from number),
         drawn(i, h, state) as (
             select i, h, case
                 when i > {started} then case when i % 3 = 0 then 'delayed' else 'pending' end
                 when i > {ended} then 'claimed'
                 when h % 100 < 4 then 'failed'
                 when h % 100 = 4 then 'lost'
                 when h % 100 = 5 then 'timed_out'
                 when h % 100 = 6 then 'expired'
                 when h % 100 = 7 then 'cancelled'
                 else 'completed'
             end
             from hashed
         ),
         held(i, h, state, attempts) as (
             select i, h, state, case
                 when state in ('delayed', 'pending', 'expired', 'cancelled') then 0
                 when state = 'completed' and h / 100 % 50 = 0 then 2
                 else 1
             end
             from drawn
         )
         insert into task (id, test_id, type, version, data, created_at, state, attempts, available_at, due_at,
                           alias, agent_id, claimed_at, finished_at, result, error)
         select {id}, {test},
                case when i % {quarter} = {rare} then '{RARE_TYPE}'
                     when h / 100 % 2 = 0 then '{USUAL_TYPE}' else 'check-' || {other} end,
                1 + h / 4000 % 3, '{{\"url\": \"http://127.0.0.1/\", \"number\": ' || i || '}}',
                {created}, state, attempts,
                case when state = 'delayed' then {available} end,
                case when state = 'delayed' then {available} end,
                case when attempts = 2 then {alias} end,
                case when attempts > 0 then {agent} end,
                case when attempts > 0 then {claimed} end,
                case when state in ('expired', 'cancelled') then {expired}
                     when attempts > 0 and state <> 'claimed' then {finished} end,
                case when state = 'completed' then '{{\"status\": 200}}' end,
                case when state = 'failed' then '\"connection refused by 10.0.0.' || (h % 250) || '\"'
                     when state not in ('delayed', 'pending', 'claimed', 'completed') then '\"' || state || '\"' end
         from held"
    )
}

/// What ends an attempt before the last one.
const ATTEMPTS: &str = "insert into attempt (task_id, number, alias, agent_id, claimed_at, ended_at, ending, error)
     select id, 1, id, agent_id, created_at, claimed_at, 'error', '\"connection reset\"' from task where attempts = 2";

/// Agents, attempts and the statistics of the last hour.
pub(super) fn sqlite_surroundings() -> Vec<String> {
    let now = "cast(unixepoch('subsec') * 1000000 as integer)";
    let id = (SQLITE.id)(&format!("{AGENT_IDS} + i"));
    vec![
        ATTEMPTS.to_owned(),
        // Seen tomorrow, so that none is lost while a run goes on.
        format!(
            "with recursive number(i) as (values (0) union all select i + 1 from number where i < {AGENTS} - 1)
             insert into agent (id, name, capabilities, location, last_seen)
             select {id}, 'agent-' || i, '{}', '{LOCATION}', {now} + 86400000000 from number",
            capabilities()
        ),
        "insert into agent_offer (type, version, agent)
         select key, value, agent.seq from agent, json_each(agent.capabilities)"
            .to_owned(),
        format!(
            "with recursive number(i) as (values (1) union all select i + 1 from number where i < 60)
             insert into minute_statistics (minute, instance, figures)
             select (unixepoch() / 60 - i) * 60000000, zeroblob(16), '{}' from number",
            figures()
        ),
    ]
}

/// The same for PostgreSQL.
pub(super) fn postgres_surroundings() -> Vec<String> {
    let id = (POSTGRES.id)(&format!("{AGENT_IDS} + i"));
    vec![
        ATTEMPTS.to_owned(),
        format!(
            "insert into agent (id, name, capabilities, location, last_seen)
             select {id}, 'agent-' || i, '{}', '{LOCATION}', now() + interval '1 day'
             from generate_series(0::bigint, {AGENTS} - 1) as i",
            capabilities()
        ),
        "insert into agent_offer (agent_id, type, version)
         select agent.id, offer.key, offer.value::bigint
         from agent cross join lateral json_each_text(agent.capabilities::json) as offer"
            .to_owned(),
        format!(
            "insert into minute_statistics (minute, instance, figures)
             select date_trunc('minute', now()) - i * interval '1 minute',
                    '00000000-0000-0000-0000-000000000000', '{}'
             from generate_series(1, 60) as i",
            figures()
        ),
    ]
}

const LOCATION: &str = r#"{"country": "Finland", "region": "Uusimaa"}"#;

/// Each agent offers every type but the rare one.
fn capabilities() -> String {
    let all = (0..TYPES).map(|number| format!(r#""check-{number:02}": 3"#));
    format!("{{{}}}", all.collect::<Vec<_>>().join(", "))
}

/// What happened in a minute, as the server saves it.
fn figures() -> String {
    let times = "[9000000,[10,20],[14,20],[17,15],[20,5]]";
    let of_type = |number| {
        format!(
            r#"{{"type":"check-{number:02}","version":1,"queue":{times},"run":{times},"total":{times},"counts":{{"posted":60,"claimed":60,"completed":56,"failed":4}}}}"#
        )
    };
    format!("[{}]", (0..TYPES).map(of_type).collect::<Vec<_>>().join(","))
}
