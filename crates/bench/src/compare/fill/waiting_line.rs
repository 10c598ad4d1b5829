//! Tasks of one type, of which a tenth waits.

/// The type of all of them.
pub(crate) const TASK_TYPE: &str = "backlog";

/// How many of `stored` tasks wait; the rest has been completed.
pub(crate) fn waiting(stored: u64) -> u64 {
    stored / 10
}

pub(super) fn sqlite_rows((first, last): (u64, u64), stored: u64) -> String {
    let finished = stored - waiting(stored);
    format!(
        "with recursive number(i) as (values ({first}) union all select i + 1 from number where i < {last})
         insert into task (id, test_id, type, version, data, created_at, state, attempts,
                           agent_id, claimed_at, finished_at, result)
         select randomblob(16), randomblob(16), '{TASK_TYPE}', 1,
                '{{\"url\": \"http://127.0.0.1/\", \"number\": ' || i || '}}',
                1700000000000000 + i * 1000, iif(i > {finished}, 'pending', 'completed'), i <= {finished},
                iif(i > {finished}, null, randomblob(16)),
                iif(i > {finished}, null, 1700000000500000 + i * 1000),
                iif(i > {finished}, null, 1700000000900000 + i * 1000),
                iif(i > {finished}, null, '{{\"status\": 200}}')
         from number"
    )
}

pub(super) fn postgres_rows((first, last): (u64, u64), stored: u64) -> String {
    let finished = stored - waiting(stored);
    format!(
        "insert into task (id, test_id, type, version, data, created_at, state, attempts,
                           agent_id, claimed_at, finished_at, result)
         select gen_random_uuid(), gen_random_uuid(), '{TASK_TYPE}', 1,
                '{{\"url\": \"http://127.0.0.1/\", \"number\": ' || i || '}}',
                timestamptz '2023-11-14' + i * interval '1 ms',
                case when waits then 'pending' else 'completed' end, case when waits then 0 else 1 end,
                case when not waits then gen_random_uuid() end,
                case when not waits then timestamptz '2023-11-14' + i * interval '1 ms' + interval '0.5 s' end,
                case when not waits then timestamptz '2023-11-14' + i * interval '1 ms' + interval '0.9 s' end,
                case when not waits then '{{\"status\": 200}}' end
         from (select i, i > {finished} as waits from generate_series({first}, {last}) as i) as number"
    )
}
