import { Stop } from "../base/stop.ts";
import type { Log } from "../observe/log.ts";

/**
 * For commands that run until they are told to end: SIGINT, SIGTERM and SIGHUP ask for an orderly end, a second SIGINT ends at
 * once (everything here survives that). Resolves when all is closed.
 */
export function untilStopped(log: Log): {
  readonly stop: Stop;
  readonly end: () => void;
  readonly ended: Promise<void>;
} {
  const stop = new Stop();
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = (): void => {
    void stop.end((what, thrown) => log.error({ what, error: thrown }, "close.failed")).then(resolve);
  };
  process.once("SIGTERM", end);
  process.once("SIGHUP", end);
  process.once("SIGINT", () => {
    end();
    process.once("SIGINT", () => process.exit(130));
  });
  return { stop, end, ended: promise };
}
