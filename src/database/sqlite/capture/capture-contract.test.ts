import { captureContract } from "../../contract/capture.contract.ts";
import { stationIn } from "../station.test-kit.ts";

captureContract("SQLite with a write-ahead log", stationIn("wal"));
captureContract("SQLite with a rollback journal", stationIn("delete"));
