-- The trace of a message off the happy path: its lines in the trail, its dead letter and the log name the same one.
alter table exception add column trace text;
