-- What operators have paused: agents, and types in one version or (null) in all. A handful of rows, which every AFM keeps in
-- memory and reads again each second.

create table pause (
    agent_id  blob unique check (length(agent_id) = 16),
    type      text check ((type is null) = (agent_id is not null)),
    version   integer check (version is null or type is not null),
    paused_at integer not null
) strict;

create unique index pause_of_version on pause (type, version) where version is not null;
create unique index pause_of_type on pause (type) where type is not null and version is null;
