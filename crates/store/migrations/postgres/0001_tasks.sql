create table slamon_schema (
    version bigint not null
);

-- The order of arrival. Named, because a batch draws its numbers itself: it inserts in the order of ids (so that
-- two batches cannot deadlock), which is not the order its commands came in.
create table task (
    id uuid primary key,
    -- What "oldest first" means; no clock has a part in it.
    seq bigint not null generated always as identity (sequence name task_arrival),
    test_id uuid not null,
    type text not null,
    version bigint not null,
    -- JSON, kept as text: jsonb would reorder keys and rewrite numbers.
    data text,
    created_at timestamptz not null,
    state text not null,
    agent_id uuid,
    claimed_at timestamptz,
    finished_at timestamptz,
    -- A JSON object.
    result text,
    -- A JSON string with its quotes: as such it can say U+0000, which text cannot.
    error text,
    constraint task_state check (state in ('pending', 'claimed', 'completed', 'failed')),
    -- A pending task is nobody's, every other was claimed: "agent_id is null" and "pending" are the same.
    constraint task_claim check ((state = 'pending') = (agent_id is null) and (agent_id is null) = (claimed_at is null)),
    constraint task_end check ((state in ('completed', 'failed')) = (finished_at is not null)),
    constraint task_result check ((state = 'completed') = (result is not null)),
    constraint task_error check ((state = 'failed') = (error is not null))
    -- No foreign key to agent: agents are forgotten, their tasks stay.
) with (
    -- A row is changed twice in its life. Room on its page lets the second change, the report, be a heap-only one.
    fillfactor = 70
);

-- Waiting tasks in the order they are claimed in: a claim reads what it takes, however many are stored or wait.
-- left(): a type may be of any length, an index key may not.
-- "agent_id is null" rather than "state = 'pending'": a report changes the state and leaves agent_id alone, and a
-- change of a column that an index so much as mentions cannot be heap-only.
create index task_waiting on task (left(type, 100), version, seq) where agent_id is null;

-- Waiting tasks, newest first, and their number: for people.
-- "claimed_at is null" says the same in other words, so that no plan ever takes this index for a claim: it would
-- have to read past all that waits of other types.
create index task_arrived on task (seq) where claimed_at is null;

-- The tasks of an agent, newest first: for people.
create index task_of_agent on task (agent_id, seq) where agent_id is not null;

create table agent (
    id uuid primary key,
    name text not null,
    -- A JSON object: type to version.
    capabilities text not null,
    -- A JSON object.
    location text,
    -- Changes with every poll, so there is no index on it: each change stays on its page.
    last_seen timestamptz not null
) with (
    -- Each row is written again and again; half a page for new versions keeps the table from growing.
    fillfactor = 50
);

insert into slamon_schema (version) values (1);
