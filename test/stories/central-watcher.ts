import { DatabaseSync } from "node:sqlite";

/**
 * A reader of the central database in a process of its own, as a report or a web shop would be: it asks the same question
 * again and again and tells each new answer in a line of JSON. Arguments: the file, and a query of one row.
 */
const [file = "", query = ""] = process.argv.slice(2);
const db = new DatabaseSync(file, { readOnly: true, timeout: 10_000 });
const ask = db.prepare(query);
let last = "";
let looks = 0;

process.stdout.write("watching\n");
const watch = (): void => {
  // In bursts, so that the process also hears when it is told to end.
  for (let i = 0; i < 20; i++) {
    const answer = JSON.stringify(ask.get());
    looks += 1;
    if (answer !== last) process.stdout.write(`saw ${answer}\n`);
    last = answer;
  }
  setTimeout(watch, 1);
};
watch();
process.on("SIGTERM", () => {
  process.stdout.write(`looked ${looks}\n`);
  process.exit(0);
});
