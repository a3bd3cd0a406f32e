import { backoffMs, type BackoffPolicy } from "../base/backoff.ts";
import { WaybillError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import { startThread, threadModule, type Remote, type RemoteThread } from "../base/thread.ts";
import type { Log } from "../observe/log.ts";
import type { Central } from "./central.ts";
import type { ConfigSource } from "./load-config.ts";

const RESTART: BackoffPolicy = { firstMs: 100, factor: 2, capMs: 2_000 };
/** How long a close waits for the thread to close its connections. */
const CLOSE_MS = 2_000;
/** A thread that lived this long was well: its end is not counted with earlier ones. */
const WELL_AFTER_MS = 60_000;

/**
 * The central station on a thread of its own, so that loading never keeps the hub from answering or from renewing leases.
 * A thread that dies (out of memory in one message) fails the calls that wait with INTERNAL, since nobody knows what became
 * of them, and is started again; calls until then fail with CENTRAL_UNAVAILABLE.
 */
export function hostCentral(
  source: ConfigSource,
  runtime: Pick<Runtime, "clock" | "timers" | "random">,
  log: Log,
): Central {
  const closing = new AbortController();
  let thread: RemoteThread<Central> | null = null;
  let deaths = 0;

  const start = (): void => {
    const bornAt = runtime.clock.elapsed();
    const born = startThread<Central>("waybill-central", threadModule(import.meta.url, "central-thread"), source);
    thread = born;
    void born.ended.then(async (error) => {
      thread = null;
      if (closing.signal.aborted) return;
      deaths = runtime.clock.elapsed() - bornAt > WELL_AFTER_MS ? 1 : deaths + 1;
      const waitMs = deaths === 1 ? 0 : backoffMs(Math.min(deaths, 32), RESTART, runtime.random);
      log.error({ error, deaths, restartInMs: waitMs }, "central.thread.ended");
      await runtime.timers.sleep(waitMs, closing.signal);
      if (!closing.signal.aborted) start();
    });
  };
  // A hub that neither loads nor publishes never calls, and needs no way to the centre.
  let begun = false;
  const remote = (): Remote<Central> => {
    if (!begun) start();
    begun = true;
    if (thread) return thread.remote;
    throw new WaybillError("CENTRAL_UNAVAILABLE", "the loading thread is being started again");
  };
  return {
    open: async () => remote().open(),
    load: async (claims) => remote().load(claims),
    marks: async (lanes) => remote().marks(lanes),
    rehearse: async (order) => remote().rehearse(order),
    state: async () => remote().state(),
    outgoing: async (source, after, aims) => remote().outgoing(source, after, aims),
    announce: async (source, forwarded, through, ids) => remote().announce(source, forwarded, through, ids),
    rememberTerm: async (term) => remote().rememberTerm(term),
    rememberHead: async (head) => remote().rememberHead(head),
    rememberStrand: async (strand) => remote().rememberStrand(strand),
    beginEpoch: async (source, forwarded) => remote().beginEpoch(source, forwarded),
    snapshot: async (orders, to) => remote().snapshot(orders, to),
    unsnapped: async (of) => remote().unsnapped(of),
    snapshotting: async () => remote().snapshotting(),
    shapes: async (tables) => remote().shapes(tables),
    survey: async (order, terminal) => remote().survey(order, terminal),
    rowsFor: async (table, terminal, keys) => remote().rowsFor(table, terminal, keys),
    packed: async () => remote().packed(),
    resend: async (table, terminal, keys) => remote().resend(table, terminal, keys),
    close: async () => {
      closing.abort();
      const dying = thread;
      if (!dying) return;
      // A load that takes longer dies with its thread: it was not committed, or the next claim finds that it was.
      const enough = new AbortController();
      await Promise.race([dying.remote.close(), runtime.timers.sleep(CLOSE_MS, enough.signal)]);
      enough.abort();
      await dying.stop();
    },
  };
}
