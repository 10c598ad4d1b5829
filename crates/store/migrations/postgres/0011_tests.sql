-- All tasks of a process instance but those that run, in one index: what waits of it was looked for among all that waits.
-- What runs is found through the other indexes of it, and sorted: there is no more of it than the fleet executes. So a post
-- writes to one index more, and a claim to one less.
drop index task_ended_of_test, task_running;
create index task_of_test on task (test_id, seq) where claimed_at is null or finished_at is not null;

update slamon_schema set version = 11;
