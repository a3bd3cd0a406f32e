import { describeWith } from "../../../test/kit/needs.ts";
import { aloneContract } from "../contract/alone.contract.ts";
import { captureContract } from "../contract/capture.contract.ts";
import { describeContract } from "../contract/describe.contract.ts";
import { loadContract } from "../contract/load.contract.ts";
import { readContract } from "../contract/read.contract.ts";
import { stationOn } from "./station.test-kit.ts";

describeWith("postgres", "the database contract on PostgreSQL", (server) => {
  const open = stationOn(server);
  describeContract("postgres", open);
  readContract("postgres", open);
  loadContract("postgres", open);
  captureContract("postgres", open);
  aloneContract("postgres", open);
});
