CREATE TABLE agent_capabilities (
    agent_uuid character(36) NOT NULL,
    type character varying NOT NULL,
    version integer NOT NULL
);
CREATE TABLE agents (
    uuid character(36) NOT NULL,
    name character varying NOT NULL,
    last_seen timestamp without time zone
);
CREATE TABLE tasks (
    uuid character(36) NOT NULL,
    test_id character(36) NOT NULL,
    type character varying,
    version integer,
    data character varying,
    result_data character varying,
    assigned_agent_uuid character(36),
    created timestamp without time zone NOT NULL,
    claimed timestamp without time zone,
    completed timestamp without time zone,
    started timestamp without time zone,
    error character varying
);
INSERT INTO agent_capabilities VALUES ('a9e00000-0000-4000-8000-000000000001', 'held', 1);
INSERT INTO agent_capabilities VALUES ('A9E00000-0000-4000-8000-000000000002', 'fail', 2);
INSERT INTO agent_capabilities VALUES ('A9E00000-0000-4000-8000-000000000002', 'x', 7);
INSERT INTO agents VALUES ('a9e00000-0000-4000-8000-000000000001', 'agent one', '2026-11-22 21:26:07.860192');
INSERT INTO agents VALUES ('A9E00000-0000-4000-8000-000000000002', 'agent two', '2026-11-22 21:26:07.913414');
INSERT INTO tasks VALUES ('de305d54-75b4-431b-adb2-eb6b9e546001', '7e570000-0000-4000-8000-000000000001', 'done', 1, '{"a": 1.0, "\u00e9 \"q\"": "\u0000"}', '{"z": 1, "a": [1.5, null]}', 'a9e00000-0000-4000-8000-000000000001', '2026-11-22 21:26:07.813189', '2026-11-22 21:26:07.826072', '2026-11-22 21:26:07.831812', NULL, NULL);
INSERT INTO tasks VALUES ('de305d54-75b4-431b-adb2-eb6b9e546002', '7e570000-0000-4000-8000-000000000001', 'fail', 1, '{"a": 1.0, "\u00e9 \"q\"": "\u0000"}', NULL, 'A9E00000-0000-4000-8000-000000000002', '2026-11-22 21:26:07.835796', '2026-11-22 21:26:07.844091', NULL, '2026-11-22 21:26:07.849216', 'it "broke"
é');
INSERT INTO tasks VALUES ('de305d54-75b4-431b-adb2-eb6b9e546003', '7e570000-0000-4000-8000-000000000001', 'held', 1, '{"a": 1.0, "\u00e9 \"q\"": "\u0000"}', NULL, 'a9e00000-0000-4000-8000-000000000001', '2026-11-22 21:26:07.853936', '2026-11-22 21:26:07.866215', NULL, NULL, NULL);
INSERT INTO tasks VALUES ('de305d54-75b4-431b-adb2-eb6b9e546004', '7e570000-0000-4000-8000-000000000001', 'wait', 1, '{"time": 5}', NULL, NULL, '2026-11-22 21:26:07.87073', NULL, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('de305d54-75b4-431b-adb2-eb6b9e546005', '7e570000-0000-4000-8000-000000000001', 'wait', 1, NULL, NULL, NULL, '2026-11-22 21:26:07.874337', NULL, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('de305d54-75b4-431b-adb2-eb6b9e546006', '7e570000-0000-4000-8000-000000000001', 'wait', 2, '{}', NULL, NULL, '2026-11-22 21:26:07.877178', NULL, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('DE305D54-75B4-431B-ADB2-EB6B9E5460AA', '7e570000-0000-4000-8000-000000000001', 'upper', 1, '{"a": 1.0, "\u00e9 \"q\"": "\u0000"}', NULL, NULL, '2026-11-22 21:26:07.880474', NULL, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('DE305D54-75B4-431B-ADB2-EB6B9E5460BB', '7e570000-0000-4000-8000-000000000001', 'both', 1, '{"case": "upper"}', NULL, NULL, '2026-11-22 21:26:07.88392', NULL, NULL, NULL, NULL);
INSERT INTO tasks VALUES ('de305d54-75b4-431b-adb2-eb6b9e5460bb', '7e570000-0000-4000-8000-000000000001', 'both', 1, '{"case": "lower"}', NULL, NULL, '2026-11-22 21:26:07.907848', NULL, NULL, NULL, NULL);
ALTER TABLE ONLY agent_capabilities
    ADD CONSTRAINT agent_capabilities_pkey PRIMARY KEY (agent_uuid, type, version);
ALTER TABLE ONLY agents
    ADD CONSTRAINT agents_pkey PRIMARY KEY (uuid);
ALTER TABLE ONLY tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (uuid);
ALTER TABLE ONLY agent_capabilities
    ADD CONSTRAINT agent_capabilities_agent_uuid_fkey FOREIGN KEY (agent_uuid) REFERENCES agents(uuid);
ALTER TABLE ONLY tasks
    ADD CONSTRAINT tasks_assigned_agent_uuid_fkey FOREIGN KEY (assigned_agent_uuid) REFERENCES agents(uuid);
