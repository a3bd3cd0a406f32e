import type { Gatekeeper } from "./auth.ts";
import { alertRoutes } from "./operator/alerts.ts";
import { bulkRoutes } from "./operator/bulk.ts";
import { enrolRoutes } from "./operator/enrol.ts";
import { exceptionRoutes } from "./operator/exceptions.ts";
import { retentionRoutes } from "./operator/retention.ts";
import { reconcileRoutes } from "./operator/reconciles.ts";
import { messageRoutes } from "./operator/messages.ts";
import { restoreRoutes } from "./operator/restores.ts";
import { peopleRoutes } from "./operator/people.ts";
import { settingsRoutes } from "./operator/settings.ts";
import { pauseRoutes } from "./operator/pauses.ts";
import { terminalRoutes } from "./operator/terminals.ts";
import { trailRoutes } from "./operator/trail.ts";
import { updateRoutes } from "./operator/updates.ts";
import type { HubApiParts } from "./parts.ts";
import type { Route } from "./route.ts";

/**
 * What operators see and do, a file a topic; the command line and the console use nothing else. Answers are the ledger's
 * values as they are: times are milliseconds since 1970 by the hub's clock.
 */
export function operatorRoutes(parts: HubApiParts, gatekeeper: Gatekeeper): readonly Route[] {
  return [
    ...terminalRoutes(parts),
    ...exceptionRoutes(parts),
    ...bulkRoutes(parts),
    ...trailRoutes(parts),
    ...messageRoutes(parts),
    ...updateRoutes(parts),
    ...restoreRoutes(parts),
    ...alertRoutes(parts),
    ...retentionRoutes(parts),
    ...pauseRoutes(parts),
    ...reconcileRoutes(parts),
    ...enrolRoutes(parts, gatekeeper),
    ...peopleRoutes(parts),
    ...settingsRoutes(parts),
  ];
}
