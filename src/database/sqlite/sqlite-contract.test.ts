import { aloneContract } from "../contract/alone.contract.ts";
import { describeContract } from "../contract/describe.contract.ts";
import { loadContract } from "../contract/load.contract.ts";
import { readContract } from "../contract/read.contract.ts";
import { stationIn } from "./station.test-kit.ts";

// An application's file is in one of two journal modes, and both are common.
for (const journal of ["wal", "delete"] as const) {
  const open = stationIn(journal);
  describeContract(`sqlite, ${journal}`, open);
  loadContract(`sqlite, ${journal}`, open);
  readContract(`sqlite, ${journal}`, open);
  aloneContract(`sqlite, ${journal}`, open);
}
