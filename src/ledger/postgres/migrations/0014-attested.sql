-- safe for: 12
-- The seat, and its fence, with which a publisher compared the update log with the centre: good as long as it has the seat.
alter table update_head add column attested_seat text, add column attested_fence bigint;
