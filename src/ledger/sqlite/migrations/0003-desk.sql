-- What support staff work with: why an edit was made, messages found by value without naming the terminal, and acts on many.

alter table revision add column reason text not null default '';

-- By value first, so that one index answers for one terminal and for all; in the order of coming, so that old ones go first.
create table found_by (
  id integer primary key,
  terminal text not null,
  value text not null,
  lane integer not null,
  seq integer not null
) strict;
insert into found_by (terminal, value, lane, seq) select terminal, value, lane, seq from message_key order by lane, seq;
drop table message_key;
alter table found_by rename to message_key;
create unique index message_key_value on message_key (value, terminal, lane, seq);

create table bulk (
  id integer primary key,
  verb text not null check (verb in ('requeue', 'discard')),
  state text not null check (state in ('previewed', 'running', 'done', 'cancelled')),
  made_by text not null,
  reason text,
  filter text not null check (json_type(filter) = 'object'),
  made_at integer not null,
  started_at integer,
  ended_at integer,
  messages integer not null,
  terminals integer not null,
  beyond integer not null,
  waiting text not null check (json_type(waiting) = 'object'),
  ordered integer not null default 0,
  skipped integer not null default 0,
  check (state = 'previewed' or reason is not null),
  check ((ended_at is not null) = (state in ('done', 'cancelled')))
) strict;
create index bulk_running on bulk (id) where state = 'running';

-- The list as it was previewed: what an item was like then decides whether it is still the one that was meant.
create table bulk_item (
  bulk integer not null references bulk (id),
  n integer not null check (n >= 1),
  lane integer not null,
  seq integer not null,
  was text not null,
  attempts integer not null,
  revision integer,
  outcome text check (outcome in ('ordered', 'skipped')),
  why text not null default '',
  primary key (bulk, n)
) strict, without rowid;
