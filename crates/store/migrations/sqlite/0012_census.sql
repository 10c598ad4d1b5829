-- How many agents there were when an AFM last read all of them, in one row; that AFM, and when it said last that it does.
-- Small fleets are counted at each request, and have no census.
create table agent_census (
    instance   blob check (length(instance) = 16),
    held_at    integer,
    counted_at integer,
    active     integer not null default 0,
    lost       integer not null default 0,
    paused     integer not null default 0
) strict;

-- How many agents offer a type, of those types that a thousand of them offer.
create table offer_count (
    type    text not null,
    version integer not null,
    agents  integer not null,
    active  integer not null,
    primary key (type, version)
) strict, without rowid;

insert into agent_census default values;
