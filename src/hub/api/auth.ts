import { WaybillError } from "../../base/errors.ts";
import { actor, type Actor } from "../../base/ids.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Terminal, Terminals } from "../../ledger/port.ts";
import type { HubSettings } from "../settings.ts";
import { sameHash, secretHash } from "./secret.ts";

/** A key is asked of the ledger at most once in this time, so a revoked key lives on for no longer than this. */
const REMEMBER_MS = 5_000;
/** Keys remembered; the oldest is forgotten first. Unknown keys are not remembered: they would push out known ones. */
const REMEMBER_KEYS = 20_000;

export type Role = HubSettings["tokens"][number]["role"];
type Remembered = { readonly terminal: Terminal; readonly until: number };

/** Who calls. The only place that reads `authorization`. */
export class Gatekeeper {
  readonly #terminals: Terminals;
  readonly #tokens: HubSettings["tokens"];
  readonly #runtime: Runtime;
  readonly #known = new Map<string, Remembered>();

  constructor(terminals: Terminals, tokens: HubSettings["tokens"], runtime: Runtime) {
    this.#terminals = terminals;
    this.#tokens = tokens;
    this.#runtime = runtime;
  }

  /** @throws UNAUTHENTICATED for no or an unknown key; FORBIDDEN for a revoked one */
  async terminal(authorization: string | undefined): Promise<Terminal> {
    const hash = secretHash(bearer(authorization));
    const name = hash.toString("base64");
    const now = this.#runtime.clock.elapsed();
    let terminal = this.#recall(name, now);
    if (!terminal) {
      terminal = await this.#terminals.byKey(hash);
      if (!terminal) throw new WaybillError("UNAUTHENTICATED", "this key is not known here");
      this.#remember(name, { terminal, until: now + REMEMBER_MS });
    }
    if (terminal.state === "revoked")
      throw new WaybillError("FORBIDDEN", `the key of terminal ${terminal.id} was revoked`);
    return terminal;
  }

  /** @throws UNAUTHENTICATED; FORBIDDEN for a token of another role. Gives the name for the audit trail. */
  token(authorization: string | undefined, role: Role): Actor {
    const hash = secretHash(bearer(authorization));
    // Every token is compared, so that the time taken does not tell which one came close.
    const mine = this.#tokens.filter((token) => sameHash(Buffer.from(token.hash, "hex"), hash));
    if (mine.length === 0) throw new WaybillError("UNAUTHENTICATED", "this API token is not known here");
    const token = mine.find((each) => each.role === role);
    if (!token) throw new WaybillError("FORBIDDEN", `this API token does not have the role ${role}`);
    return actor(`${role}:${token.name}`);
  }

  /** Forgets what is remembered of a terminal: in this process a revocation counts at once. */
  forget(terminal: string): void {
    for (const [name, known] of this.#known) if (known.terminal.id === terminal) this.#known.delete(name);
  }

  #recall(name: string, now: number): Terminal | null {
    const known = this.#known.get(name);
    if (!known) return null;
    if (known.until > now) return known.terminal;
    this.#known.delete(name);
    return null;
  }

  #remember(name: string, known: Remembered): void {
    if (this.#known.size >= REMEMBER_KEYS) {
      const oldest = this.#known.keys().next();
      if (!oldest.done) this.#known.delete(oldest.value);
    }
    this.#known.set(name, known);
  }
}

function bearer(authorization: string | undefined): string {
  const secret = /^bearer +([^\s]{1,512})$/i.exec(authorization ?? "")?.[1];
  if (secret === undefined) throw new WaybillError("UNAUTHENTICATED", "the request has no `Authorization: Bearer …`");
  return secret;
}
