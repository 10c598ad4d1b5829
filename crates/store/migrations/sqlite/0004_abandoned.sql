-- Attempts also end because their agent, which lives, does not execute them. SQLite cannot change the checks of a table, so
-- the table is made anew.

create table attempt_4 (
    task_id     blob not null check (length(task_id) = 16),
    number      integer not null check (number > 0),
    alias       blob not null unique check (length(alias) = 16),
    agent_id    blob not null check (length(agent_id) = 16),
    agent_name  text not null,
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

insert into attempt_4
select task_id, number, alias, agent_id, agent_name, claimed_at, deadline_at, ended_at, ending, error, untold,
       late_at, late_result, late_error
from attempt;

drop table attempt;
alter table attempt_4 rename to attempt;

create index attempt_untold on attempt (agent_id) where untold is not null;
