-- What operators have paused: agents, and types in one version or (null) in all. A handful of rows, which every AFM keeps in
-- memory and reads again each second. Who changes it locks it, so that nothing is paused twice: a type may be too long for
-- the key of a unique index.
create table pause (
    agent_id uuid unique,
    type text check ((type is null) = (agent_id is not null)),
    version bigint check (version is null or type is not null),
    paused_at timestamptz not null
);

create index pause_of_type on pause (left(type, 100)) where type is not null;

update slamon_schema set version = 6;
