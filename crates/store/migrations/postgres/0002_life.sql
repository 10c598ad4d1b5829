-- The terms of a task, its attempts, and what time does to it. Durations are microseconds.

-- Rows are rewritten below: their indexes are made once, when they are as they should be.
drop index task_waiting, task_arrived, task_of_agent;

alter table task
    drop constraint task_state,
    drop constraint task_claim,
    drop constraint task_end,
    drop constraint task_result,
    drop constraint task_error,

    -- The terms.
    add column ttl bigint,
    add column timeout bigint,
    add column max_attempts integer not null default 1,
    add column retry_errors boolean not null default false,
    add column retry_delay bigint not null default 0,
    add column priority integer not null default 0,
    add column delay bigint not null default 0,
    -- JSON; empty: any agent.
    add column agent_filter text not null default '',

    add column attempts integer not null default 0,
    add column available_at timestamptz,
    -- When time alone will change the task.
    add column due_at timestamptz,
    -- With agent_id and claimed_at: the attempt that runs, or the last one of a task that ended. The alias of the first
    -- attempt is the id, and not kept.
    add column alias uuid,
    add column agent_name text,
    add column deadline_at timestamptz;

update task
set attempts = 1,
    agent_name = coalesce((select name from agent where agent.id = task.agent_id), '')
where state <> 'pending';

alter table task
    add constraint task_state check (state in (
        'delayed', 'pending', 'claimed', 'completed', 'failed', 'lost', 'timed_out', 'expired', 'cancelled'
    )),
    add constraint task_delay check ((state = 'delayed') = (available_at is not null)),
    -- Nobody has what waits. What ended may have been nobody's only if it expired or was cancelled.
    add constraint task_claim check (
        case
            when state in ('delayed', 'pending') then agent_id is null
            when state in ('expired', 'cancelled') then true
            else agent_id is not null
        end
    ),
    add constraint task_attempt check (
        (agent_id is null) = (claimed_at is null)
        and (agent_id is null) = (agent_name is null)
        and (alias is null or agent_id is not null)
        and (deadline_at is null or agent_id is not null)
    ),
    add constraint task_end check ((state in ('delayed', 'pending', 'claimed')) = (finished_at is null)),
    add constraint task_due check (due_at is null or finished_at is null),
    add constraint task_result check ((state = 'completed') = (result is not null)),
    add constraint task_error check (
        (state in ('delayed', 'pending', 'claimed', 'completed')) = (error is null)
    );

-- Waiting tasks in the order they are claimed in: a claim reads what it takes, however many are stored or wait. The
-- filter is part of it, so that no claim reads past tasks that are for other agents.
-- left(): a type or a filter may be of any length, an index key may not.
create index task_waiting on task (left(type, 100), version, left(agent_filter, 100), priority desc, seq)
    where state = 'pending';

-- Waiting tasks, newest first, and their number: for people.
-- The predicate says the same in other words, so that no plan ever takes this index for a claim: it would have to read
-- past all that waits of other types.
create index task_arrived on task (seq)
    where claimed_at is null and available_at is null and finished_at is null;

-- Attempts that have run for long: those whose agents may be lost. By time and not by agent, so that neither the tasks
-- that run for a moment nor the agents that have none are read.
-- A report takes its task out of this index and into that of finished tasks, so it is no heap-only update any more: it
-- writes to three indexes. The room on the page is still of use: what the claim left dead makes way for it.
create index task_held on task (claimed_at) where state = 'claimed';

-- The tasks of an agent, newest first: for people.
create index task_of_agent on task (agent_id, seq) where agent_id is not null;

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
    agent_name text not null,
    claimed_at timestamptz not null,
    deadline_at timestamptz,
    ended_at timestamptz not null,
    -- "end" is a word of SQL.
    ending text not null check (ending in ('error', 'lost', 'timed_out', 'expired', 'cancelled')),
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

alter table agent
    -- How many tasks it asked for when it polled last.
    add column max_tasks integer not null default 1,
    -- When it last changed what it offers; then, and only then, agent_offer is written.
    add column offered_at timestamptz not null default now();

-- Who offers what: agent.capabilities, to be searched. A row is changed only by who holds the lock of its agent.
create table agent_offer (
    agent_id uuid not null,
    type text not null,
    version bigint not null
);

create index agent_offer_of on agent_offer (agent_id);
create index agent_offer_by_type on agent_offer (left(type, 100), version, agent_id);

insert into agent_offer (agent_id, type, version)
select agent.id, offer.key, offer.value::bigint
from agent
cross join lateral json_each_text(agent.capabilities::json) as offer;

update slamon_schema set version = 2;
