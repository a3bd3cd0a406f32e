import { hostname } from "node:os";
import { asWaybillError } from "../base/errors.ts";
import { workerId, type WorkerId } from "../base/ids.ts";
import { newUlid, type Runtime } from "../base/runtime.ts";
import type { Stop } from "../base/stop.ts";
import { openLedger } from "../ledger/open.ts";
import type { Ledger } from "../ledger/port.ts";
import { WELL, down, healthOf, type HealthReport } from "../observe/health.ts";
import type { Log } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { breakerLook, diskLook, pauseLook, snapshotLook } from "./alerts/looks.ts";
import { AlertWatch } from "./alerts/watch.ts";
import { openTracing } from "../observe/open-tracing.ts";
import { createHubApi } from "./api/api.ts";
import type { MakeBrowserSide } from "./api/browser-side.ts";
import { freeDisk } from "./api/capacity.ts";
import { withoutSecrets } from "./api/operator/settings.ts";
import { listen } from "./api/listen.ts";
import { UpdateSignal } from "./api/update-signal.ts";
import type { BreakerState } from "./breaker.ts";
import { BulkRunner } from "./bulk-runner.ts";
import { hostCentral } from "./central-host.ts";
import { Engine } from "./engine.ts";
import { HistoryKeeper } from "./history-keeper.ts";
import { loadHubSettings, tokenHash, type ConfigSource } from "./load-config.ts";
import { openCentral } from "./open-central.ts";
import { ensureOperatorToken } from "./operator-token.ts";
import { RetentionKeeper } from "./retention-keeper.ts";
import { HUB_ROLES, type HubRole } from "./roles.ts";
import type { HubSettings } from "./settings.ts";
import { UpkeepWatch } from "./upkeep-watch.ts";

/**
 * Either where the config is (the loading thread reads it too), or settings made in code (embedding, tests): these hold
 * functions, which no other thread can be given, so loading then shares the caller's thread.
 */
export type HubStart = ({ readonly source: ConfigSource } | { readonly settings: HubSettings }) & {
  readonly runtime: Runtime;
  readonly log: Log;
  /** What this process does; without it everything. Several processes need a ledger that they can share. */
  readonly roles?: readonly HubRole[];
  /** The hub ends when this is raised; `close` is registered with it. */
  readonly stop: Stop;
  /** What serves people in a browser; without it the hub serves programs only. */
  readonly browser?: MakeBrowserSide;
};
export type HubStats = {
  readonly batchesInWork: number;
  readonly breaker: BreakerState;
  readonly health: HealthReport;
};
export type Hub = {
  /** `http://host:port` */
  readonly address: string;
  readonly stats: () => HubStats;
  /**
   * A link that signs one person in to the console once, or by which the first operator is made. Null when the hub serves no
   * console.
   */
  readonly signInLink: (page?: "signin" | "setup") => Promise<string | null>;
  /** Nobody can sign in by name yet. */
  readonly isNew: () => Promise<boolean>;
  /** Refuses new requests, finishes and settles what is under way within `drainMs`, closes everything. Repeatable. */
  readonly close: () => Promise<void>;
};

