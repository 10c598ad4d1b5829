-- Takes over the tables of slamon-afm 1.1.0: tasks, agents, agent_capabilities. Runs inside the transaction that made
-- our tables; whatever interrupts it leaves theirs as they were. They are locked, and every id in them is known to be a
-- UUID but for its case and white space around it.

-- Two of their ids may be one of ours, since theirs tell upper from lower case: the one in lower case keeps it.
create temporary table adopted_id on commit drop as
select
    uuid as old_id,
    id,
    case when rank = 1 then id else gen_random_uuid() end as new_id,
    -- Their tasks have no order of arrival but the clock's.
    row_number() over (order by created, uuid) as seq
from (
    select
        uuid,
        created,
        id,
        row_number() over (partition by id order by uuid <> id::text, created, uuid) as rank
    from (select uuid, created, btrim(uuid, E' \t\n\r\f\v')::uuid as id from tasks) as trimmed
) as ranked;

-- Agents that differ in case only are one: seen last counts. Of a type in several versions, the highest is kept.
insert into agent (id, name, capabilities, last_seen)
select distinct on (their.id)
    their.id,
    coalesce(agents.name, ''),
    coalesce(
        (
            select json_object_agg(of_type.type, of_type.version)::text
            from (
                select type, max(version) as version
                from agent_capabilities
                where agent_uuid = agents.uuid and type is not null and version is not null
                group by type
            ) as of_type
        ),
        '{}'
    ),
    coalesce(agents.last_seen, 'epoch') at time zone 'UTC'
from agents
cross join lateral (select btrim(agents.uuid, E' \t\n\r\f\v')::uuid as id) as their
order by their.id, agents.last_seen desc nulls last, agents.uuid desc;

insert into agent_offer (agent_id, type, version)
select agent.id, offer.key, offer.value::bigint
from agent
cross join lateral json_each_text(agent.capabilities::json) as offer;

insert into task (
    id, seq, test_id, type, version, data, created_at, state, attempts,
    agent_id, claimed_at, finished_at, result, error
)
overriding system value
select
    adopted_id.new_id,
    adopted_id.seq,
    btrim(test_id, E' \t\n\r\f\v')::uuid,
    coalesce(type, ''),
    coalesce(version, 0),
    nullif(data, ''),
    created at time zone 'UTC',
    now.state,
    case when now.state = 'pending' then 0 else 1 end,
    case when now.state <> 'pending' then holder.id end,
    case when now.state <> 'pending' then coalesce(claimed, created) at time zone 'UTC' end,
    case now.state when 'failed' then started when 'completed' then completed end at time zone 'UTC',
    case when now.state = 'completed' then coalesce(nullif(result_data, ''), '{}') end,
    case when now.state = 'failed' then to_json(coalesce(tasks.error, '')::text)::text end
from tasks
join adopted_id on adopted_id.old_id = tasks.uuid
cross join lateral (
    select case
        -- "started" is their time of failure.
        when started is not null then 'failed'
        when completed is not null then 'completed'
        when assigned_agent_uuid is not null or claimed is not null then 'claimed'
        else 'pending'
    end as state
) as now
-- A task may have been claimed by nobody only where somebody edited the table: the nil UUID stands for them.
cross join lateral (
    select coalesce(btrim(assigned_agent_uuid, E' \t\n\r\f\v')::uuid, '00000000-0000-0000-0000-000000000000') as id
) as holder;

update task_total set is_counted = false;

select setval('task_arrival', (select coalesce(max(seq), 0) + 1 from task), false);

drop table tasks;
drop table agent_capabilities;
drop table agents;
