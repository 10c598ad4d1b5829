-- An agent's name is kept once, not with each task that it had.

-- Agents that were forgotten, as long as there is a task or an attempt that was theirs.
create table past_agent (
    id   blob not null primary key check (length(id) = 16),
    name text not null
) strict, without rowid;

-- In the order of time, so that the last name stays.
insert or replace into past_agent (id, name)
select agent_id, agent_name
from (
    select agent_id, agent_name, claimed_at from task where agent_id is not null
    union all
    select agent_id, agent_name, claimed_at from attempt
) as held
where agent_name <> '' and not exists (select 1 from agent where agent.id = held.agent_id)
order by claimed_at;

alter table task drop column agent_name;
alter table attempt drop column agent_name;

-- Whose names are still needed.
create index attempt_of_agent on attempt (agent_id);
