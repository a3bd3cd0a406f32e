import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { rowsOf, sale, SCHEMA, type Shape } from "./shape.ts";
import { timed } from "./machine.ts";

/** The limit of this machine: the same rows into the same tables by prepared statements, a thousand sales a transaction, fully durable. Rows/s. */
export async function bareLimit(folder: string, messages: number, shape: Shape): Promise<number> {
  const db = new DatabaseSync(join(folder, `bare-${shape.lines}.db`));
  db.exec(`pragma journal_mode = wal; pragma synchronous = full; ${SCHEMA}`);
  const header = db.prepare("insert into sale values (?, ?, ?, ?, ?)");
  const line = db.prepare("insert into sale_line values (?, ?, ?, ?, ?, ?)");
  const sales = Array.from({ length: messages }, (_, i) => sale("bare", i + 1, shape));
  const ms = await timed(() => {
    for (let from = 0; from < sales.length; from += 1_000) {
      db.exec("begin immediate");
      for (const one of sales.slice(from, from + 1_000)) {
        header.run(...one.header);
        for (const row of one.lines) line.run(...row);
      }
      db.exec("commit");
    }
  });
  db.close();
  return (messages * rowsOf(shape) * 1_000) / ms;
}
