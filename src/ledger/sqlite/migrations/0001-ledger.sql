-- The ledger, first form. Times are milliseconds since 1970 by the ledger's clock. Lists of states say the same as
-- message/lifecycle.ts; a test compares them. Never edited once landed: a change is a new file.

create table terminal (
  id text primary key check (length(id) between 1 and 64),
  tags text not null check (json_type(tags) = 'object'),
  state text not null check (state in ('enrolled', 'revoked')),
  key_hash blob not null unique check (length(key_hash) = 32),    -- SHA-256; the key itself is never stored
  token_hash blob not null check (length(token_hash) = 32),
  enrolled_at integer not null,
  last_seen_at integer,
  skew_ms integer,
  version text,
  applied_through integer not null default 0 check (applied_through >= 0)
) strict;

create table token (
  hash blob primary key check (length(hash) = 32),
  terminal text,                                                  -- null: for any terminal that is not enrolled yet
  tags text not null check (json_type(tags) = 'object'),
  expires_at integer not null,
  made_by text not null,
  used_at integer,
  used_by text,
  check ((used_at is null) = (used_by is null))
) strict;

-- A lane is one epoch of one terminal. What comes in and what goes out are rows of their own, so that on stores with row
-- locks ingest and loading do not wait for each other.
create table lane (
  id integer primary key,
  terminal text not null check (length(terminal) between 1 and 64),
  epoch text not null check (length(epoch) between 1 and 64),
  ordinal integer not null check (ordinal >= 1),                  -- the terminal's first, second … epoch
  install text,                                                   -- who opened it; null: begun by its first message
  opened_at integer not null,
  ended_at integer,
  unique (terminal, epoch),
  unique (terminal, ordinal)
) strict;
create unique index lane_current on lane (terminal) where ended_at is null;

create table lane_in (
  lane integer primary key references lane (id),
  received_through integer not null default 0 check (received_through >= 0),
  chain blob not null check (length(chain) = 32),                 -- after received_through
  part integer not null default 0 check (part >= 0),              -- parts stored of message received_through + 1
  part_chain blob check (length(part_chain) = 32),                -- after that part
  received_at integer,
  check ((part = 0) = (part_chain is null))
) strict;

create table lane_out (
  lane integer primary key references lane (id),
  loaded_through integer not null default 0 check (loaded_through >= 0),
  claimed_through integer not null default 0,
  version integer not null default 0 check (version >= 0),        -- of the lane's row in the central database
  fence integer not null default 0 check (fence >= 0),
  leased_by text,
  leased_until integer,
  work_at integer,                                                -- when a claim should look at it; null: nothing to do
  not_before integer not null default 0,                          -- handed back: no sooner than this
  claimed_items integer not null default 0,                       -- messages of the current claim, late ones included
  claim_limit integer check (claim_limit >= 1),                   -- set after a claim that ended unsettled
  suspect_through integer not null default 0,                     -- the limit is lifted when this is loaded
  alone_seq integer,                                              -- the one message of a claim of its own
  unsettled integer not null default 0 check (unsettled >= 0),    -- how often that claim ended unsettled
  loaded_at integer,
  lag_ms integer,
  check (loaded_through <= claimed_through),
  check ((leased_by is null) = (leased_until is null)),
  check (leased_by is not null or claimed_through = loaded_through),
  check (leased_by is null or work_at = leased_until)             -- an overdue lease is work
) strict;
create index lane_due on lane_out (work_at) where work_at is not null;

-- Messages are stored as runs: whole lines, as they came. part = 0: messages from_seq…through_seq; else parts of one message.
create table run (
  id integer primary key,
  lane integer not null references lane (id),
  from_seq integer not null check (from_seq >= 1),
  through_seq integer not null,
  part integer not null check (part >= 0),
  through_part integer not null,
  bytes integer not null,
  changes integer not null,
  committed_at integer not null,                                  -- of the newest message, by the terminal's clock
  received_at integer not null,
  chain blob not null check (length(chain) = 32),                 -- after the last line
  body blob not null,                                             -- last, so that the columns before it are read without it
  check (bytes = length(body)),
  check (through_seq >= from_seq and through_part >= part),
  check (part = 0 and through_part = 0 or part > 0 and from_seq = through_seq)
) strict;
create unique index run_order on run (lane, through_seq, through_part);

-- Numbers that the terminal lost before the hub had them.
create table missing (
  lane integer not null references lane (id),
  from_seq integer not null check (from_seq >= 1),
  through_seq integer not null,
  noted_at integer not null,
  primary key (lane, from_seq),
  check (through_seq >= from_seq)
) strict, without rowid;

create table message_key (
  terminal text not null,
  value text not null,
  lane integer not null,
  seq integer not null,
  primary key (terminal, value, lane, seq)
) strict, without rowid;

