-- safe for: 4
-- What stands still, and why: everything, a terminal, a lane, or the route of one of the terminals' tables.
create table pause (
  kind text not null check (kind in ('everything', 'terminal', 'lane', 'route')),
  name text not null,                                             -- empty for everything
  since bigint not null,
  by text not null,
  reason text not null,
  fault text,                                                     -- Waybill itself paused the route for this
  probe_at bigint,                                               -- when one message finds out whether it is mended
  probes bigint not null default 0,
  primary key (kind, name),
  check ((kind = 'everything') = (name = '')),
  check (kind = 'route' or fault is null),
  check ((fault is null) = (probe_at is null))
);

-- The paused route that a held message waits for. Its due_at is then far off, until the route goes on or it is the probe.
alter table exception add column route text;
create index exception_route on exception (route, id) where route is not null;
