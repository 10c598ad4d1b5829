-- A task's life as four statements, each in a transaction of its own.
insert into life (id, test_id, type, version, data)
    values (gen_random_uuid(), gen_random_uuid(), :client_id, 1, '{"url": "http://127.0.0.1/"}');
update life set state = 'claimed', agent_id = '00000000-0000-4000-8000-000000000001', claimed_at = now()
    where id = (
        select id from life where type = :client_id and version = 1 and state = 'pending' order by seq limit 1 for update skip locked
    )
    returning id \gset
update life set state = 'completed', finished_at = now(), result = '{"status": 200}' where id = :id and state = 'claimed';
select test_id, type, version, data, state, finished_at, result, error from life where id = :id;
