-- Comparisons of all terminals are shown to people, newest first, page by page.
create index reconcile_newest on reconcile (ordered_at, id);
