-- Ids are 16-byte blobs, times are microseconds since 1970-01-01 UTC, JSON is text as it came.

create table task (
    -- The order of arrival, which is what "oldest first" means: clocks may stand still or step back.
    seq         integer primary key,
    id          blob not null unique check (length(id) = 16),
    test_id     blob not null check (length(test_id) = 16),
    type        text not null,
    version     integer not null,
    data        text,
    created_at  integer not null,

    -- The state says which of the columns after it are set.
    state       text not null default 'pending'
                check (state in ('pending', 'claimed', 'completed', 'failed')),
    agent_id    blob check ((agent_id is not null) = (state <> 'pending')),
    claimed_at  integer check ((claimed_at is not null) = (state <> 'pending')),
    finished_at integer check ((finished_at is not null) = (state in ('completed', 'failed'))),
    result      text check ((result is not null) = (state = 'completed')),
    error       text check ((error is not null) = (state = 'failed'))
) strict;

-- Claims read this in its order and touch no other task, however many are stored.
create index task_waiting on task (type, version, seq) where state = 'pending';

-- An agent's tasks, newest first, for the dashboard.
create index task_of_agent on task (agent_id, seq) where agent_id is not null;

-- Tasks have no foreign key to their agent: agents are forgotten, tasks stay.
create table agent (
    id           blob not null primary key check (length(id) = 16),
    name         text not null,
    capabilities text not null, -- JSON: type -> version
    location     text,          -- JSON
    last_seen    integer not null
) strict, without rowid;
