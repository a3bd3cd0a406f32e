-- Who may use the operator API, and how things were minute by minute.
create table operator (
  name text primary key check (length(name) between 1 and 64),
  role text not null check (role in ('viewer', 'operator', 'admin')),
  password text not null,                                         -- scrypt, with its salt and cost; see hub/api/password.ts
  made_at integer not null,
  signed_in_at integer
) strict;

create table api_token (
  name text primary key check (length(name) between 1 and 64),
  hash blob not null unique check (length(hash) = 32),            -- SHA-256; the secret itself is never stored
  role text not null check (role in ('viewer', 'operator', 'admin')),
  made_by text not null,
  made_at integer not null,
  expires_at integer                                              -- null: until it is revoked
) strict;

create table session (
  hash blob primary key check (length(hash) = 32),
  operator text references operator (name) on delete cascade,     -- null: signed in by an invitation
  actor text not null,
  role text not null check (role in ('viewer', 'operator', 'admin')),
  proof text not null,
  seen_at integer not null,
  ends_at integer not null
) strict;
create index session_operator on session (operator);
create index session_ends on session (ends_at);

create table invitation (
  hash blob primary key check (length(hash) = 32),
  expires_at integer not null
) strict;

-- The whole ledger at the end of each minute.
create table minute (
  at integer primary key,
  received integer not null,
  loaded integer not null,
  backlog integer not null,
  oldest_ms integer not null,
  retrying integer not null,
  held integer not null,
  dead integer not null
) strict;

-- What each process did within it.
create table minute_flow (
  at integer not null,
  process text not null,
  sent integer not null,
  lag text not null check (json_type(lag) = 'array'),
  primary key (at, process)
) strict, without rowid;
