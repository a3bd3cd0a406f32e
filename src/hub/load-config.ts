import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import { configInvalid, fillEnvironment, merged, readConfigFile } from "../base/config-file.ts";
import { field, type Row } from "../message/change.ts";
import type { Conflict, RetryPolicy, TableRule } from "../load/rules.ts";
import { hubConfig, type CheckedHubConfig, type TableConfig } from "./config.ts";
import type { AudienceOf, DownTable, HubSettings } from "./settings.ts";
import { alertSettings } from "./alerts/config.ts";
import { soapSettings } from "./soap/settings.ts";

/** Plain data, so that each thread can read the config itself: transforms are functions and cannot be sent to one. */
export type ConfigSource = { readonly path: string; readonly overrides?: Readonly<Record<string, unknown>> };

/**
 * Reads `.ts`, `.js`, `.json` or `.yaml`, fills `${NAME}` from the environment, applies overrides, checks everything at once.
 * @throws CONFIG_NOT_FOUND; CONFIG_INVALID with every fault, each with its path, never with its value (it may be a secret).
 */
export async function loadHubConfig(source: ConfigSource): Promise<CheckedHubConfig> {
  const given = merged(await readConfigFile(source.path), source.overrides ?? {});
  return checkHubConfig(given, dirname(resolve(source.path)), process.env);
}

export const loadHubSettings = async (source: ConfigSource): Promise<HubSettings> =>
  hubSettings(await loadHubConfig(source));

/** The same for a config that is already at hand. `folder`: what relative database paths start from. */
export function checkHubConfig(
  given: unknown,
  folder: string,
  environment: Readonly<Record<string, string | undefined>>,
): CheckedHubConfig {
  const faults: string[] = [];
  const filled = fillEnvironment(given, environment, faults);
  const read = hubConfig.safeParse(filled);
  if (!read.success) {
    for (const issue of read.error.issues) faults.push(`${issue.path.join(".") || "(the whole)"}: ${issue.message}`);
  } else {
    faults.push(...Object.entries(read.data.tables).flatMap(([name, table]) => tableFaults(name, table)));
    faults.push(...retentionFaults(read.data.retention));
  }
  if (!read.success || faults.length > 0) throw configInvalid(faults);
  const anchored = (url: string): string =>
    url.startsWith("sqlite:") && !url.startsWith("sqlite::")
      ? `sqlite:${resolve(folder, url.slice("sqlite:".length))}`
      : url;
  const mappings = read.data.soap.mappings.map((mapping) =>
    mapping.wsdl === undefined ? mapping : { ...mapping, wsdl: resolve(folder, mapping.wsdl) },
  );
  const soap = { ...read.data.soap, mappings };
  return { ...read.data, ledger: anchored(read.data.ledger), central: anchored(read.data.central), soap };
}

function retentionFaults({ messagesDays, eventsDays, updatesDays, awayDays }: CheckedHubConfig["retention"]): string[] {
  const faults: string[] = [];
  if (eventsDays < messagesDays)
    faults.push(
      `retention.eventsDays: ${eventsDays} is less than messagesDays (${messagesDays}): messages would be kept that nothing is known of`,
    );
  if (awayDays < updatesDays)
    faults.push(
      `retention.awayDays: ${awayDays} is less than updatesDays (${updatesDays}): a terminal could miss updates that are still kept`,
    );
  return faults;
}

function tableFaults(name: string, table: TableConfig): string[] {
  const at = `tables.${name}`;
  const faults: string[] = [];
  if (table.direction !== "up" && table.audience === undefined) {
    faults.push(`${at}.audience: a table that goes down needs one, such as "all" or "store:{store_id}"`);
  }
  if (table.direction === "up" && table.audience !== undefined)
    faults.push(`${at}.audience: has no meaning for direction "up"`);
  if (table.direction === "down" && table.owner) faults.push(`${at}.owner: has no meaning for direction "down"`);
  const targets = Object.values(table.columns).filter((column) => column !== false);
  for (const twice of targets.filter((column, i) => targets.indexOf(column) !== i)) {
    faults.push(`${at}.columns: two columns are mapped to ${JSON.stringify(twice)}`);
  }
  return faults;
}

// ── config → settings ──────────────────────────────────────────────────────────────────────────────────────────────

