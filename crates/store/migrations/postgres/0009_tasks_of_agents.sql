-- The tasks of an agent are in one of two indexes: what it has, and what has ended of what it had. So a claim writes to one
-- index less.
drop index task_of_agent, task_of_holder;
create index task_of_holder on task (agent_id, seq) where state = 'claimed';
create index task_ended_of_agent on task (agent_id, seq) where finished_at is not null;

update slamon_schema set version = 9;
