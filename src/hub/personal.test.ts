import { describe, expect, test } from "vitest";
import { describeWith } from "../../test/kit/needs.ts";
import { until } from "../../test/kit/until.ts";
import type { Change, Row } from "../message/change.ts";
import { onPostgres, onSqlite, Desk, type OpenPlace } from "./desk.test-kit.ts";
import { webhookReceiver } from "./alerts/receivers.test-kit.ts";

/** Planted in every personal column, here in another shape in each place; none may be found anywhere afterwards. */
const P = {
  name: "Planted Zaphod",
  email: "planted.zaphod@example.org",
  card: "4929-planted-0007",
  note: 'planted; "quoted" and long '.repeat(6),
};
const OTHERS = { ...P, name: "Planted Trillian", email: "planted.trillian@example.org" };
const SECRET = "planted-secret-of-the-webhook";

const change = (id: string, row: Row, more: Partial<Change> = {}): Change => ({
  table: "customer",
  op: "insert",
  key: { id },
  row: { id, ...P, email: `${id}.${P.email}`, ...row },
  ...more,
});
const line = (seq: number, ...changes: readonly unknown[]): string =>
  JSON.stringify({ seq, at: "2026-11-23T09:00:00Z", changes });

const SQLITE = `
  create table customer (
    id text primary key, name text not null, email text unique, card text, note text, age integer check (age >= 0), friend text references customer (id)
  ) strict;
  create trigger watch before insert on customer when new.card like '%refuse%' begin select raise(abort, 'Planted Marvin is not welcome'); end;
  insert into customer values ('T', '${OTHERS.name}', '${OTHERS.email}', '${P.card}', null, 1, null), ('U', '${P.name}', null, null, null, 1, null);`;
const POSTGRES = `
  create table customer (
    id text primary key, name text not null, email text unique, card text, note text, age integer check (age >= 0),
    friend text references customer (id) deferrable initially deferred
  );
  create function watch() returns trigger language plpgsql as
    $$ begin if new.card like '%refuse%' then raise exception 'card % of % is not welcome', new.card, 'Planted Marvin'; end if; return new; end $$;
  create trigger watch before insert on customer for each row execute function watch();
  insert into customer values ('T', '${OTHERS.name}', '${OTHERS.email}', '${P.card}', null, 1, null), ('U', '${P.name}', null, null, null, 1, null);`;

