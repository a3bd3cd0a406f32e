-- safe for: 12
-- By what a message is known again whose sender does not number like an agent: the hub numbers for it. Kept when its line is gone,
-- for ever: a sender may come again with what it sent years ago.
create table imprint (
  lane bigint not null references lane (id),
  seq bigint not null check (seq >= 1),
  id bytea not null check (length(id) between 1 and 16),
  content bytea not null check (length(content) = 16),
  primary key (lane, id)
);
