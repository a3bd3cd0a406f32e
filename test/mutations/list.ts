/**
 * What was taken out of the adapters to see the contract suites fail: each lock, fence and compare that a promise of the ports
 * rests on. `find` stands once in the file (or `nth` says which), and is replaced; then the tests of the room that match
 * `caughtBy` must fail.
 */
export type Mutation = {
  /** Under src/. */
  readonly file: string;
  readonly what: string;
  readonly find: string;
  readonly replace: string;
  /** Which of several, from 0. */
  readonly nth?: number;
  /** Part of the name of a test that fails then. */
  readonly caughtBy: string;
  /** Where that test is, under src/, when it is not one of the file's own room. */
  readonly tests?: string;
};

const BOTH_LEDGERS: readonly Mutation[] = [
  {
    file: "ledger/judge.ts",
    what: "a chain is not compared with the one stored",
    find: "stored !== null && sameChain(stored, chain)",
    replace: "stored !== null || chain.byteLength >= 0",
    caughtBy: "a known number with other content is CHAIN_BROKEN",
  },
  {
    file: "ledger/judge.ts",
    what: "a request may begin behind what is stored",
    find: "if (isAfter(start, tip)) {",
    replace: "if (isAfter(start, tip) && tip.seq < 0) {",
    caughtBy: "a first number too high is SEQUENCE_GAP",
  },
  {
    file: "ledger/judge.ts",
    what: "lines need not follow each other",
    find: "if (disorder !== null) {",
    replace: "if (disorder !== null && disorder < 0) {",
    caughtBy: "lines that do not follow each other are SEQUENCE_GAP",
  },
  {
    file: "ledger/judge.ts",
    what: "an ended epoch is not told from the current one",
    find: "if (current && current.epoch !== epoch) {",
    replace: "if (current && current.epoch !== epoch && epoch.length < 0) {",
    caughtBy: "a lane that a newer epoch has ended is EPOCH_CLOSED",
  },
  {
    file: "ledger/judge.ts",
    what: "what follows a message in parts need not be its next part",
    find: "if (lines.length > known && !isSame(joint, tip)) return",
    replace: "if (lines.length < known && !isSame(joint, tip)) return",
    caughtBy: "a message that began in parts is CHAIN_BROKEN",
  },
];

const LEDGER = (engine: "postgres" | "sqlite"): readonly Mutation[] => [
  {
    file: `ledger/${engine}/append.ts`,
    what: "a message that the hub numbers leaves no imprint",
    find: engine === "sqlite" ? "if (!imprint) return;" : "if (line.imprint) this.#imprints.push",
    replace:
      engine === "sqlite" ? "if (!imprint || lane > 0) return;" : "if (line.imprint && id < 0) this.#imprints.push",
    caughtBy: "a message is known again by the imprint it came with",
  },
  {
    file: `ledger/${engine}/bulk.ts`,
    what: "an act on many forgets the request that started it",
    find: "byOf(bulk.by, bulk.requestTrace)",
    replace: "byOf(bulk.by, bulk.requestTrace && null)",
    caughtBy: "an act by a request has its trace in its events",
  },
  {
    file: `ledger/${engine}/settle.ts`,
    what: "a settlement counts whatever its fence",
    find: "lane.leasedBy === null || lane.fence !== outcome.fence",
    replace: "lane.leasedBy === null",
    caughtBy: "a claim whose lease ran out is lost to the first worker",
  },
  {
    file: `ledger/${engine}/settle.ts`,
    what: "a settlement counts when the lease has ended",
    find: "lane.leasedBy === null || lane.fence !== outcome.fence",
    replace: "lane.fence !== outcome.fence",
    caughtBy: "a settlement counts once",
  },
  {
    file: `ledger/${engine}/settle.ts`,
    what: "a settlement may say more than was claimed",
    find: "|| outcome.loadedThrough > lane.claimedThrough",
    replace: "",
    caughtBy: "a settlement of what was not claimed is refused",
  },
  {
    file: `ledger/${engine}/settle.ts`,
    what: "a watermark may be moved back",
    find: "outcome.loadedThrough < lane.loadedThrough ||",
    replace: "",
    caughtBy: "a settlement of what was not claimed is refused",
  },
  {
    file: `ledger/${engine}/adopt.ts`,
    what: "the centre's words are adopted whatever the fence",
    find: "lane.leasedBy === null || lane.fence !== fence",
    replace: "lane.leasedBy === null",
    caughtBy: "the centre's own words are adopted",
  },
  {
    file: "ledger/adopt.ts",
    tests: `ledger/${engine}`,
    what: "the centre's version is not compared: a restored one is not noticed",
    find: "centre.version < lane.version || ",
    replace: "",
    caughtBy: "a centre whose version alone is behind was restored too",
  },
  {
    file: `ledger/${engine}/epochs.ts`,
    what: "an epoch is opened whatever the current one is",
    find: "!== previous && !allowed) {",
    replace: "!== previous && !allowed && install.length < 0) {",
    caughtBy: "an epoch is opened by compare-and-set",
  },
  {
    file: `ledger/${engine}/epochs.ts`,
    what: "a second install need not wait",
    find: "if (contested &&",
    replace: "if (contested && install.length < 0 &&",
    caughtBy: "a second install within an hour waits",
  },
  {
    file: `ledger/${engine}/updates.ts`,
    what: "forwarding does not compare how far its source was forwarded",
    find:
      engine === "postgres"
        ? "if ((await forwardedOf(tx, source)) !== after) return false;"
        : "if (known !== after) return false;",
    replace: "",
    caughtBy: "forwarding is by number",
  },
  {
    file: `ledger/${engine}/updates.ts`,
    what: "a term is begun though the head is higher",
    find: "if (shown <= id) return id;",
    replace: "",
    caughtBy: "after a restore ids go on above every id that was shown",
  },
];

