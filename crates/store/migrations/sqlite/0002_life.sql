-- The terms of a task, its attempts, and what time does to it. SQLite cannot change the checks of a table, so the
-- table is made anew.

create table task_2 (
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
    agent_name   text check ((agent_name is not null) = (agent_id is not null)),
    claimed_at   integer check ((claimed_at is not null) = (agent_id is not null)),
    deadline_at  integer check (deadline_at is null or agent_id is not null),
    finished_at  integer,
    result       text,
    error        text,

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

insert into task_2 (seq, id, test_id, type, version, data, created_at, state, attempts,
                    agent_id, agent_name, claimed_at, finished_at, result, error)
select seq, id, test_id, type, version, data, created_at, state, state <> 'pending',
       agent_id, iif(agent_id is null, null, coalesce((select name from agent where agent.id = agent_id), '')),
       claimed_at, finished_at, result, error
from task;

drop table task;
alter table task_2 rename to task;

-- Claims read this in its order and touch no other task, however many are stored. A filter is part of it, so that
-- a claim does not read past tasks that are for other agents.
create index task_waiting on task (type, version, agent_filter, priority desc, seq) where state = 'pending';

-- Waiting tasks, newest first, for the dashboard.
create index task_arrived on task (seq) where state = 'pending';

-- Whose attempts end when an agent is lost.
create index task_held on task (agent_id) where state = 'claimed';

-- An agent's tasks, newest first, for the dashboard.
create index task_of_agent on task (agent_id, seq) where agent_id is not null;

-- What time changes next. Tasks posted without terms are not in it.
create index task_due on task (due_at) where due_at is not null;

create unique index task_alias on task (alias) where alias is not null;

-- What retention deletes.
create index task_finished on task (finished_at) where finished_at is not null;

-- Attempts that ended without finishing their task.
create table attempt (
    task_id     blob not null check (length(task_id) = 16),
    number      integer not null check (number > 0),
    alias       blob not null unique check (length(alias) = 16),
    agent_id    blob not null check (length(agent_id) = 16),
    agent_name  text not null,
    claimed_at  integer not null,
    deadline_at integer,
    ended_at    integer not null,
    ending      text not null check (ending in ('error', 'lost', 'timed_out', 'expired', 'cancelled')),
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

-- How many tasks the agent asked for when it polled last.
alter table agent add column max_tasks integer not null default 1;

-- Who offers what: agent.capabilities, to be searched.
create table agent_offer (
    type     text not null,
    version  integer not null,
    agent_id blob not null check (length(agent_id) = 16),
    primary key (type, version, agent_id)
) strict, without rowid;

create index agent_offer_of on agent_offer (agent_id);

insert into agent_offer (type, version, agent_id)
select key, value, agent.id from agent, json_each(agent.capabilities);
