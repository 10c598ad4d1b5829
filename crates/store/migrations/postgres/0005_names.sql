-- An agent's name is kept once, not with each task that it had.

-- Agents that were forgotten, as long as there is a task or an attempt that was theirs.
create table past_agent (
    id uuid primary key,
    name text not null
);

insert into past_agent (id, name)
select distinct on (agent_id) agent_id, agent_name
from (
    select agent_id, agent_name, claimed_at from task where agent_id is not null
    union all
    select agent_id, agent_name, claimed_at from attempt
) as held
where agent_name <> '' and not exists (select from agent where agent.id = held.agent_id)
order by agent_id, claimed_at desc;

alter table task drop column agent_name;
alter table attempt drop column agent_name;

-- Whose names are still needed.
create index attempt_of_agent on attempt (agent_id);

update slamon_schema set version = 5;
