import { isoOf, type Clock } from "../base/clock.ts";
import { WaybillError } from "../base/errors.ts";
import type { Epoch, Seq, UpdateId } from "../base/ids.ts";
import type { HttpResponse, Network } from "../base/network.ts";
import {
  acknowledgement,
  enrolAnswer,
  epochAnswer,
  statusAnswer,
  type AcknowledgementAnswer,
  type EpochCall,
  type StatusAnswer,
} from "../wire/calls.ts";
import { traceparentOf, type TraceContext } from "../observe/trace-context.ts";
import { decode, encode } from "../wire/encoding.ts";
import { HEADERS, JSON_TYPE, NDJSON_TYPE } from "../wire/headers.ts";
import { manifest, type Manifest } from "../wire/manifest.ts";
import { errorOf } from "../wire/problem.ts";
import { askedAnswer, heardAnswer, type AnswerCall } from "../wire/questions.ts";
import { submissionBody, type SubmissionHeader } from "../wire/submission.ts";
import { readUpdates, type Attested, type IncomingUpdate } from "../wire/updates.ts";
import type { z } from "zod";

/** An answer larger than this after decompression is refused rather than held in memory. */
const ANSWER_BYTES = 64 * 1024 * 1024;
/** Below this a request goes as it is. */
const COMPRESS_FROM = 1_024;

export type HubClientOptions = {
  readonly hub: string;
  readonly network: Network;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly version: string;
  /** Ends every call at once, as HUB_UNREACHABLE: a stop must not wait for a hub that hangs. */
  readonly signal: AbortSignal;
};
export type Enrolment = {
  readonly token: string;
  readonly terminal: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly key: string;
};
/** A row that was refused here; `detail` is for people. */
export type ReportedRefusal = { readonly id: string; readonly code: string; readonly detail: string };

/** How far the hub has acknowledged this terminal's lane. */
export type Standing = { readonly epoch: Epoch; readonly received: Seq };

/** `again`: to begin behind updates that the hub does not keep any more; it then compares both sides. */
type Asked = {
  readonly strand?: string | null;
  readonly told?: string | null;
  readonly stands?: Standing | null;
  readonly again?: boolean;
};

type Call = {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly type?: string;
  readonly timeoutMs?: number;
};

/**
 * The hub as a terminal sees it: one method a call of the wire. Every method throws what the hub's problem document
 * says, with its facts (`expected`, `epoch`, `retryAfterMs` …), or HUB_UNREACHABLE when it is unknown whether the hub acted:
 * every call may be repeated unchanged. None repeats by itself.
 */
export class HubClient {
  readonly #options: HubClientOptions;
  #key: string | null = null;

  constructor(options: HubClientOptions) {
    this.#options = options;
  }

  /** The key that later calls carry. */
  authenticate(key: string): void {
    this.#key = key;
  }

  /** @throws TOKEN_INVALID; repeating the same token, terminal and key answers the same. */
  async enrol(enrolment: Enrolment): Promise<void> {
    await this.#json(enrolAnswer, { method: "POST", path: "/v1/enroll", ...jsonBody(enrolment) });
  }

