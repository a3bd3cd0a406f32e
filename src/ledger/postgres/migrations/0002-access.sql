-- safe for: 1
-- Who may use the operator API, and how things were minute by minute.
create table operator (
  name text primary key check (length(name) between 1 and 64),
  role text not null check (role in ('viewer', 'operator', 'admin')),
  password text not null,                                         -- scrypt, with its salt and cost; see hub/api/password.ts
  made_at bigint not null,
  signed_in_at bigint
);

create table api_token (
  name text primary key check (length(name) between 1 and 64),
  hash bytea not null unique check (length(hash) = 32),            -- SHA-256; the secret itself is never stored
  role text not null check (role in ('viewer', 'operator', 'admin')),
  made_by text not null,
  made_at bigint not null,
  expires_at bigint                                              -- null: until it is revoked
);

create table session (
  hash bytea primary key check (length(hash) = 32),
  operator text references operator (name) on delete cascade,     -- null: signed in by an invitation
  actor text not null,
  role text not null check (role in ('viewer', 'operator', 'admin')),
  proof text not null,
  seen_at bigint not null,
  ends_at bigint not null
);
create index session_operator on session (operator);
create index session_ends on session (ends_at);

create table invitation (
  hash bytea primary key check (length(hash) = 32),
  expires_at bigint not null
);

-- The whole ledger at the end of each minute.
create table minute (
  at bigint primary key,
  received bigint not null,
  loaded bigint not null,
  backlog bigint not null,
  oldest_ms bigint not null,
  retrying bigint not null,
  held bigint not null,
  dead bigint not null
);

-- What each process did within it.
create table minute_flow (
  at bigint not null,
  process text not null,
  sent bigint not null,
  lag jsonb not null check (jsonb_typeof(lag) = 'array'),
  primary key (at, process)
);
