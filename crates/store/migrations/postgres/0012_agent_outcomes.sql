-- How the attempts of an agent ended in a period of some minutes, as one AFM has seen it: that AFM alone writes the row. What is
-- older than an hour is deleted. Behind the commits: no task waits for it.
create table agent_outcome (
    period timestamptz not null,
    agent_id uuid not null,
    instance uuid not null,
    completed bigint not null,
    failed bigint not null,
    primary key (period, agent_id, instance)
) with (fillfactor = 70);

update slamon_schema set version = 12;
