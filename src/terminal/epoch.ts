import { z } from "zod";
import { asWaybillError } from "../base/errors.ts";
import { epoch, type Epoch } from "../base/ids.ts";
import { newUlid, type Runtime } from "../base/runtime.ts";
import type { Log } from "../observe/log.ts";
import type { EpochCall } from "../wire/calls.ts";
import type { HubClient } from "./hub-client.ts";
import type { Station } from "./station.ts";

/**
 * What was asked of the hub, written down before it was asked: a call whose answer was lost is repeated word by word, and so
 * answered the same. The new epoch's name is drawn here, so that it is the same at a hub whose ledger was restored meanwhile, too,
 * and when an old copy of the call arrives there. `install` is drawn anew for each epoch: two tills copied from one image must
 * not be taken for one. `from` is this database's epoch at that time; once another has begun here, the record is history.
 */
const asked = z.object({
  from: z.string().nullable(),
  previous: z.string().nullable(),
  install: z.string(),
  reason: z.string(),
  epoch: z.string(),
});
type Asked = z.infer<typeof asked>;
const FACT = "epoch-asked";

export type EpochParts = {
  readonly station: Station;
  readonly client: HubClient;
  readonly runtime: Runtime;
  readonly log: Log;
};

/**
 * Begins a new epoch with the hub's consent: numbers start at 1 again, and messages that the hub has not received are numbered anew.
 * Crash or lost answer: call again.
 * @throws EPOCH_CLOSED when another install has taken over; EPOCH_WAITS when an operator must decide
 */
export async function openEpoch(parts: EpochParts, reason: string): Promise<Epoch> {
  const { station, client, log } = parts;
  const from = (await station.use((database) => database.capture.state())).epoch;
  if (from !== null && from !== station.marks.epoch) {
    // It was begun already, and only the database's answer was lost: asking for yet another would be a second install.
    await station.readMarks();
    return from;
  }
  const call = (await recalled(station, from)) ?? (await remembered(parts, { from, previous: from, reason }));
  const name = epoch(await ask(parts, client, call));
  await station.use((database) => database.capture.beginEpoch(name, from));
  await station.readMarks();
  log.warn({ epoch: name, previous: from, reason: call.reason }, "epoch.begun");
  return name;
}

/**
 * The hub's current epoch is another than this database's. If it is the one that came before ours, the hub was restored to a
 * time before ours began: the call that opened ours is repeated, and what was lost is sent again. Else another install has taken over,
 * and the hub is asked for an epoch of our own, which it gives when a person allows it.
 * @throws EPOCH_CLOSED or EPOCH_WAITS until then
 */
export async function goOnOrAsk(parts: EpochParts, current: string): Promise<void> {
  const { station, client, log } = parts;
  const ours = (await station.use((database) => database.capture.state())).epoch;
  const text = await station.use((database) => database.capture.recall(FACT));
  const opened = text === null ? null : asked.parse(JSON.parse(text));
  if (ours !== null && opened !== null && opened.from !== ours && opened.previous === current) {
    await client.openEpoch({ ...callOf(opened), epoch: ours });
    log.warn({ epoch: ours, previous: current }, "epoch.known-again");
    return;
  }
  await openEpoch(parts, `epoch ${current} was begun by another install`);
}

async function ask(parts: EpochParts, client: HubClient, call: Asked): Promise<string> {
  try {
    return await client.openEpoch(callOf(call));
  } catch (thrown) {
    const error = asWaybillError(thrown);
    const current = error.facts["epoch"];
    // A database that never had an epoch may follow whatever this terminal sent under before; one that had must not guess.
    if (error.code !== "EPOCH_CLOSED" || call.from !== null || call.previous !== null || typeof current !== "string")
      throw thrown;
    const again = await remembered(parts, {
      from: null,
      previous: current,
      reason: "another database of the same terminal",
    });
    return client.openEpoch(callOf(again));
  }
}

async function recalled(station: Station, from: Epoch | null): Promise<Asked | null> {
  const text = await station.use((database) => database.capture.recall(FACT));
  if (text === null) return null;
  const call = asked.parse(JSON.parse(text));
  return call.from === from ? call : null;
}

async function remembered(
  { station, runtime }: EpochParts,
  call: Pick<Asked, "from" | "previous" | "reason">,
): Promise<Asked> {
  const drawn = (): string => newUlid(runtime.clock.now(), runtime.random);
  const whole = { ...call, install: drawn(), epoch: drawn() };
  await station.use((database) => database.capture.remember(FACT, JSON.stringify(whole)));
  return whole;
}

const callOf = ({ previous, install, reason, epoch: name }: Asked): EpochCall => ({
  previous,
  install,
  reason,
  epoch: name,
});
