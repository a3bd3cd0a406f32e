import type { ReactNode } from "react";
import type { TracedMessage } from "./api.ts";
import { duration, when } from "./format.ts";
import { stationsOf } from "./stations.ts";

/** The way from till to centre at a glance: which stations it has passed, how long each leg took, where it is stuck. */
export const Journey = ({ message }: { readonly message: TracedMessage }): ReactNode => (
  <ol className="journey" aria-label="Its way">
    {stationsOf(message).map(({ name, at, tookMs, byTill, state, note }) => (
      <li key={name} className={state}>
        <span className="station">{name}</span>
        <span className="figure-note">
          {at === null ? note || "\u00a0" : <time>{when(at)}</time>}
          {at !== null && tookMs !== null && tookMs >= 0 && ` · after ${duration(tookMs)}`}
          {at !== null && byTill && " · its own clock"}
          {at !== null && note !== "" && ` · ${note}`}
        </span>
      </li>
    ))}
  </ol>
);
