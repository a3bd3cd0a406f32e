-- safe for: 12
-- An operator's act names the trace of the request that it came with; an act on many passes it on to each of its messages.
alter table event add column request_trace text;
alter table bulk add column request_trace text;
