-- The span of whoever posted a task, of those that sent one (W3C Trace Context): trace id, span id and flags. It is written
-- and read behind the commits, by AFMs that send spans, and deleted when the task has ended. It has no foreign key: a check of
-- it would lock the task, and claims would pass it over.
create table task_trace (
    task_id uuid primary key,
    context bytea not null check (length(context) = 25)
);

update slamon_schema set version = 10;
