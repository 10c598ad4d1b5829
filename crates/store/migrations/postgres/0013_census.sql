-- How many agents there were when an AFM last read all of them, in one row; that AFM, and when it said last that it does.
-- Small fleets are counted at each request, and have no census.
create table agent_census (
    instance uuid,
    held_at timestamptz,
    counted_at timestamptz,
    active bigint not null default 0,
    lost bigint not null default 0,
    paused bigint not null default 0
) with (fillfactor = 50);

-- How many agents offer a type, of those types that a thousand of them offer.
create table offer_count (
    type text not null,
    version bigint not null,
    agents bigint not null,
    active bigint not null
) with (fillfactor = 50);

-- md5(): types may be of any length, and must be told apart by all of it.
create unique index offer_count_of_type on offer_count (left(type, 100), md5(type), version);

insert into agent_census default values;

update slamon_schema set version = 13;
