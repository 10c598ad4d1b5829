-- The tables as they are now, for a database that has none. What brings older ones to this is in the numbered files, each
-- from the version before it; a test sees to it that both ways lead to the same. Ids are 16-byte blobs, times are
-- microseconds since 1970-01-01 UTC, durations are microseconds, JSON is text as it came.

create table slamon_schema (version integer not null) strict;

create table task (
    -- The order of arrival, which is what "oldest first" means: clocks may stand still or step back.
    seq          integer primary key,
    id           blob not null unique check (length(id) = 16),
    test_id      blob not null check (length(test_id) = 16),
    type         text not null,
    version      integer not null,
    data         text,
    created_at   integer not null,

    -- The terms; times in microseconds.
    ttl          integer,
    timeout      integer,
    max_attempts integer not null default 1,
    retry_errors integer not null default 0 check (retry_errors in (0, 1)),
    retry_delay  integer not null default 0,
    priority     integer not null default 0,
    delay        integer not null default 0,
    agent_filter text not null default '', -- JSON; empty: any agent

    -- The state says which of the columns after it are set: see the check at the end.
    state        text not null,
    attempts     integer not null default 0,
    available_at integer,
    -- When time alone will change the task.
    due_at       integer,
    -- The attempt that runs, or the last one of a task that ended. The alias of the first attempt is the id.
    alias        blob check (alias is null or (length(alias) = 16 and agent_id is not null)),
    agent_id     blob,
    claimed_at   integer check ((claimed_at is not null) = (agent_id is not null)),
    deadline_at  integer check (deadline_at is null or agent_id is not null),
    finished_at  integer,
    result       text,
    error        text,
    -- Who posted the task, by the name of their token.
    posted_by    text,

    -- One check for all, which compares the state with few others in most tasks. Without lists: of an "in" with more than
    -- two values SQLite makes a table, for each row that it checks.
    check (case state
        when 'pending' then
            agent_id is null and available_at is null and finished_at is null and result is null and error is null
        when 'claimed' then
            agent_id is not null and available_at is null and finished_at is null and result is null
            and error is null
        when 'completed' then
            agent_id is not null and available_at is null and due_at is null and finished_at is not null
            and result is not null and error is null
        when 'delayed' then
            agent_id is null and available_at is not null and finished_at is null and result is null
            and error is null
        else
            available_at is null and due_at is null and finished_at is not null and result is null
            and error is not null
            and case state
                when 'failed' then agent_id is not null
                when 'lost' then agent_id is not null
                when 'timed_out' then agent_id is not null
                else state = 'expired' or state = 'cancelled'
            end
        end)
) strict;

-- Claims read this in its order and touch no other task, however many are stored. A filter is part of it, so that
-- a claim does not read past tasks that are for other agents.
create index task_waiting on task (type, version, agent_filter, priority desc, seq) where state = 'pending';

-- Waiting tasks, newest first.
create index task_arrived on task (seq) where state = 'pending';

-- Lists of tasks, for people. All tasks lie in the order of their arrival, so these indexes are of what is rare among
-- them, and each has that order, too.
create index task_delayed on task (seq) where available_at is not null;
-- What ended without a result. A task that completes never gets here.
create index task_unsuccessful on task (seq) where error is not null;
create index task_unsuccessful_of_type on task (type, seq) where error is not null;

-- Whose attempts end when an agent is lost, and what agents execute now: there are no more of them than the fleet executes.
create index task_held on task (agent_id) where state = 'claimed';

-- An agent's tasks, newest first.
create index task_of_agent on task (agent_id, seq) where agent_id is not null;

-- What time changes next. Tasks posted without terms are not in it.
create index task_due on task (due_at) where due_at is not null;
create unique index task_alias on task (alias) where alias is not null;

-- What retention deletes.
create index task_finished on task (finished_at) where finished_at is not null;

-- The tasks of a process instance. It is written a block of tasks at a time: see sqlite/test_index.rs.
create table task_of_test (
    test_id blob not null,
    seq     integer not null, -- task.seq
    primary key (test_id, seq)
) strict, without rowid;

-- Attempts that ended without finishing their task.
create table attempt (
    task_id     blob not null check (length(task_id) = 16),
    number      integer not null check (number > 0),
    alias       blob not null unique check (length(alias) = 16),
    agent_id    blob not null check (length(agent_id) = 16),
    claimed_at  integer not null,
    deadline_at integer,
    ended_at    integer not null,
    ending      text not null
                check (ending in ('error', 'lost', 'abandoned', 'timed_out', 'expired', 'cancelled')),
    error       text check ((error is not null) = (ending = 'error')),
    -- Whether the agent still has to be told that its task is not wanted any more.
    untold      integer check (untold is null or (untold = 1 and ending in ('expired', 'cancelled'))),
    -- A result that came after the end.
    late_at     integer check ((late_at is not null) = (late_result is not null or late_error is not null)),
    late_result text,
    late_error  text check (late_error is null or late_result is null),
    primary key (task_id, number)
) strict, without rowid;
create index attempt_untold on attempt (agent_id) where untold is not null;

