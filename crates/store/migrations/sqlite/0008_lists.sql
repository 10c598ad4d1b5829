-- Lists of tasks, for people. All tasks lie in the order of their arrival, so these indexes are of what is rare among
-- them, and each has that order, too.

-- The tasks of a process instance.
create index task_of_test on task (test_id);

-- What agents execute now. "seq" is written with each entry of any index, and is named where it is the order.
create index task_running on task (seq) where state = 'claimed';

create index task_delayed on task (seq) where available_at is not null;

-- What ended without a result. A task that completes never gets here.
create index task_unsuccessful on task (seq) where error is not null;
create index task_unsuccessful_of_type on task (type, seq) where error is not null;
