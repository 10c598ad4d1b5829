-- Statistics: what happened minute by minute, and how many tasks wait and run.

-- How many tasks of a type are in each state that is no end: the sum of all changes. A type without any has no row.
create table task_count (
    type text not null,
    version bigint not null,
    delayed bigint not null,
    pending bigint not null,
    claimed bigint not null
) with (
    -- Rows are written again and again, and no index has what changes.
    fillfactor = 50
);

-- md5(): types may be of any length, and must be told apart by all of it.
create unique index task_count_of_type on task_count (left(type, 100), md5(type), version);

-- The sum over all types, in one row. Who saves changes or counts tasks holds its lock.
create table task_total (
    delayed bigint not null,
    pending bigint not null,
    claimed bigint not null,
    -- Whether the tasks that were there before these tables have been counted.
    is_counted boolean not null,
    -- What the last count has seen (pg_snapshot): changes by these transactions are not added any more.
    snapshot text
) with (fillfactor = 50);

-- What one AFM has seen of a minute.
create table minute_statistics (
    minute timestamptz not null,
    instance uuid not null,
    -- JSON.
    figures text not null,
    primary key (minute, instance)
) with (fillfactor = 50);

insert into task_total (delayed, pending, claimed, is_counted)
values (0, 0, 0, not exists (select from task));

update slamon_schema set version = 7;
