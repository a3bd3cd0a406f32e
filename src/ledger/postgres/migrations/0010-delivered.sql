-- safe for: 1
-- How far a terminal was handed the update log, whether or not it has told since that it applied it.
alter table terminal add column delivered_through bigint not null default 0;
update terminal set delivered_through = applied_through;
