-- Lists of tasks in the order of arrival, for people. Every version of a row is written to each index that has it, so each
-- state has an index of its own, with that of waiting tasks, task_arrived, and all tasks are read by merging them. Predicates do
-- not name states, so that no plan for a claim or a sweep takes them.
create index task_running on task (seq) where claimed_at is not null and finished_at is null;
create index task_delayed on task (seq) where available_at is not null;
create index task_completed on task (seq) where result is not null;
create index task_unsuccessful on task (seq) where error is not null;
-- In words from which that of the one before does not follow, so that no plan takes that one for a type.
create index task_unsuccessful_of_type on task (left(type, 100), seq) where finished_at is not null and result is null;

-- What has ended of a process instance. What has not is found by the indexes above.
create index task_ended_of_test on task (test_id, seq) where finished_at is not null;

update slamon_schema set version = 8;