const POSTGRES_LEDGER: readonly Mutation[] = [
  {
    file: "ledger/postgres/claim.ts",
    what: "due lanes are not locked while they are claimed",
    find: "order by work_at, lane limit $4 for update skip locked",
    replace: "order by work_at, lane limit $4",
    caughtBy: "a lane is given to one worker at a time",
  },
  {
    file: "ledger/postgres/claim.ts",
    what: "a leased lane stays due",
    find: "leased_until = $2, work_at = $2,",
    replace: "leased_until = $2,",
    caughtBy: "a claim gives at most so many lanes and messages, and nobody else",
  },
  {
    file: "ledger/postgres/claim.ts",
    what: "a claim does not move the fence",
    find: "fence: lane.fence + 1,",
    replace: "fence: lane.fence,",
    caughtBy: "a claim whose lease ran out is lost to the first worker",
  },
  {
    file: "ledger/postgres/due.ts",
    what: "a newer epoch does not wait for the older one",
    find: "older_in.received_through > older_out.loaded_through",
    replace: "older_in.received_through < older_out.loaded_through",
    caughtBy: "a lane of a newer epoch waits",
  },
  {
    file: "ledger/postgres/settle.ts",
    what: "a late message counts whoever has it in hand",
    find: "and e.closed_at is null and e.claimed_fence = l.fence`",
    replace: "and e.closed_at is null`",
    caughtBy: "a settlement of what was not claimed is refused",
  },
  {
    file: "ledger/postgres/settle.ts",
    what: "a settlement does not lock the terminal's lanes",
    find: "const [, rows] = await Promise.all([lockTerminals(tx, names), lanesNamed(tx, names)]);",
    replace: "void lockTerminals; const [, rows] = await Promise.all([null, lanesNamed(tx, names)]);",
    caughtBy: "a settlement that meets the next worker's claim is lost",
  },
  {
    file: "ledger/postgres/append.ts",
    what: "an append does not lock what the lane has received",
    find: 'lock("lane_in"),',
    replace: "null,",
    caughtBy: "an append that meets the opening of the next epoch",
  },
  {
    file: "ledger/postgres/append.ts",
    what: "an append does not lock what the lane gives out",
    find: 'lock("lane_out"),',
    replace: "null,",
    caughtBy: "never leaves a message unseen that comes while its lane is settled",
  },
  {
    file: "ledger/postgres/epochs.ts",
    what: "an epoch is opened without waiting for appends to the one before",
    find: "order by i.lane for update of i`",
    replace: "order by i.lane`",
    caughtBy: "an epoch opened while the one before is sent to",
  },
  {
    file: "ledger/postgres/updates.ts",
    what: "a publisher may forward though its seat was taken",
    find: "if (seat && !(await isHeld(tx, seat))) return false;",
    replace: "void isHeld;",
    caughtBy: "gives a seat to one",
  },
  {
    file: "ledger/postgres/updates.ts",
    what: "that the log was compared counts though the seat has run out",
    find: "where s.held_until > $1`",
    replace: "where s.held_until > $1 or true`",
    caughtBy: "that the log was compared with the centre counts",
  },
  {
    file: "ledger/postgres/seats.ts",
    what: "a seat may be taken before its lease is over",
    find: "where s.held_by = $2 or s.held_until <= $4",
    replace: "where s.held_by = $2 or s.held_until <= $4 or true",
    caughtBy: "gives a seat to one",
  },
  {
    file: "ledger/postgres/seats.ts",
    what: "a seat's fence does not grow",
    find: "case when s.held_by = $2 then 0 else 1 end",
    replace: "0",
    caughtBy: "gives a seat to one",
  },
  {
    file: "ledger/postgres/seats.ts",
    what: "the seat is looked at but not kept until the commit",
    find: "where name = $1 and fence = $2 for share",
    replace: "where name = $1 and fence = $2",
    caughtBy: "a seat cannot be taken while its holder forwards",
  },
  {
    file: "ledger/postgres/store.ts",
    what: "a process goes on under a form that is not safe for it",
    find: "if (state.form > this.form) throw newerThan(this.form, state.form);",
    replace: "",
    caughtBy: "stops a process at its next transaction when a newer form is not safe",
  },
  {
    file: "ledger/postgres/store.ts",
    what: "a commit need not be on the disk",
    find: "\"select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'\"",
    replace: '"select 1"',
    caughtBy: "I2: a commit is on the disk",
  },
  {
    file: "ledger/postgres/store.ts",
    what: "reads that belong together see different moments",
    find: "begin isolation level repeatable read read only",
    replace: "begin isolation level read committed read only",
    caughtBy: "what is read together is of one moment",
  },
  {
    file: "ledger/postgres/migrate.ts",
    what: "processes that start together migrate at once",
    find: "await client.query(LOCK, [schema]);",
    replace: "void LOCK;",
    caughtBy: "is made once by processes that start together",
  },
  {
    file: "ledger/postgres/terminals.ts",
    what: "a token is not locked while it is used",
    find: "from token where hash = $1 for update`",
    replace: "from token where hash = $1`",
    caughtBy: "a token that another process is using is used up",
  },
];

