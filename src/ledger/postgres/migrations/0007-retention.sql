-- safe for: 1
-- What is kept how long, and how many messages are in trouble.

-- Kept copies count from when they were loaded, and a lane knows only how far it is now: how far it was is noted a few times a period.
create table loaded_mark (
  lane bigint not null references lane (id),
  at bigint not null,
  through bigint not null check (through >= 0),
  primary key (lane, at)
);

-- The head of the update log when the terminal was enrolled: what came before reaches it with the rows as they are, so that a
-- log which no longer reaches back to its first entry is whole for a new terminal all the same.
alter table terminal add column began_after bigint not null default 0;

-- Where the last request began: its sender may not have heard that it is stored, and is known again by what was stored there.
alter table lane_in add column sent_after bigint not null default 0;
update lane_in set sent_after = received_through;

-- Messages of a lane off the happy path, counted where they change: to ask how many are in trouble costs a row a lane, however many there are.
-- `retrying` are those requeued, too.
create table lane_open (
  lane bigint primary key references lane (id),
  retrying bigint not null default 0,
  held bigint not null default 0,
  dead bigint not null default 0,
  discarded bigint not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
insert into lane_open (lane, retrying, held, dead, discarded)
  select lane, count(*) filter (where state in ('received', 'retrying')), count(*) filter (where state = 'held'),
         count(*) filter (where state = 'dead'), count(*) filter (where state = 'discarded')
  from exception group by lane;

-- Once a statement, lanes in order, as all that locks lanes does.
create function count_exceptions() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into lane_open as o (lane, retrying, held, dead, discarded)
      select lane, count(*) filter (where state in ('received', 'retrying')), count(*) filter (where state = 'held'),
             count(*) filter (where state = 'dead'), count(*) filter (where state = 'discarded')
      from is_now group by lane order by lane
    on conflict (lane) do update set retrying = o.retrying + excluded.retrying, held = o.held + excluded.held,
      dead = o.dead + excluded.dead, discarded = o.discarded + excluded.discarded;
  elsif tg_op = 'DELETE' then
    perform from lane_open o where o.lane in (select lane from was) order by o.lane for update;
    update lane_open o set retrying = o.retrying - d.retrying, held = o.held - d.held, dead = o.dead - d.dead,
      discarded = o.discarded - d.discarded
    from (select lane, count(*) filter (where state in ('received', 'retrying')) as retrying,
                 count(*) filter (where state = 'held') as held, count(*) filter (where state = 'dead') as dead,
                 count(*) filter (where state = 'discarded') as discarded
          from was group by lane) d
    where o.lane = d.lane;
  else
    perform from lane_open o where o.lane in (
      select n.lane from is_now n join was w on w.id = n.id where w.state <> n.state) order by o.lane for update;
    update lane_open o set retrying = o.retrying + d.retrying, held = o.held + d.held, dead = o.dead + d.dead,
      discarded = o.discarded + d.discarded
    from (select n.lane,
                 sum((n.state in ('received', 'retrying'))::int - (w.state in ('received', 'retrying'))::int) as retrying,
                 sum((n.state = 'held')::int - (w.state = 'held')::int) as held,
                 sum((n.state = 'dead')::int - (w.state = 'dead')::int) as dead,
                 sum((n.state = 'discarded')::int - (w.state = 'discarded')::int) as discarded
          from is_now n join was w on w.id = n.id where w.state <> n.state group by n.lane) d
    where o.lane = d.lane;
  end if;
  return null;
end $$;
create trigger exception_added after insert on exception referencing new table as is_now
  for each statement execute function count_exceptions();
create trigger exception_moved after update on exception referencing old table as was new table as is_now
  for each statement execute function count_exceptions();
create trigger exception_removed after delete on exception referencing old table as was
  for each statement execute function count_exceptions();
