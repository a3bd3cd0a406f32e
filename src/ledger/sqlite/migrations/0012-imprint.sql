-- By what a message is known again whose sender does not number like an agent: the hub numbers for it. Kept when its line is gone,
-- for ever: a sender may come again with what it sent years ago. Of a lane whose messages are numbered in their senders' order the
-- ids come in that order too, so that new ones stand side by side.
create table imprint (
  lane integer not null references lane (id),
  id blob not null check (length(id) between 1 and 16),
  seq integer not null check (seq >= 1),
  content blob not null check (length(content) = 16),
  primary key (lane, id)
) strict, without rowid;
