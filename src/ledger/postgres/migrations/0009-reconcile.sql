-- safe for: 1
-- Comparisons of a terminal's tables with the centre's, and repairs of what they found.
create table reconcile (
  id text primary key,
  terminal text not null,
  compares boolean not null,                                 -- else it repairs
  work text not null,                                             -- JSON
  state text not null check (state in ('waiting', 'running', 'done', 'failed', 'cancelled')),
  ordered_by text not null,
  reason text not null,
  ordered_at bigint not null,
  ended_at bigint,
  report text not null,                                           -- JSON
  worker text,
  leased_until bigint not null default 0,
  check ((ended_at is null) = (state in ('waiting', 'running')))
);
create index reconcile_terminal on reconcile (terminal, ordered_at);
create unique index reconcile_open on reconcile (terminal) where ended_at is null;

create table difference (
  reconcile text not null references reconcile (id) on delete cascade,
  n integer not null,
  found text not null,                                            -- JSON
  primary key (reconcile, n)
);

-- What the hub wants to know of a terminal, which it cannot call: the agent hears of it with its next answer.
create table question (
  terminal text primary key,
  id text not null,
  question text not null,
  answer text
);
