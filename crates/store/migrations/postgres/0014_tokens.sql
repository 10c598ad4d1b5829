-- Who may do what, by the SHA-256 of their tokens. Every AFM has all of it in memory, and reads what has changed twice a second.
create table token (
    id uuid primary key,
    name text not null,
    role text not null,
    hash bytea not null unique check (length(hash) = 32),
    -- Which agent the bearer may be: this one; or the one as which it polls first; or any.
    agent_id uuid,
    binds_first boolean not null check (not binds_first or agent_id is null),
    -- The task types that the bearer may post: a list in JSON, which can say U+0000; null: all.
    types text,
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    -- Written behind; no index has it.
    last_used_at timestamptz,
    -- Changes are numbered in the order of their commits: who makes one locks the table. That the token was used is none.
    change bigint not null
) with (fillfactor = 70);

create unique index token_changed on token (change);

-- Who posted a task, by the name of their token.
alter table task add column posted_by text;

update slamon_schema set version = 14;
