import { asWaybillError } from "../../base/errors.ts";
import { epoch } from "../../base/ids.ts";
import type { Acknowledgement } from "../../ledger/port.ts";
import { chainHex } from "../../message/chain.ts";
import { acknowledgement, epochAnswer, epochCall, type AcknowledgementAnswer } from "../../wire/calls.ts";
import { readSubmission, type ReadSubmission } from "../../wire/submission.ts";
import { contextOfLine } from "../../observe/trace-context.ts";
import { untraced } from "../../observe/tracing.ts";
import { tellReceived, type Received } from "../spans.ts";
import type { RequestSpan } from "./request-span.ts";
import type { Gate } from "./gate.ts";
import { json } from "./http.ts";
import type { Intake } from "./intake.ts";
import type { HubApiParts } from "./parts.ts";
import { bytesRoute, jsonRoute, type Route } from "./route.ts";

export function ingestRoutes(parts: HubApiParts, intake: Intake, gate: Gate): readonly Route[] {
  const { ledger, settings, runtime, metrics, log, tracing = untraced } = parts;
  return [
    bytesRoute(
      "terminal",
      {
        method: "POST",
        path: "/v1/messages",
        summary: "Store messages: NDJSON, a header line and then message lines",
        answer: { status: 200, schema: acknowledgement },
        faults: [
          "LINE_INVALID",
          "TOO_LARGE",
          "SEQUENCE_GAP",
          "CHAIN_BROKEN",
          "EPOCH_CLOSED",
          "OVERLOADED",
          "UNAVAILABLE",
          "MEDIA_TYPE",
        ],
      },
      async ({ caller: { terminal }, body, span }) => {
        gate.mayStore();
        const submission = readSubmission(body, {
          terminal: terminal.id,
          maxLines: settings.limits.lines,
          search: settings.search,
          receivedAt: runtime.clock.now(),
        });
        try {
          const stored = await intake.submit(submission);
          metrics.add("waybill_messages_received_total", Math.max(0, submission.lines.length - stored.duplicates), {});
          metrics.add("waybill_messages_duplicate_total", stored.duplicates, {});
          if (tracing.on)
            tellReceived(tracing, span, receivedIn(submission, stored.duplicates, span), runtime.clock.now());
          return json(200, answerOf(stored));
        } catch (thrown) {
          const error = asWaybillError(thrown);
          if (error.code === "CHAIN_BROKEN")
            log.warn({ terminal: terminal.id, epoch: submission.epoch, ...error.facts }, "lane.alarm");
          throw error;
        }
      },
    ),
    jsonRoute(
      "terminal",
      {
        method: "POST",
        path: "/v1/epochs",
        summary: "Begin a new numbering, by compare-and-set on the one until now; the same call again answers the same",
        answer: { status: 200, schema: epochAnswer },
        faults: ["EPOCH_CLOSED", "EPOCH_WAITS"],
      },
      epochCall,
      async ({ caller: { terminal }, body }) => {
        const previous = body.previous === null ? null : epoch(body.previous);
        const named = body.epoch === undefined ? undefined : epoch(body.epoch);
        const opened = await ledger.lanes.openEpoch(terminal.id, previous, body.install, body.reason, named);
        if (previous !== null)
          log.warn({ terminal: terminal.id, previous, ...opened, reason: body.reason }, "lane.restored");
        return json(200, opened);
      },
    ),
  ];
}

/** The messages that are new and complete with this submission. An agent that traces says so by a `traceparent`, and tells of their beginnings itself. */
function receivedIn({ terminal, body, lines }: ReadSubmission, duplicates: number, span: RequestSpan): Received[] {
  const first = span.parent ? "told by its sender" : "ours";
  return lines.flatMap(({ seq, more, at, end }, index): Received[] => {
    const context = index < duplicates || more ? null : contextOfLine(body.subarray(lines[index - 1]?.end ?? 0, end));
    return context ? [{ context, terminal, seq, at, first }] : [];
  });
}

export function answerOf(stored: Acknowledgement): AcknowledgementAnswer {
  const { receivedThrough, duplicates, loadedThrough, open, partial } = stored;
  return {
    receivedThrough,
    chain: chainHex(stored.chain),
    duplicates,
    loadedThrough,
    open: { retrying: open.retrying, held: open.held, dead: open.dead },
    ...(partial === null ? {} : { partial: { seq: partial.seq, part: partial.part } }),
  };
}
