-- Agents lie in the order of their arrival, not of their ids, which are random: a fleet that arrives is appended, and agents
-- that poll one after the other are neighbours. What is saved of a thousand of them is then some pages, not a thousand.

create table agent_by_arrival (
    seq          integer primary key,
    id           blob not null unique check (length(id) = 16),
    name         text not null,
    capabilities text not null, -- JSON: type -> version
    location     text,          -- JSON
    last_seen    integer not null,
    -- How many tasks the agent asked for when it polled last.
    max_tasks    integer not null default 1
) strict;

insert into agent_by_arrival (id, name, capabilities, location, last_seen, max_tasks)
select id, name, capabilities, location, last_seen, max_tasks from agent order by id;

drop table agent;
alter table agent_by_arrival rename to agent;

-- Who offers what: agent.capabilities, to be searched.
drop table agent_offer;
create table agent_offer (
    type    text not null,
    version integer not null,
    agent   integer not null, -- agent.seq
    primary key (type, version, agent)
) strict, without rowid;

create index agent_offer_of on agent_offer (agent);

insert into agent_offer (type, version, agent)
select key, value, agent.seq from agent, json_each(agent.capabilities);
