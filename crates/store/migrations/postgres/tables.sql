-- The tables as they are now, for a database that has none. What brings older ones to this is in the numbered files, each
-- from the version before it; a test sees to it that both ways lead to the same. Durations are microseconds.

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
    -- With claimed_at, alias and deadline_at: the attempt that runs, or the last one of a task that ended.
    agent_id uuid,
    claimed_at timestamptz,
    finished_at timestamptz,
    -- A JSON object.
    result text,
    -- A JSON string with its quotes: as such it can say U+0000, which text cannot.
    error text,

    -- The terms.
    ttl bigint,
    timeout bigint,
    max_attempts integer not null default 1,
    retry_errors boolean not null default false,
    retry_delay bigint not null default 0,
    priority integer not null default 0,
    delay bigint not null default 0,
    -- JSON; empty: any agent.
    agent_filter text not null default '',

    attempts integer not null default 0,
    available_at timestamptz,
    -- When time alone will change the task.
    due_at timestamptz,
    -- Under which id a further attempt was handed out; that of the first is the task's own, and not kept.
    alias uuid,
    deadline_at timestamptz,
    -- Who posted the task, by the name of their token.
    posted_by text,
    -- PostgreSQL reads a table's checks anew with each statement that writes to it, which takes longer than writing a dozen
    -- rows: so there is one only, which is quick to read.
    constraint task_end check (
        case when finished_at is null then result is null and error is null else due_at is null end
    )
    -- No foreign key to agent: agents are forgotten, their tasks stay.
) with (
    -- A row is changed twice in its life. Room on its page makes way for what the claim left dead.
    fillfactor = 70
);

-- Waiting tasks in the order they are claimed in: a claim reads what it takes, however many are stored or wait. The
-- filter is part of it, so that no claim reads past tasks that are for other agents. All of it ascending, with the
-- priority negated, so that a claim can begin at a place in the line: while somebody holds a transaction open, what was
-- claimed before stays in the index.
-- left(): a type or a filter may be of any length, an index key may not.
create index task_waiting
    on task (left(type, 100), version, left(agent_filter, 100), (-priority), seq)
    where state = 'pending';

-- Waiting tasks, newest first, and their number: for people.
-- The predicate says the same in other words, so that no plan ever takes this index for a claim: it would have to read
-- past all that waits of other types.
create index task_arrived on task (seq)
    where claimed_at is null and available_at is null and finished_at is null;

-- Lists of tasks in the order of arrival, for people. Every version of a row is written to each index that has it, so each
-- state has an index of its own, with that of waiting tasks above, and all tasks are read by merging them. Predicates do
-- not name states, so that no plan for a claim or a sweep takes them. What runs is found through the indexes of it below, and
-- sorted: there is no more of it than the fleet executes.
create index task_delayed on task (seq) where available_at is not null;
create index task_completed on task (seq) where result is not null;
create index task_unsuccessful on task (seq) where error is not null;
-- In words from which that of the one before does not follow, so that no plan takes that one for a type.
create index task_unsuccessful_of_type on task (left(type, 100), seq) where finished_at is not null and result is null;

-- All tasks of a process instance but those that run.
create index task_of_test on task (test_id, seq) where claimed_at is null or finished_at is not null;

-- Attempts that have run for long: those whose agents may be lost. By time and not by agent, so that neither the tasks
-- that run for a moment nor the agents that have none are read.
create index task_held on task (claimed_at) where state = 'claimed';

-- What an agent has, to be compared with what it says that it executes; and, with what has ended of what it had, for people.
create index task_of_holder on task (agent_id, seq) where state = 'claimed';
create index task_ended_of_agent on task (agent_id, seq) where finished_at is not null;

-- What time changes next. Tasks posted without terms are not in it.
create index task_due on task (due_at) where due_at is not null;

-- Under which id a further attempt was handed out.
create unique index task_alias on task (alias) where alias is not null;

-- What retention deletes, the oldest first.
create index task_finished on task (finished_at) where finished_at is not null;

-- Attempts that ended without finishing their task. A row is changed only by who holds the lock of its task, but for
-- "untold".
create table attempt (
    task_id uuid not null,
    number integer not null check (number > 0),
    alias uuid not null unique,
    agent_id uuid not null,
    claimed_at timestamptz not null,
    deadline_at timestamptz,
    ended_at timestamptz not null,
    -- "end" is a word of SQL.
    ending text not null check (ending in ('error', 'lost', 'abandoned', 'timed_out', 'expired', 'cancelled')),
    error text check ((error is not null) = (ending = 'error')),
    -- Whether the agent still has to be told that its task is not wanted any more.
    untold boolean not null default false check (not untold or ending in ('expired', 'cancelled')),
    -- A result that came after the end.
    late_at timestamptz check ((late_at is not null) = (late_result is not null or late_error is not null)),
    late_result text,
    late_error text check (late_error is null or late_result is null),
    primary key (task_id, number)
    -- No foreign key to task: retention deletes both, in its own order.
);

create index attempt_untold on attempt (agent_id) where untold;