export function hubSettings(config: CheckedHubConfig): HubSettings {
  const tables = Object.entries(config.tables);
  const goesUp = tables.filter(([, table]) => table.direction !== "down");
  const goesDown = tables.filter(([, table]) => table.direction !== "up");
  const kib = 1024;
  return {
    ledgerUrl: config.ledger,
    centralUrl: config.central,
    host: config.host,
    port: config.port,
    rules: {
      tables: new Map(goesUp.map(([name, table]) => [name, ruleOf(name, table, config.retry)])),
      retry: retryOf(config.retry),
      maxOpen: config.maxOpen,
      personal: personalOf(tables),
    },
    up: goesUp.map(([name]) => name),
    down: goesDown.map(([name, table]) => downOf(name, table)),
    search: new Map(tables.filter(([, table]) => table.search.length > 0).map(([name, table]) => [name, table.search])),
    personal: personalOf(tables),
    limits: {
      bodyBytes: config.limits.bodyKib * kib,
      partBytes: config.limits.partKib * kib,
      valueBytes: config.limits.valueKib * kib,
      lines: config.limits.lines,
      backlogBytes: config.limits.backlogMib * kib * kib,
      freeDiskBytes: config.limits.freeDiskMib * kib * kib,
      ledgerBytes: config.limits.ledgerMib === undefined ? null : config.limits.ledgerMib * kib * kib,
    },
    retention: retentionOf(config.retention),
    processor: {
      workers: config.processor.workers,
      lanesPerBatch: config.processor.lanesPerBatch,
      messagesPerLane: config.processor.messagesPerLane,
      bytesPerLane: config.processor.kibPerLane * kib,
      leaseMs: config.processor.leaseMs,
      pollMs: config.processor.pollMs,
    },
    publisher: config.publisher,
    reconcile: {
      workers: config.reconcile.workers,
      everyHours: config.reconcile.everyHours ?? null,
      afterRestore: config.reconcile.afterRestore,
      patienceMs: config.reconcile.patienceMinutes * 60_000,
    },
    tokens: config.tokens.map(({ name, role, token }) => ({ name, role, hash: tokenHash(token) })),
    oidc: config.console.oidc ?? null,
    soap: config.soap.enabled ? soapSettings(config.soap, config.port) : null,
    alerts: alertSettings(config.alerts),
    tracing: config.tracing,
    drainMs: config.drainMs,
  };
}

const DAY_MS = 24 * 60 * 60 * 1_000;
const retentionOf = (given: CheckedHubConfig["retention"]): HubSettings["retention"] => ({
  everyMs: given.everyMinutes * 60_000,
  keep: {
    messagesMs: given.messagesDays * DAY_MS,
    eventsMs: given.eventsDays * DAY_MS,
    updatesMs: given.updatesDays * DAY_MS,
    awayMs: given.awayDays * DAY_MS,
    historyMs: given.historyDays * DAY_MS,
  },
});

export const tokenHash = (token: string): string => createHash("sha256").update(token, "utf8").digest("hex");

/** Under both names: a refused row is told in the centre's words, a payload is in the terminal's. */
function personalOf(tables: readonly (readonly [string, TableConfig])[]): Map<string, Set<string>> {
  const personal = new Map<string, Set<string>>();
  for (const [name, table] of tables) {
    if (table.personal.length === 0) continue;
    const columns = table.personal.flatMap((column) => {
      const central = table.columns[column];
      return typeof central === "string" ? [column, central] : [column];
    });
    for (const each of new Set([name, table.target ?? name]))
      personal.set(each, new Set([...(personal.get(each) ?? []), ...columns]));
  }
  return personal;
}

const renamed = (table: TableConfig): Map<string, string> =>
  new Map(
    Object.entries(table.columns).filter((pair): pair is [string, string] => pair[1] !== false && pair[0] !== pair[1]),
  );
const ignored = (table: TableConfig): Set<string> =>
  new Set(
    Object.entries(table.columns)
      .filter(([, to]) => to === false)
      .map(([from]) => from),
  );

type Retry = CheckedHubConfig["retry"];
const retryOf = ({ codes, ...policy }: Retry): RetryPolicy => ({ ...policy, codes: codes ?? null });

function ruleOf(name: string, table: TableConfig, retry: Retry): TableRule {
  return {
    source: name,
    target: table.target ?? name,
    rename: renamed(table),
    ignore: ignored(table),
    unknownColumns: table.unknownColumns,
    owner: table.owner
      ? {
          column: table.owner.column,
          is: table.owner.is === "terminal" ? "terminal" : { tag: table.owner.is.slice("tag:".length) },
        }
      : null,
    conflict: conflictOf(table.conflict),
    onExisting: table.onExisting,
    transform: table.transform ?? null,
    alsoDown: table.direction === "both",
    retry: table.retry ? retryOf({ ...retry, ...said(table.retry) }) : null,
  };
}

/** Without the members that are there and undefined. */
const said = <T extends object>(some: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(some).filter(([, value]) => value !== undefined)) as never;

function conflictOf(given: TableConfig["conflict"]): Conflict {
  if (typeof given === "string") return { policy: given };
  return "newest" in given ? { policy: "newest", column: given.newest } : { policy: "add", columns: given.add };
}

function downOf(name: string, table: TableConfig): DownTable {
  return {
    target: table.target ?? name,
    source: name,
    rename: new Map([...renamed(table)].map(([terminal, centre]) => [centre, terminal])),
    // What the terminals do not have is not sent to them: the names are the centre's here.
    ignore: ignored(table),
    audience: audienceOf(table.audience ?? "all"),
    onLeave: table.onLeave,
  };
}

const PLACE = /\{([^}]+)\}/g;

/** "store:{store_id}" reads the column; a row whose column is null has no audience. */
function audienceOf(given: string | AudienceOf): AudienceOf {
  if (typeof given === "function") return given;
  const columns = [...given.matchAll(PLACE)].map((match) => match[1] ?? "");
  if (columns.length === 0) return () => given;
  return (row: Row) => {
    const values = new Map(columns.map((column) => [column, field(row, column) ?? null]));
    if ([...values.values()].some((value) => value === null || typeof value === "object")) return [];
    return given.replace(PLACE, (_, column: string) => `${values.get(column) as string | number | boolean}`);
  };
}
