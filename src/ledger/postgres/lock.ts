/** Whoever migrates or makes partitions holds this advisory lock; "WBLG" and the schema's hash tell it from other programs'. */
export const LOCK = "select pg_advisory_xact_lock(1463962695, hashtext($1))";