/** @throws ALREADY_RUNNING when another hub holds the ledger; CONFIG_INVALID; SCHEMA_NEWER */
export async function startHub(given: HubStart): Promise<Hub> {
  const { runtime, log } = given;
  const settings = "settings" in given ? given.settings : await loadHubSettings(given.source);
  const metrics = new Metrics();
  const closers: Closer[] = [];
  try {
    const tracing = await openTracing({
      settings: settings.tracing,
      service: "waybill-hub",
      instance: `${settings.host}:${settings.port}`,
      runtime,
      log,
      metrics,
    });
    closers.push({ what: "tracing", close: () => tracing.close() });
    const ledger = await openLedger(settings.ledgerUrl, runtime);
    closers.push({ what: "ledger", close: async () => ledger[Symbol.asyncDispose]() });
    void ledger.ended.then((error) => {
      if (error === null) return;
      // Nothing can be promised without a ledger; whoever runs this process starts it again.
      log.error({ error }, "hub.failed");
      process.exitCode = 1;
      return given.stop.end((what, thrown) => log.error({ what, error: asWaybillError(thrown) }, "close.failed"));
    });
    if (ledger.upkeep) {
      const watch = new UpkeepWatch(ledger.upkeep, { runtime, log, metrics });
      closers.push({ what: "upkeep", close: async () => watch[Symbol.dispose]() });
    }
    const roles = given.roles ?? HUB_ROLES;
    const central =
      "settings" in given ? await openCentral(settings, runtime) : hostCentral(given.source, runtime, log);
    closers.push({ what: "central", close: () => central.close() });

    const { signals } = ledger;
    const updates = new UpdateSignal((audiences) => signals?.send({ kind: "published", audiences }));
    const engine = new Engine({
      ledger,
      central,
      settings,
      runtime,
      log,
      metrics,
      tracing,
      onPublished: (audiences) => updates.ring(audiences),
      roles,
    });
    const halt = new AbortController();
    closers.push({ what: "engine", close: () => drained(engine, halt, settings.drainMs, runtime) });
    await engine.start(halt.signal);

    const bulk = new BulkRunner(ledger.bulks, { runtime, log, onOrdered: () => void engine.received() });
    closers.push({ what: "bulk", close: () => bulk[Symbol.asyncDispose]() });

    const heard = signals?.on((signal) => {
      if (signal.kind === "received") engine.received();
      else if (signal.kind === "published") updates.hear(signal.audiences);
      else engine.recheck();
    });
    closers.push({ what: "signals", close: async () => heard?.[Symbol.dispose]() });

    const retention = new RetentionKeeper({
      ledger,
      settings: settings.retention,
      runtime,
      log,
      metrics,
      worker: workerId(newUlid(runtime.clock.now(), runtime.random)),
    });
    closers.push({ what: "retention", close: () => retention[Symbol.asyncDispose]() });

    let closing: Promise<void> | null = null;
    const close = (): Promise<void> => (closing ??= closeAll(closers, log));
    const health = (): HealthReport =>
      healthOf({ hub: closing ? down("the hub is shutting down") : WELL, ...engine.health() });
    const me = workerId(newUlid(runtime.clock.now(), runtime.random));
    const alerts = watchAlerts({ settings, ledger, runtime, log, process: me, engine });
    if (alerts) {
      const quiet = new AbortController();
      const ended = alerts.run(quiet.signal);
      closers.push({ what: "alerts", close: () => (quiet.abort(), ended) });
    }
    const api = createHubApi({
      ledger,
      settings: await withOperatorToken(settings, runtime),
      runtime,
      log,
      metrics,
      tracing,
      wake: {
        received: (lanes) => {
          if (engine.received(lanes)) signals?.send({ kind: "received" });
        },
        ordered: () => engine.reconciler.ordered(),
        enrolled: (terminal) => {
          void engine.enrolled(terminal);
          signals?.send({ kind: "enrolled" });
        },
      },
      updates,
      central,
      retention,
      roles,
      health,
      breaker: () => engine.processor.breaker.state,
      compared: () => engine.compared(),
      ...(alerts && settings.alerts
        ? { alerts: { settings: settings.alerts, test: (name) => alerts.test(name) } }
        : {}),
      ...(given.browser === undefined ? {} : { browser: given.browser }),
    });
    const keeper = new HistoryKeeper({
      ledger,
      runtime,
      log,
      metrics,
      process: me,
    });
    closers.push({ what: "history", close: async () => keeper[Symbol.dispose]() });
    const server = await listen(api, { host: settings.host, port: settings.port });
    closers.push({ what: "server", close: () => server.close() });
    const [ledgerAt, centralAt] = [settings.ledgerUrl, settings.centralUrl].map(withoutSecrets);
    log.info({ address: server.address, ledger: ledgerAt, central: centralAt, roles }, "hub.started");

    given.stop.onClose("hub", close);
    const stats = (): HubStats => ({
      batchesInWork: engine.processor.batchesInWork,
      breaker: engine.processor.breaker.state,
      health: health(),
    });
    const signInLink: Hub["signInLink"] = async (page = "signin") => {
      const secret = await api.invite();
      return secret === null ? null : `${server.address}/${page}#${secret}`;
    };
    const isNew = async (): Promise<boolean> => (await ledger.access.operators()).length === 0;
    return { address: server.address, stats, signInLink, isNew, close };
  } catch (thrown) {
    await closeAll(closers, log);
    throw thrown;
  }
}

type Closer = { readonly what: string; readonly close: () => Promise<void> };

/** In the reverse order of opening: first nothing new comes in, then what is under way ends, then the stores are closed. */
async function closeAll(closers: readonly Closer[], log: Log): Promise<void> {
  log.info({}, "hub.draining");
  for (const { what, close } of closers.toReversed()) {
    try {
      await close();
    } catch (thrown) {
      log.error({ what, error: asWaybillError(thrown) }, "close.failed");
    }
  }
  log.info({}, "hub.stopped");
}

type Watched = {
  readonly settings: HubSettings;
  readonly ledger: Ledger;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly process: WorkerId;
  readonly engine: Engine;
};

function watchAlerts({ settings, ledger, engine, ...rest }: Watched): AlertWatch | null {
  const { alerts } = settings;
  if (!alerts) return null;
  const { rules } = alerts;
  return new AlertWatch({
    ...rest,
    ledger,
    settings: alerts,
    own: [
      breakerLook(rules["breaker-open"], () => engine.processor.breaker.state, rest.runtime),
      diskLook(rules["disk-low"], hostname(), () => freeDisk(settings.ledgerUrl)),
    ],
    shared: {
      "route-paused": pauseLook(rules["route-paused"], ledger.pauses, rest.runtime),
      "snapshot-held": snapshotLook(rules["snapshot-held"], ledger.upkeep),
    },
  });
}

/** A batch that takes longer than `drainMs` is left behind: its leases run out, and the next hub finds what it did at the centre. */
async function drained(engine: Engine, halt: AbortController, drainMs: number, runtime: Runtime): Promise<void> {
  halt.abort();
  const enough = new AbortController();
  await Promise.race([engine.ended(), runtime.timers.sleep(drainMs, enough.signal)]);
  enough.abort();
}

async function withOperatorToken(settings: HubSettings, runtime: Runtime): Promise<HubSettings> {
  const token = await ensureOperatorToken(settings.ledgerUrl, runtime.random);
  if (token === null) return settings;
  return { ...settings, tokens: [...settings.tokens, { name: "local", role: "admin", hash: tokenHash(token) }] };
}
