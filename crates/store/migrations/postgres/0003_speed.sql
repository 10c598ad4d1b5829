-- Less to write in a task's life, and claims that need not read past what was claimed before.

-- Waiting tasks in the order they are claimed in. All of it ascending, with the priority negated, so that a claim can
-- begin at a place in the line: while somebody holds a transaction open, what was claimed before stays in the index.
-- left(): a type or a filter may be of any length, an index key may not.
drop index task_waiting;
create index task_waiting
    on task (left(type, 100), version, left(agent_filter, 100), (-priority), seq)
    where state = 'pending';

update slamon_schema set version = 3;
