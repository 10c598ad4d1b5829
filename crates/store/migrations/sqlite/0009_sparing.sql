-- Two indexes that cost each post and each claim a tenth more are replaced.

-- Running tasks are found through task_held and sorted: there are no more of them than the fleet executes.
drop index task_running;

-- The tasks of a process instance. It is written a block of tasks at a time: see sqlite/test_index.rs.
drop index task_of_test;
create table task_of_test (
    test_id blob not null,
    seq     integer not null, -- task.seq
    primary key (test_id, seq)
) strict, without rowid;

insert into task_of_test (test_id, seq) select test_id, seq from task order by test_id, seq;