function personalNeverShows(engine: string, ddl: string, place: OpenPlace): void {
  test(
    `${engine}: personal values and secrets are in no log line, no event, no fault's words, no alert`,
    { timeout: 60_000 },
    async () => {
      await using hook = await webhookReceiver(SECRET);
      const table = {
        direction: "both",
        audience: "all",
        personal: ["name", "email", "card", "note"],
        search: ["email"],
      };
      const desk = await Desk.open(await place(ddl), {
        tables: {
          customer: { ...table, conflict: "detect" },
          // What a transform throws may quote anything of the row.
          lead: {
            ...table,
            direction: "up",
            audience: undefined,
            target: "customer",
            transform: (one: Change) => {
              throw new Error(`no such shop for ${String(one.row?.["name"]).toUpperCase()}`);
            },
          },
        },
        retry: { attempts: 1 },
        alerts: { everySeconds: 1, webhooks: [{ name: "pager", url: hook.url, secret: SECRET }] },
      });
      const lines = [
        line(1, change("C1", {})),
        line(2, change("C2", { email: OTHERS.email })), // unique
        line(3, change("C3", { age: -3 })), // check
        line(4, change("C4", { card: `${P.card} refuse` })), // trigger
        line(5, change("C5", { age: P.name })), // type
        line(6, change("C6", { name: null })), // null
        line(7, change("C7", { friend: "nobody" })), // parent
        line(8, change("C8", { surname: P.name })), // unknown column, named nowhere as personal but with a personal value
        line(9, change("C9", {}, { table: "lead" })), // transform
        line(10, change("T", {}, { op: "update", before: { id: "T", ...P } })), // both values
        line(11, change("U", {})), // exists
        line(12, { table: "customer", op: "insert", key: { name: P.name }, row: { ...P } }), // key
        line(13, change("C2", { email: `other.${P.email}` })), // waits behind 2
        line(14, { table: P.name, op: "insert", key: { id: "x" }, row: {} }).replace(P.name, "unknown_table"),
        line(15, change("C15", { age: -1 })), // check, and then edited
        line(16, change("C16", {}, { op: "update", row: { email: `C1.${P.email}` } })), // missing
        line(17, change("C17", {})),
      ];
      await desk.send(...lines);
      await desk.becomes(17, "loaded");
      const open = await until(
        async () => {
          const { body } = await desk.call<{ rows: { seq: number; fault: string; state: string; detail: string }[] }>(
            "/api/exceptions?limit=100",
          );
          return (
            body.rows.length >= 15 && body.rows.every(({ state }) => state === "dead" || state === "held") && body.rows
          );
        },
        { what: "everything else has met its fault" },
      );
      const faults = new Set(open.map(({ fault }) => fault));
      for (const fault of [
        "UNIQUE_VIOLATED",
        "CHECK_VIOLATED",
        "ROW_REFUSED",
        "TYPE_REFUSED",
        "NULL_REFUSED",
        "PARENT_MISSING",
        "COLUMN_UNKNOWN",
        "TRANSFORM_FAILED",
        "CONFLICT_DETECTED",
        "KEY_INVALID",
        "TABLE_UNKNOWN",
        "ROW_MISSING",
      ])
        expect(faults).toContain(fault);
      // Acts of an operator, and a terminal that refuses an update.
      const edit = await desk.call(`${desk.exception(15)}/requeue`, {
        reason: "typo",
        payload: line(15, change("C15", {})),
      });
      expect(edit.status).toBe(200);
      await desk.becomes(15, "loaded");
      await desk.call(`${desk.exception(3)}/discard`, { reason: "training" });
      await desk.becomes(3, "discarded");
      const bulk = await desk.call<{ bulk: { id: number } }>("/api/bulk", {
        verb: "requeue",
        filter: { key: OTHERS.email },
      });
      await desk.call(`/api/bulk/${bulk.body.bulk.id}/start`, { reason: "again" });
      await desk.asTill("/v1/updates/ack", {
        appliedThrough: "0",
        refused: [
          {
            id: "1",
            code: "UNIQUE_VIOLATED",
            detail: `customer name="${P.name}": Key (email)=(${P.email}) already exists.`,
          },
        ],
      });
      await desk.call(`/api/find?value=${encodeURIComponent(P.email)}`);
      await desk.call(`/api/trace/t1/${encodeURIComponent(P.email)}`);
      await desk.call("/api/overview", undefined, "planted-wrong-token");
      await desk.asTill("/v1/messages", `{"epoch":"E1","after":99,"chain":"","${P.name}":1}\nnot json ${P.email}\n`);
      await until(() => hook.got.length >= 10, { what: "the alerts were told" });

      const shown: Record<string, string> = {
        log: desk.log.join("\n"),
        events: JSON.stringify((await desk.call("/api/events?limit=1000")).body),
        exceptions: JSON.stringify((await desk.call("/api/exceptions?limit=100")).body),
        groups: JSON.stringify((await desk.call("/api/exception-groups")).body),
        refusals: JSON.stringify((await desk.call("/api/terminals/t1")).body),
        alerts: JSON.stringify((await desk.call("/api/alerts?limit=100")).body),
        rules: JSON.stringify((await desk.call("/api/alerts/rules")).body),
        webhook: hook.got.map(({ body }) => body).join("\n"),
        settings: JSON.stringify((await desk.call("/api/settings")).body),
        metrics: JSON.stringify((await desk.call("/metrics")).body),
      };
      const found = Object.entries(shown).flatMap(([where, text]) =>
        [...text.matchAll(/.{0,120}(planted|(?<![\d.])4929).{0,60}/gi)].map(([hit]) => `${where}: ${hit}`),
      );
      expect(found).toEqual([]);
      // They say enough all the same: which row, which column, which constraint.
      const said = new Map(open.map(({ seq, detail }) => [seq, detail]));
      expect(said.get(2)).toMatch(/customer id=.?C2.?: .*email/);
      expect(said.get(10)).toMatch(/customer id=T: .*email: •••/);
      expect(said.get(9)).toMatch(/no such shop for •••/);
      expect(said.get(5)).toMatch(/column age \(integer\): ("?•••"?) is no whole number/i);
      expect(shown["events"]).toMatch(/•••/);
    },
  );
}

describe("a centre on SQLite", () => {
  personalNeverShows("SQLite", SQLITE, onSqlite);
});
describeWith("postgres", "a centre on PostgreSQL", (server) => {
  personalNeverShows("PostgreSQL", POSTGRES, onPostgres(server));
});