-- Messages that left the happy path.
create table exception (
  id integer primary key,
  lane integer not null references lane (id),
  seq integer not null check (seq >= 1),
  state text not null check (state in ('received', 'retrying', 'held', 'dead', 'loaded', 'discarded')),
  fault text,
  detail text not null,
  attempts integer not null check (attempts >= 0),
  due_at integer,                                                 -- when a worker may take it; null: it waits for something else
  verb text not null default 'load' check (verb in ('load', 'discard')),
  order_by text,
  order_reason text,
  behind_lane integer references lane (id),
  behind_seq integer,
  behind_on text,
  sets text check (json_type(sets) = 'object'),                   -- null: only the central database knows what it touches
  tables text not null check (json_type(tables) = 'array'),
  revision integer,                                               -- the edit that counts; null: as received
  claimed_fence integer,                                          -- being tried under this fence of its lane
  replay integer not null default 0 check (replay in (0, 1)),     -- the centre was restored and has no row of it yet
  since integer not null,
  closed_at integer,
  unique (lane, seq),
  check ((closed_at is not null) = (state in ('loaded', 'discarded'))),
  check (state <> 'retrying' or due_at is not null),
  check (state <> 'received' or due_at is not null),
  check (state <> 'held' or due_at is not null or behind_lane is not null),
  check (state <> 'dead' or due_at is null or verb = 'discard'),
  check (closed_at is null or due_at is null),
  check ((behind_lane is null) = (behind_seq is null)),
  check (verb = 'load' or order_by is not null and order_reason is not null)
) strict;
create index exception_open on exception (lane, seq, state) where closed_at is null;
create index exception_due on exception (lane, due_at) where due_at is not null;
create index exception_behind on exception (behind_lane, behind_seq) where behind_lane is not null and closed_at is null;
create index exception_state on exception (state);

create table revision (
  lane integer not null,
  seq integer not null,
  n integer not null check (n >= 1),
  line blob not null,
  made_by text not null,
  made_at integer not null,
  primary key (lane, seq, n),
  foreign key (lane, seq) references exception (lane, seq)
) strict;

-- The audit trail. `span` is the power of two that the event's numbers fit in: all events over one number are found by one
-- look-up per span, however old the lane is.
create table event (
  id integer primary key,
  at integer not null,
  lane integer references lane (id),
  from_seq integer not null check (from_seq >= 0),
  through_seq integer not null,
  span integer not null check (span between 0 and 53),
  kind text not null check (kind <> ''),
  actor text not null check (actor <> ''),
  detail text not null,
  check (through_seq >= from_seq)
) strict;
create index event_of on event (lane, span, from_seq) where lane is not null;

-- One row: whoever adds to the update log takes ids from it, so commits are in the order of ids.
create table update_head (
  one integer primary key check (one = 1),
  id integer not null check (id >= 0),                            -- term × 10^12 + n
  gone_through integer not null default 0                         -- older entries are no longer kept
) strict;
insert into update_head (one, id) values (1, 0);

create table update_entry (
  id integer primary key check (id >= 1),
  audience text not null,
  tx text not null,
  at integer not null,
  origin text,
  trace text,
  count integer not null check (count >= 0),
  bytes integer not null,
  changes blob not null,
  check (bytes = length(changes))
) strict;
create index update_audience on update_entry (audience, id, origin, tx, bytes);

create table forwarded (
  source text primary key,
  through integer not null check (through >= 0)
) strict;

create table refusal (
  id integer primary key,
  terminal text not null,
  update_id integer not null,
  code text not null,
  detail text not null,
  at integer not null,
  unique (terminal, update_id, code, detail)
) strict;

-- The state of every message, as disjoint ranges: exceptions and missing numbers stand for themselves, and what lies between
-- them is cut by the lane's watermarks. A lease counts until it is settled, handed back or found overdue by the next claim.
create view message_state (lane, from_seq, through_seq, state) as
with
  mark as (
    select o.lane, o.loaded_through as loaded, o.claimed_through as claimed,
           max(i.received_through, o.loaded_through) as received
    from lane_out o join lane_in i on i.lane = o.lane
  ),
  taken (lane, from_seq, through_seq, state) as (
    select e.lane, e.seq, e.seq,
           case when o.leased_by is not null and e.claimed_fence = o.fence and e.verb = 'load' and e.closed_at is null
             then 'processing' else e.state end
    from exception e join lane_out o on o.lane = e.lane
    union all
    select lane, from_seq, through_seq, 'discarded' from missing
  ),
  gap (lane, from_seq, through_seq) as (
    select lane, through_seq + 1,
           coalesce(lead(from_seq) over (partition by lane order by from_seq) - 1, 9007199254740991)
    from (select lane, from_seq, through_seq from taken union all select lane, 0, 0 from mark)
  ),
  band (lane, from_seq, through_seq, state) as (
    select lane, 1, loaded, 'loaded' from mark
    union all select lane, loaded + 1, claimed, 'processing' from mark
    union all select lane, claimed + 1, received, 'received' from mark
  )
select lane, from_seq, through_seq, state from taken
union all
select g.lane, max(g.from_seq, b.from_seq), min(g.through_seq, b.through_seq), b.state
from gap g join band b on b.lane = g.lane
where max(g.from_seq, b.from_seq) <= min(g.through_seq, b.through_seq);
