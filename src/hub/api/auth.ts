import { WaybillError } from "../../base/errors.ts";
import { actor, type Actor } from "../../base/ids.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Access, Role } from "../../ledger/access.ts";
import type { Ledger, Terminal, Terminals } from "../../ledger/port.ts";
import type { HubSettings } from "../settings.ts";
import { sameHash, secretHash } from "./secret.ts";

/** A key is asked of the ledger at most once in this time, so a revoked key lives on for no longer than this. */
const REMEMBER_MS = 5_000;
/** Keys remembered; the oldest is forgotten first. Unknown keys are not remembered: they would push out known ones. */
const REMEMBER_KEYS = 20_000;

type Remembered = { readonly terminal: Terminal; readonly until: number };

/** Who calls. The only place that reads `authorization`. */
export class Gatekeeper {
  readonly #terminals: Terminals;
  readonly #access: Access;
  readonly #tokens: HubSettings["tokens"];
  readonly #runtime: Runtime;
  readonly #known = new Map<string, Remembered>();

  constructor(ledger: Pick<Ledger, "terminals" | "access">, tokens: HubSettings["tokens"], runtime: Runtime) {
    this.#terminals = ledger.terminals;
    this.#access = ledger.access;
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

  /** @throws UNAUTHENTICATED; FORBIDDEN for a token of a person's role. Gives the name for the audit trail. */
  publisher(authorization: string | undefined): Actor {
    const mine = this.#configured(secretHash(bearer(authorization)));
    if (mine.length === 0) throw new WaybillError("UNAUTHENTICATED", "this API token is not known here");
    const token = mine.find(({ role }) => role === "publisher");
    if (!token) throw new WaybillError("FORBIDDEN", "this API token does not have the role publisher");
    return actor(`publisher:${token.name}`);
  }

  /** A person's or program's token, of the config or of the ledger. @throws UNAUTHENTICATED; FORBIDDEN for a publisher's */
  async person(authorization: string | undefined): Promise<{ readonly actor: Actor; readonly role: Role }> {
    const hash = secretHash(bearer(authorization));
    const mine = this.#configured(hash);
    for (const { name, role } of mine) if (role !== "publisher") return { actor: actor(`token:${name}`), role };
    if (mine.length > 0) throw new WaybillError("FORBIDDEN", "a publisher's token opens nothing of the operator API");
    const token = await this.#access.tokenBy(hash);
    if (!token) throw new WaybillError("UNAUTHENTICATED", "this API token is not known here, or it has expired");
    return { actor: actor(`token:${token.name}`), role: token.role };
  }

  /** Every token is compared, so that the time taken does not tell which one came close. */
  #configured(hash: Uint8Array): HubSettings["tokens"] {
    return this.#tokens.filter((token) => sameHash(Buffer.from(token.hash, "hex"), hash));
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
