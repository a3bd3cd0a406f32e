import { describeWith } from "../../../test/kit/needs.ts";
import { accessContract } from "../contract/access.contract.ts";
import { deskContract } from "../contract/desk.contract.ts";
import { exceptionsContract } from "../contract/exceptions.contract.ts";
import { historyContract } from "../contract/history.contract.ts";
import { lanesContract } from "../contract/lanes.contract.ts";
import { requestsContract } from "../contract/requests.contract.ts";
import { sequencesContract } from "../contract/sequences.contract.ts";
import { terminalsContract } from "../contract/terminals.contract.ts";
import { trailContract } from "../contract/trail.contract.ts";
import { updatesContract } from "../contract/updates.contract.ts";
import { workContract } from "../contract/work.contract.ts";
import { openSubject } from "./schema.test-kit.ts";

describeWith("postgres", "a ledger in PostgreSQL", (server) => {
  const open = () => openSubject(server);
  lanesContract("PostgreSQL", open);
  workContract("PostgreSQL", open);
  exceptionsContract("PostgreSQL", open);
  deskContract("PostgreSQL", open);
  updatesContract("PostgreSQL", open);
  terminalsContract("PostgreSQL", open);
  trailContract("PostgreSQL", open);
  accessContract("PostgreSQL", open);
  historyContract("PostgreSQL", open);
  requestsContract("PostgreSQL", open);
  sequencesContract("PostgreSQL", open);
});