-- Whose names are still needed.
create index attempt_of_agent on attempt (agent_id);

-- Agents lie in the order of their arrival, not of their ids, which are random: a fleet that arrives is appended, and agents
-- that poll one after the other are neighbours.
create table agent (
    seq          integer primary key,
    id           blob not null unique check (length(id) = 16),
    name         text not null,
    capabilities text not null, -- JSON: type -> version
    location     text,          -- JSON
    last_seen    integer not null,
    -- How many tasks the agent asked for when it polled last.
    max_tasks    integer not null default 1
) strict;

-- Who offers what: agent.capabilities, to be searched.
create table agent_offer (
    type    text not null,
    version integer not null,
    agent   integer not null, -- agent.seq
    primary key (type, version, agent)
) strict, without rowid;
create index agent_offer_of on agent_offer (agent);

-- Agents that were forgotten, as long as there is a task or an attempt that was theirs: a name is kept once, not with
-- each task that it had.
create table past_agent (
    id   blob not null primary key check (length(id) = 16),
    name text not null
) strict, without rowid;

-- What operators have paused: agents, and types in one version or (null) in all. A handful of rows, which every AFM keeps in
-- memory and reads again each second.
create table pause (
    agent_id  blob unique check (length(agent_id) = 16),
    type      text check ((type is null) = (agent_id is not null)),
    version   integer check (version is null or type is not null),
    paused_at integer not null
) strict;

create unique index pause_of_version on pause (type, version) where version is not null;
create unique index pause_of_type on pause (type) where type is not null and version is null;

-- How many tasks of a type are in each state that is no end: the sum of all changes. A type without any has no row.
create table task_count (
    type    text not null,
    version integer not null,
    delayed integer not null,
    pending integer not null,
    claimed integer not null,
    primary key (type, version)
) strict, without rowid;

-- The sum over all types, in one row.
create table task_total (
    delayed    integer not null,
    pending    integer not null,
    claimed    integer not null,
    -- Whether the tasks that were there before these tables have been counted.
    is_counted integer not null check (is_counted in (0, 1))
) strict;

-- What one AFM has seen of a minute.
create table minute_statistics (
    minute   integer not null,
    instance blob not null check (length(instance) = 16),
    figures  text not null, -- JSON
    primary key (minute, instance)
) strict, without rowid;

-- The span of whoever posted a task, of those that sent one (W3C Trace Context): trace id, span id and flags. It is written
-- and read behind the commits, by AFMs that send spans, and deleted when the task has ended.
create table task_trace (
    task_id blob not null primary key check (length(task_id) = 16),
    context blob not null check (length(context) = 25)
) strict, without rowid;

-- How the attempts of an agent ended in a period of some minutes, as one AFM has seen it. What is older than an hour is deleted.
create table agent_outcome (
    period    integer not null,
    agent_id  blob not null check (length(agent_id) = 16),
    instance  blob not null check (length(instance) = 16),
    completed integer not null,
    failed    integer not null,
    primary key (period, agent_id, instance)
) strict, without rowid;

-- How many agents there were when an AFM last read all of them, in one row; that AFM, and when it said last that it does.
-- Small fleets are counted at each request, and have no census.
create table agent_census (
    instance   blob check (length(instance) = 16),
    held_at    integer,
    counted_at integer,
    active     integer not null default 0,
    lost       integer not null default 0,
    paused     integer not null default 0
) strict;

-- How many agents offer a type, of those types that a thousand of them offer.
create table offer_count (
    type    text not null,
    version integer not null,
    agents  integer not null,
    active  integer not null,
    primary key (type, version)
) strict, without rowid;

-- Who may do what, by the SHA-256 of their tokens. Every AFM has all of it in memory, and reads what has changed twice a second.
create table token (
    id           blob not null primary key check (length(id) = 16),
    name         text not null,
    role         text not null,
    hash         blob not null unique check (length(hash) = 32),
    -- Which agent the bearer may be: this one; or the one as which it polls first; or any.
    agent_id     blob check (agent_id is null or length(agent_id) = 16),
    binds_first  integer not null check (binds_first = 0 or (binds_first = 1 and agent_id is null)),
    types        text, -- The task types that the bearer may post: a list in JSON; null: all.
    created_at   integer not null,
    expires_at   integer,
    revoked_at   integer,
    last_used_at integer,
    -- Changes are numbered in the order of their commits; that the token was used is none.
    change       integer not null
) strict, without rowid;

create unique index token_changed on token (change);

insert into agent_census default values;
insert into task_total (delayed, pending, claimed, is_counted) values (0, 0, 0, 1);