const SQLITE_LEDGER: readonly Mutation[] = [
  {
    file: "ledger/sqlite/claim.ts",
    what: "a leased lane stays due",
    find: "leased_until = ?, work_at = ?, fence",
    replace: "leased_until = ?, work_at = min(work_at, ?), fence",
    caughtBy: "a claim gives at most so many lanes and messages, and nobody else",
  },
  {
    file: "ledger/sqlite/claim.ts",
    what: "a claim does not move the fence",
    find: "const fence = lane.fence + 1;",
    replace: "const fence = lane.fence;",
    caughtBy: "a claim whose lease ran out is lost to the first worker",
  },
  {
    file: "ledger/sqlite/due.ts",
    what: "a newer epoch does not wait for the older one",
    find: "i.received_through > o.loaded_through",
    replace: "i.received_through < o.loaded_through",
    caughtBy: "a lane of a newer epoch waits",
  },
  {
    file: "ledger/sqlite/settle.ts",
    what: "a late message counts whoever has it in hand",
    find: "and closed_at is null and claimed_fence = ?`",
    replace: "and closed_at is null and ? is not null`",
    caughtBy: "a settlement of what was not claimed is refused",
  },
  {
    file: "ledger/sqlite/store.ts",
    what: "a commit need not be on the disk",
    find: 'connection.exec("pragma synchronous = full");',
    replace: 'connection.exec("pragma synchronous = off");',
    caughtBy: "I2: a commit is on the disk",
  },
  {
    file: "ledger/sqlite/store.ts",
    what: "a write that fails is not undone",
    find: 'if (this.#connection.isTransaction) this.script("rollback");',
    replace: 'if (this.#connection.isTransaction) this.script("commit");',
    caughtBy: "all are stored in one transaction",
  },
];

const DATABASE = (engine: "postgres" | "sqlite"): readonly Mutation[] => {
  const postgres = engine === "postgres";
  return [
    {
      file: `database/${engine}/load.ts`,
      what: "a lane moves whatever its version",
      find: postgres ? "and t.version = v.version returning" : "where l.lane = ? and l.version = ?",
      replace: postgres ? "and t.version <> -v.version returning" : "where l.lane = ? and l.version <> -?",
      caughtBy: "a lane moves to the version given iff its version is still the one it was",
    },
    {
      file: `database/${engine}/load.ts`,
      what: "a lane's version does not grow",
      find: postgres ? "version = v.next" : "loaded_through = ?, version = ? where",
      replace: postgres ? "version = t.version" : "loaded_through = ?, version = l.version + 0 * ? where",
      caughtBy: "a lane moves to the version given iff its version is still the one it was",
    },
    {
      file: `database/${engine}/load.ts`,
      what: "a lane that is there is begun again",
      find: postgres ? "on conflict (lane) do nothing returning" : "?) on conflict (lane) do nothing",
      replace: `${postgres ? "" : "?) "}on conflict (lane) do update set loaded_through = excluded.loaded_through${postgres ? " returning" : ""}`,
      caughtBy: "a lane moves to the version given iff its version is still the one it was",
    },
    {
      file: `database/${engine}/cursor.ts`,
      what: "the cursor moves from wherever it is",
      find: postgres
        ? "where id = $6 and changes = $7"
        : "if (now.id !== from.id || now.changes !== from.changes) return false;",
      replace: postgres ? "where id >= $6 - $6 and changes >= $7 - $7" : "",
      caughtBy: "the cursor moves iff it is still where it was said to be",
    },
    {
      file: `database/${engine}/load.ts`,
      what: "an attempt that is not kept stays",
      find: postgres
        ? "keep ? `release ${name}` : `rollback to ${name}; release ${name}`"
        : "if (!keep) this.#connection",
      replace: postgres ? "`release ${name}`" : "if (this.#depth < 0) this.#connection",
      caughtBy: "an attempt that is not kept is undone",
    },
  ];
};

