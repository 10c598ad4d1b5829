-- How the attempts of an agent ended in a period of some minutes, as one AFM has seen it. What is older than an hour is deleted.
create table agent_outcome (
    period    integer not null,
    agent_id  blob not null check (length(agent_id) = 16),
    instance  blob not null check (length(instance) = 16),
    completed integer not null,
    failed    integer not null,
    primary key (period, agent_id, instance)
) strict, without rowid;
