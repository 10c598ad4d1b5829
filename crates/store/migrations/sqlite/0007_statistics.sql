-- Statistics: what happened minute by minute, and how many tasks wait and run.

-- How many tasks of a type are in each state that is no end: the sum of all changes. A type without any has no row.
create table task_count (
    type    text not null,
    version integer not null,
    delayed integer not null,
    pending integer not null,
    claimed integer not null,
    primary key (type, version)
) strict, without rowid;

-- The sum over all types, in one row.
create table task_total (
    delayed    integer not null,
    pending    integer not null,
    claimed    integer not null,
    -- Whether the tasks that were there before these tables have been counted.
    is_counted integer not null check (is_counted in (0, 1))
) strict;

insert into task_total (delayed, pending, claimed, is_counted)
values (0, 0, 0, not exists (select 1 from task));

-- What one AFM has seen of a minute.
create table minute_statistics (
    minute   integer not null,
    instance blob not null check (length(instance) = 16),
    figures  text not null, -- JSON
    primary key (minute, instance)
) strict, without rowid;
