-- A centre that shows another version of a lane than is known here was restored, or this ledger was: the lane is claimed,
-- though it may hold nothing, so that its loader compares.
alter table lane_out add column doubted integer not null default 0 check (doubted in (0, 1));

-- Installs that asked for a terminal's next epoch and were refused, since another install holds it: a person decides.
create table epoch_ask (
  terminal text not null,
  install text not null,
  previous text,                                                  -- the epoch it sent under until now
  reason text not null,
  asked_at integer not null,                                      -- first
  allowed_by text,
  primary key (terminal, install)
) strict, without rowid;

-- Terminals whose database was set back, until both sides were compared or a person says that it is well.
create table restored (
  terminal text primary key,
  lane integer not null references lane (id),                     -- the epoch that began then
  at integer not null,
  reason text not null
) strict, without rowid;
