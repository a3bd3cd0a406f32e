import { z } from "zod";
import { WELL, type HealthReport } from "../../observe/health.ts";
import type { Gate } from "./gate.ts";
import { json } from "./http.ts";
import type { HubApiParts } from "./parts.ts";
import { route, type Route } from "./route.ts";
import { Standing } from "./standing.ts";

const alive = z.object({ status: z.literal("ok") });

/** What load balancers, schedulers and Prometheus ask. */
export function serviceRoutes(parts: HubApiParts, gate: Gate, openapi: () => unknown): readonly Route[] {
  const health = parts.health ?? ((): HealthReport => ({ ready: true, parts: { hub: WELL } }));
  const standing = new Standing(parts);
  return [
    route(
      "anyone",
      {
        method: "GET",
        path: "/healthz",
        summary: "The process answers",
        answer: { status: 200, schema: alive },
        faults: [],
      },
      async () => json(200, { status: "ok" }),
    ),
    route(
      "anyone",
      {
        method: "GET",
        path: "/readyz",
        summary: "Requests may be sent here; 503 with the reasons when not",
        answer: { status: 200 },
        faults: [],
      },
      async () => {
        if (gate.draining) return json(503, { ready: false, parts: { hub: { state: "down", why: "shutting down" } } });
        const report = await health();
        return json(report.ready ? 200 : 503, report);
      },
    ),
    route(
      "anyone",
      {
        method: "GET",
        path: "/metrics",
        summary: "Figures in the Prometheus text format",
        answer: { status: 200 },
        faults: [],
      },
      async () => {
        await standing.refresh();
        return {
          status: 200,
          headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
          body: Buffer.from(parts.metrics.text()),
        };
      },
    ),
    route(
      "anyone",
      { method: "GET", path: "/openapi.json", summary: "This document", answer: { status: 200 }, faults: [] },
      async () => json(200, openapi()),
    ),
  ];
}
