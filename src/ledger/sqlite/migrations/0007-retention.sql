-- What is kept how long, and how many messages are in trouble.

-- Kept copies count from when they were loaded, and a lane knows only how far it is now: how far it was is noted a few times a period.
create table loaded_mark (
  lane integer not null references lane (id),
  at integer not null,
  through integer not null check (through >= 0),
  primary key (lane, at)
) strict, without rowid;

-- The head of the update log when the terminal was enrolled: what came before reaches it with the rows as they are, so that a
-- log which no longer reaches back to its first entry is whole for a new terminal all the same.
alter table terminal add column began_after integer not null default 0;

-- Where the last request began: its sender may not have heard that it is stored, and is known again by what was stored there.
alter table lane_in add column sent_after integer not null default 0;
update lane_in set sent_after = received_through;

-- Messages of a lane off the happy path, counted where they change: to ask how many are in trouble costs a row a lane, however many there are.
-- `retrying` are those requeued, too.
create table lane_open (
  lane integer primary key references lane (id),
  retrying integer not null default 0,
  held integer not null default 0,
  dead integer not null default 0,
  discarded integer not null default 0
) strict;
insert into lane_open (lane, retrying, held, dead, discarded)
  select lane, sum(state in ('received', 'retrying')), sum(state = 'held'), sum(state = 'dead'), sum(state = 'discarded')
  from exception group by lane;

create trigger exception_added after insert on exception begin
  insert into lane_open (lane) values (new.lane) on conflict (lane) do nothing;
  update lane_open set
    retrying = retrying + (new.state in ('received', 'retrying')), held = held + (new.state = 'held'),
    dead = dead + (new.state = 'dead'), discarded = discarded + (new.state = 'discarded')
  where lane = new.lane;
end;
create trigger exception_moved after update of state on exception when new.state <> old.state begin
  update lane_open set
    retrying = retrying + (new.state in ('received', 'retrying')) - (old.state in ('received', 'retrying')),
    held = held + (new.state = 'held') - (old.state = 'held'),
    dead = dead + (new.state = 'dead') - (old.state = 'dead'),
    discarded = discarded + (new.state = 'discarded') - (old.state = 'discarded')
  where lane = new.lane;
end;
create trigger exception_removed after delete on exception begin
  update lane_open set
    retrying = retrying - (old.state in ('received', 'retrying')), held = held - (old.state = 'held'),
    dead = dead - (old.state = 'dead'), discarded = discarded - (old.state = 'discarded')
  where lane = old.lane;
end;