const POSTGRES_DATABASE: readonly Mutation[] = [
  {
    file: "database/postgres/load.ts",
    what: "rows that are compared are not locked",
    find: "order by ${selectList(key)} for update of t`",
    replace: "order by ${selectList(key)}`",
    caughtBy: "a row that was read to be compared is nobody else's",
  },
  {
    file: "database/postgres/load.ts",
    what: "deferred constraints are left to COMMIT",
    find: "await checkDeferred(connection);",
    replace: "void checkDeferred;",
    nth: 0,
    caughtBy: "a deferred constraint is judged before the commit",
  },
  {
    file: "database/postgres/connection.ts",
    what: "a terminal's database is not held alone",
    find: "if (this.#isAlone) await holdAlone(client);",
    replace: "void holdAlone; void this.#isAlone;",
    caughtBy: "whoever comes second is refused",
  },
  {
    file: "database/postgres/connection.ts",
    what: "a commit need not be on the disk",
    find: "\"select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'\"",
    replace: '"select 1"',
    caughtBy: "I2: a commit is on the disk",
  },
  {
    file: "database/postgres/capture/pack.ts",
    what: "transactions are packed by their lowest id",
    find: "select xid, max(id) as top, count(*) as n, sum(count(*)) over (order by max(id))",
    replace: "select xid, min(id) as top, count(*) as n, sum(count(*)) over (order by min(id))",
    caughtBy: "every transaction arrives whole",
  },
  {
    file: "database/postgres/capture/pack.ts",
    what: "packing goes on from the snapshot's end, not from what ran in it",
    find: "or xid = any (array(select pg_snapshot_xip($1::pg_snapshot))))",
    replace: ")",
    caughtBy: "every transaction arrives whole",
  },
  {
    file: "database/postgres/capture/resync.ts",
    what: "a page is read without its rows' locks",
    find: "limit $3::int for share of t",
    replace: "limit $3::int",
    caughtBy: "a page waits for whoever writes its rows",
  },
  {
    file: "database/postgres/capture/triggers.ts",
    what: "what we load ourselves is captured back",
    find: "`if ${loading} then return null; end if;`",
    replace: "`if ${loading} then null; end if;`",
    caughtBy: "I12: what is loaded is not captured",
  },
  {
    file: "database/postgres/capture/triggers.ts",
    what: "triggers do not fire in a replica's session",
    find: "`alter table ${table.sql} enable always trigger ${row}`,",
    replace: "",
    caughtBy: "a replica's session is captured too",
  },
];

const SQLITE_DATABASE: readonly Mutation[] = [
  {
    file: "database/sqlite/connection.ts",
    what: "a commit need not be on the disk",
    find: 'this.db.exec("pragma synchronous = full");',
    replace: 'this.db.exec("pragma synchronous = off");',
    caughtBy: "every commit is on the disk",
  },
];

export const MUTATIONS: readonly Mutation[] = [
  ...BOTH_LEDGERS.flatMap((one) => [
    { ...one, tests: "ledger/sqlite/ledger.test.ts" },
    { ...one, tests: "ledger/postgres/ledger.db.test.ts" },
  ]),
  ...LEDGER("sqlite"),
  ...SQLITE_LEDGER,
  ...LEDGER("postgres"),
  ...POSTGRES_LEDGER,
  ...DATABASE("sqlite"),
  ...SQLITE_DATABASE,
  ...DATABASE("postgres"),
  ...POSTGRES_DATABASE,
];

/** Taken out, and rightly not noticed: something else holds. */
export const SPARE: readonly { readonly file: string; readonly what: string; readonly why: string }[] = [
  {
    file: "ledger/postgres/updates.ts",
    what: "whoever adds to the update log does not lock its head first",
    why: "two then give one id; the log's primary key refuses the second, which is judged again. The lock spares the second try.",
  },
  {
    file: "ledger/postgres/claim.ts",
    what: "a claim does not look whether an older epoch is before its lane",
    why: "such a lane is never due: `reconsider` sees to it under the same locks. The look is a second belt.",
  },
  {
    file: "ledger/postgres/append.ts",
    what: "lanes are not locked in one order",
    why: "two appends then wait for each other in a ring; the server breaks it and the one it chose is tried again.",
  },
];
