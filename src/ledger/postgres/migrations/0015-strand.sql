-- safe for: 12
-- Under which name ids of the update log were given: from `first_id` on, until the next begins. A publisher draws a name each time that
-- it has compared the log with the centre, so a log that was set back goes on under another one, and a terminal's cursor (an id, and
-- its name) tells of which history it is. With `through_id`: ids that this log lost, though they were given, by the centre's word.
create table update_strand (
  first_id bigint not null check (first_id >= 1),
  name text collate "C" not null,
  told boolean not null,                                          -- the centre heard of it before
  through_id bigint,
  primary key (first_id, name)
);

-- Drawn when a terminal showed a cursor of another history: it needs all rows as they are.
alter table terminal add column rows_owed text;
