-- What people are told of without asking.
create table alert (
  id text primary key,                                            -- a ULID: sorts by time, and never comes again after a restore
  rule text not null,
  subject text not null,
  what text not null,
  count integer,
  facts text not null check (json_type(facts) = 'object'),
  raised_at integer not null,
  absent_since integer,                                           -- since when the trouble is no longer found
  cleared_at integer,
  told_count integer,
  told_at integer not null,
  notices integer not null default 1,                             -- how often people were told
  seen_by text,
  seen_at integer,
  seen_note text,
  check ((seen_by is null) = (seen_at is null) and (seen_by is null) = (seen_note is null))
) strict, without rowid;
create unique index alert_open on alert (rule, subject) where cleared_at is null;
create index alert_past on alert (cleared_at) where cleared_at is not null;

-- One row a thing to tell and channel to tell it to. `alert_then` is the alert as it was.
create table alert_notice (
  id integer primary key,
  alert text not null references alert (id) on delete cascade,
  channel text not null,
  key text not null,
  kind text not null check (kind in ('raised', 'grown', 'cleared')),
  alert_then text not null check (json_type(alert_then) = 'object'),
  made_at integer not null,
  due_at integer not null,
  attempts integer not null default 0,
  state text not null default 'waiting' check (state in ('waiting', 'delivered', 'given up')),
  ended_at integer,
  fault text,
  unique (channel, key),
  check ((ended_at is null) = (state = 'waiting'))
) strict;
create index alert_notice_of on alert_notice (alert);
create index alert_notice_waiting on alert_notice (channel, id) where state = 'waiting';
create index alert_notice_ended on alert_notice (channel, ended_at) where state <> 'waiting';

-- What one process alone knows to be wrong.
create table alert_report (
  process text primary key,
  troubles text not null check (json_type(troubles) = 'array'),
  at integer not null
) strict, without rowid;

-- One row: when somebody looked last, and since when somebody looks without a pause.
create table alert_watch (
  one integer primary key check (one = 1),
  looked_at integer not null,
  since integer not null
) strict;
insert into alert_watch (one, looked_at, since) values (1, 0, 0);

-- The longest silences of a terminal in this period and the one before; both null until it was heard of twice.
alter table terminal add column gap_from integer;
alter table terminal add column gap_ms integer;
alter table terminal add column gap_before_ms integer;

create index exception_held on exception (since) where state = 'held';