  /** Null: it is still the one of this `etag`. */
  async manifest(etag: string | null): Promise<{ readonly manifest: Manifest; readonly etag: string | null } | null> {
    const answer = await this.#call({
      method: "GET",
      path: "/v1/manifest",
      headers: etag === null ? {} : { "if-none-match": etag },
    });
    if (answer.status === 304) return null;
    return { manifest: this.#read(manifest, answer, "/v1/manifest"), etag: answer.headers["etag"] ?? null };
  }

  /** @throws EPOCH_CLOSED with `epoch`; EPOCH_WAITS. The same call again is answered the same. */
  async openEpoch(call: EpochCall): Promise<string> {
    return (await this.#json(epochAnswer, { method: "POST", path: "/v1/epochs", ...jsonBody(call) })).epoch;
  }

  /** @throws SEQUENCE_GAP with `expected`; CHAIN_BROKEN; EPOCH_CLOSED; TOO_LARGE; OVERLOADED and UNAVAILABLE with `retryAfterMs`. `trace`: this request's own span, if it will be told. */
  submit(
    header: SubmissionHeader,
    lines: readonly Uint8Array[],
    trace: TraceContext | null = null,
  ): Promise<AcknowledgementAnswer> {
    const body = submissionBody(header, lines);
    const headers = trace === null ? {} : { traceparent: traceparentOf(trace) };
    return this.#json(acknowledgement, { method: "POST", path: "/v1/messages", headers, body, type: NDJSON_TYPE });
  }

  status(): Promise<StatusAnswer> {
    return this.#json(statusAnswer, { method: "GET", path: "/v1/status" });
  }

  /**
   * Waits up to `waitSeconds` at the hub for the first update, for a question other than `told`, or to hear that the hub has
   * less than `stands` says. How much comes at once is the hub's to say: about a mebibyte. @throws CURSOR_GONE
   */
  async updates(
    after: UpdateId,
    waitSeconds: number,
    { strand = null, told = null, stands = null, again = false }: Asked = {},
  ): Promise<Attested<IncomingUpdate>> {
    const query = new URLSearchParams({ after: String(after), wait: String(waitSeconds) });
    if (strand !== null) query.set("strand", strand);
    if (told !== null) query.set("told", told);
    if (again) query.set("again", "true");
    if (stands !== null) {
      query.set("epoch", stands.epoch);
      query.set("received", String(stands.received));
    }
    const answer = await this.#call({
      method: "GET",
      path: `/v1/updates?${query.toString()}`,
      timeoutMs: this.#options.timeoutMs + waitSeconds * 1_000,
    });
    return readUpdates(bodyOf(answer));
  }

  async acknowledgeUpdates(appliedThrough: UpdateId, refused: readonly ReportedRefusal[]): Promise<void> {
    const call = { appliedThrough: String(appliedThrough), refused };
    await this.#call({ method: "POST", path: "/v1/updates/ack", ...jsonBody(call) });
  }

  /** What the hub wants to know. */
  question(): Promise<z.infer<typeof askedAnswer>> {
    return this.#json(askedAnswer, { method: "GET", path: "/v1/question" });
  }

  async answer(id: string, call: AnswerCall): Promise<void> {
    await this.#json(heardAnswer, { method: "POST", path: `/v1/questions/${id}`, ...jsonBody(call) });
  }

  async #json<T extends z.ZodType>(schema: T, call: Call): Promise<z.infer<T>> {
    return this.#read(schema, await this.#call(call), call.path);
  }

  #read<T extends z.ZodType>(schema: T, answer: HttpResponse, path: string): z.infer<T> {
    const read = schema.safeParse(jsonOf(bodyOf(answer)));
    if (read.success) return read.data;
    // A captive portal answers 200 with a page of its own; only repeating later can help.
    throw new WaybillError("HUB_UNREACHABLE", `what answered ${path} does not speak the language of a hub`, {
      cause: read.error,
    });
  }

  async #call(call: Call): Promise<HttpResponse> {
    const { hub, network, clock, timeoutMs, version, signal } = this.#options;
    const compressed = call.body !== undefined && call.body.byteLength >= COMPRESS_FROM;
    const body = compressed && call.body ? encode(call.body, "zstd") : call.body;
    const answer = await network.request({
      method: call.method,
      url: new URL(call.path, hub).href,
      headers: {
        accept: `${JSON_TYPE}, ${NDJSON_TYPE}`,
        "accept-encoding": "zstd, gzip",
        [HEADERS.time]: isoOf(clock.now()),
        [HEADERS.version]: version,
        ...(this.#key === null ? {} : { authorization: `Bearer ${this.#key}` }),
        ...(body === undefined ? {} : { "content-type": call.type ?? JSON_TYPE }),
        ...(compressed ? { "content-encoding": "zstd" } : {}),
        ...call.headers,
      },
      ...(body === undefined ? {} : { body }),
      timeoutMs: call.timeoutMs ?? timeoutMs,
      signal,
    });
    if ((answer.status >= 200 && answer.status < 300) || answer.status === 304) return answer;
    throw errorOf(answer.status, answer.headers, bodyOf(answer));
  }
}

const bodyOf = (answer: HttpResponse): Uint8Array =>
  decode(answer.body, answer.headers["content-encoding"], ANSWER_BYTES);

const jsonBody = (value: unknown): { body: Uint8Array; type: string } => ({
  body: Buffer.from(JSON.stringify(value)),
  type: JSON_TYPE,
});

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return undefined; // the schema then refuses it, and its caller says what was asked for
  }
}
