-- Less to write in a task's life, and claims that need not read past what was claimed before.

-- Waiting tasks in the order they are claimed in. All of it ascending, with the priority negated, so that a claim can
-- begin at a place in the line: while somebody holds a transaction open, what was claimed before stays in the index.
-- left(): a type or a filter may be of any length, an index key may not.
drop index task_waiting;
create index task_waiting
    on task (left(type, 100), version, left(agent_filter, 100), (-priority), seq)
    where state = 'pending';

-- PostgreSQL reads a table's checks anew with each statement that writes to it: those of this table took longer than
-- writing a dozen rows. What they said, the rules of a task's life see to. One is left, which is quick to read.
alter table task
    drop constraint task_state,
    drop constraint task_delay,
    drop constraint task_claim,
    drop constraint task_attempt,
    drop constraint task_end,
    drop constraint task_due,
    drop constraint task_result,
    drop constraint task_error,
    add constraint task_end check (
        case when finished_at is null then result is null and error is null else due_at is null end
    );

update slamon_schema set version = 3;
