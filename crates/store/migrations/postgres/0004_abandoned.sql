-- Attempts also end because their agent, which lives, does not execute them.

alter table attempt
    drop constraint attempt_ending_check,
    add constraint attempt_ending_check
        check (ending in ('error', 'lost', 'abandoned', 'timed_out', 'expired', 'cancelled'));

-- What an agent has, to be compared with what it says that it executes.
create index task_of_holder on task (agent_id) where state = 'claimed';

update slamon_schema set version = 4;
