import { asWaybillError } from "../../base/errors.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Log } from "../../observe/log.ts";
import { xmlValue } from "../../wire/soap/payload.ts";
import type { LegacyMapping } from "../../wire/soap/mapping.ts";
import { readXml, xmlText } from "../../wire/soap/xml.ts";
import type { WireRequest, WireResponse } from "../api/http.ts";

type Answer = Pick<WireResponse, "status" | "body"> & { readonly headers: Readonly<Record<string, string>> };

/**
 * Gives each request to the old server too, while a move is being watched. The hub always stores for itself; `answer` says
 * whose words the terminal hears. The old server's failure never becomes the terminal's, unless it is the one that answers.
 */
export class Tee {
  readonly #runtime: Runtime;
  readonly #log: Log;

  constructor(runtime: Runtime, log: Log) {
    this.#runtime = runtime;
    this.#log = log;
  }

  async around(
    { name, tee }: LegacyMapping,
    request: WireRequest,
    ours: () => Promise<WireResponse>,
  ): Promise<WireResponse> {
    if (!tee) return await ours();
    const old = this.#forward(tee.url, tee.timeoutMs, request);
    const [hub] = await Promise.allSettled([ours()]);
    const compared = old.then(
      (answer) => {
        const status = hub.status === "fulfilled" ? hub.value.status : 0;
        const same =
          hub.status === "fulfilled" && status === answer.status && wordsOf(hub.value.body) === wordsOf(answer.body);
        this.#log.info({ mapping: name, hubStatus: status, oldStatus: answer.status, same }, "soap.tee");
        return answer;
      },
      (thrown: unknown) => {
        this.#log.warn({ mapping: name, error: asWaybillError(thrown) }, "soap.tee");
        return null;
      },
    );
    if (hub.status === "rejected") throw hub.reason;
    if (tee.answer === "hub") return hub.value;
    return (await compared) ?? hub.value;
  }

  /** Without the terminal's key: it is ours, and the old server has no business with it. */
  async #forward(url: string, timeoutMs: number, { headers, body }: WireRequest): Promise<Answer> {
    const passed: Record<string, string> = {};
    for (const header of ["content-type", "soapaction", "content-encoding"] as const) {
      const value = headers[header];
      if (value !== undefined) passed[header] = value;
    }
    const answer = await this.#runtime.network.request({ method: "POST", url, headers: passed, body, timeoutMs });
    const type = answer.headers["content-type"];
    return { status: answer.status, headers: type === undefined ? {} : { "content-type": type }, body: answer.body };
  }
}

/** What a reply says, whatever its prefixes and white space; its own bytes when it is no XML. */
function wordsOf(body: Uint8Array): string {
  try {
    return JSON.stringify(xmlValue(readXml(xmlText(body, null))));
  } catch {
    return Buffer.from(body).toString("latin1"); // compared as it is: an old server may answer with anything
  }
}