-- Whose names are still needed.
create index attempt_of_agent on attempt (agent_id);

create table agent (
    id uuid primary key,
    name text not null,
    -- A JSON object: type to version.
    capabilities text not null,
    -- A JSON object.
    location text,
    -- Changes with every poll, so there is no index on it: each change stays on its page.
    last_seen timestamptz not null,
    -- How many tasks it asked for when it polled last.
    max_tasks integer not null default 1,
    -- When it last changed what it offers; then, and only then, agent_offer is written.
    offered_at timestamptz not null default now()
) with (
    -- Each row is written again and again; half a page for new versions keeps the table from growing.
    fillfactor = 50
);

-- Who offers what: agent.capabilities, to be searched. A row is changed only by who holds the lock of its agent.
create table agent_offer (
    agent_id uuid not null,
    type text not null,
    version bigint not null
);

create index agent_offer_of on agent_offer (agent_id);
create index agent_offer_by_type on agent_offer (left(type, 100), version, agent_id);

-- The names of agents that were forgotten, as long as there is a task or an attempt that was theirs.
create table past_agent (
    id uuid primary key,
    name text not null
);

-- What operators have paused: agents, and types in one version or (null) in all. A handful of rows, which every AFM keeps in
-- memory and reads again each second. Who changes it locks it, so that nothing is paused twice: a type may be too long for
-- the key of a unique index.
create table pause (
    agent_id uuid unique,
    type text check ((type is null) = (agent_id is not null)),
    version bigint check (version is null or type is not null),
    paused_at timestamptz not null
);

create index pause_of_type on pause (left(type, 100)) where type is not null;

-- How many tasks of a type are in each state that is no end: the sum of all changes. A type without any has no row.
create table task_count (
    type text not null,
    version bigint not null,
    delayed bigint not null,
    pending bigint not null,
    claimed bigint not null
) with (
    -- Rows are written again and again, and no index has what changes.
    fillfactor = 50
);

-- md5(): types may be of any length, and must be told apart by all of it.
create unique index task_count_of_type on task_count (left(type, 100), md5(type), version);

-- The sum over all types, in one row. Who saves changes or counts tasks holds its lock.
create table task_total (
    delayed bigint not null,
    pending bigint not null,
    claimed bigint not null,
    -- Whether the tasks that were there before these tables have been counted.
    is_counted boolean not null,
    -- What the last count has seen (pg_snapshot): changes by these transactions are not added any more.
    snapshot text
) with (fillfactor = 50);

-- What one AFM has seen of a minute.
create table minute_statistics (
    minute timestamptz not null,
    instance uuid not null,
    -- JSON.
    figures text not null,
    primary key (minute, instance)
) with (fillfactor = 50);

-- The span of whoever posted a task, of those that sent one (W3C Trace Context): trace id, span id and flags. It is written
-- and read behind the commits, by AFMs that send spans, and deleted when the task has ended. It has no foreign key: a check of
-- it would lock the task, and claims would pass it over.
create table task_trace (
    task_id uuid primary key,
    context bytea not null check (length(context) = 25)
);

-- How the attempts of an agent ended in a period of some minutes, as one AFM has seen it: that AFM alone writes the row. What is
-- older than an hour is deleted. Behind the commits: no task waits for it.
create table agent_outcome (
    period timestamptz not null,
    agent_id uuid not null,
    instance uuid not null,
    completed bigint not null,
    failed bigint not null,
    primary key (period, agent_id, instance)
) with (fillfactor = 70);

-- How many agents there were when an AFM last read all of them, in one row; that AFM, and when it said last that it does.
-- Small fleets are counted at each request, and have no census.
create table agent_census (
    instance uuid,
    held_at timestamptz,
    counted_at timestamptz,
    active bigint not null default 0,
    lost bigint not null default 0,
    paused bigint not null default 0
) with (fillfactor = 50);

-- How many agents offer a type, of those types that a thousand of them offer.
create table offer_count (
    type text not null,
    version bigint not null,
    agents bigint not null,
    active bigint not null
) with (fillfactor = 50);

-- md5(): types may be of any length, and must be told apart by all of it.
create unique index offer_count_of_type on offer_count (left(type, 100), md5(type), version);

-- Who may do what, by the SHA-256 of their tokens. Every AFM has all of it in memory, and reads what has changed twice a second.
create table token (
    id uuid primary key,
    name text not null,
    role text not null,
    hash bytea not null unique check (length(hash) = 32),
    -- Which agent the bearer may be: this one; or the one as which it polls first; or any.
    agent_id uuid,
    binds_first boolean not null check (not binds_first or agent_id is null),
    -- The task types that the bearer may post: a list in JSON, which can say U+0000; null: all.
    types text,
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    -- Written behind; no index has it.
    last_used_at timestamptz,
    -- Changes are numbered in the order of their commits: who makes one locks the table. That the token was used is none.
    change bigint not null
) with (fillfactor = 70);

create unique index token_changed on token (change);

insert into agent_census default values;
insert into task_total (delayed, pending, claimed, is_counted) values (0, 0, 0, true);

insert into slamon_schema (version) values (14);
