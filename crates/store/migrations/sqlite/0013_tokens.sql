-- Who may do what, by the SHA-256 of their tokens. Every AFM has all of it in memory, and reads what has changed twice a second.
create table token (
    id           blob not null primary key check (length(id) = 16),
    name         text not null,
    role         text not null,
    hash         blob not null unique check (length(hash) = 32),
    -- Which agent the bearer may be: this one; or the one as which it polls first; or any.
    agent_id     blob check (agent_id is null or length(agent_id) = 16),
    binds_first  integer not null check (binds_first = 0 or (binds_first = 1 and agent_id is null)),
    types        text, -- The task types that the bearer may post: a list in JSON; null: all.
    created_at   integer not null,
    expires_at   integer,
    revoked_at   integer,
    last_used_at integer,
    -- Changes are numbered in the order of their commits; that the token was used is none.
    change       integer not null
) strict, without rowid;

create unique index token_changed on token (change);

-- Who posted a task, by the name of their token.
alter table task add column posted_by text;
