-- The span of whoever posted a task, of those that sent one (W3C Trace Context): trace id, span id and flags. It is written
-- and read behind the commits, by AFMs that send spans, and deleted when the task has ended.
create table task_trace (
    task_id blob not null primary key check (length(task_id) = 16),
    context blob not null check (length(context) = 25)
) strict, without rowid;
