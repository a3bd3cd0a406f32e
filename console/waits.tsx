import type { ReactNode } from "react";
import type { WaitReason } from "../src/hub/api/waits.ts";
import { ago, duration, when, who } from "./format.ts";
import { useLive } from "./live.tsx";
import { to } from "./place.ts";
import { titleOf } from "./prose.ts";

/** All that a message waits for now, what must end first before the rest. Nothing when a person alone can help: that is said already. */
export function Waits({ waits }: { readonly waits: readonly WaitReason[] }): ReactNode {
  const told = waits.filter(({ kind }) => kind !== "person");
  if (told.length === 0) return null;
  return (
    <ul className="waits" aria-label="What it waits for">
      {told.map((wait, index) => (
        <li key={index}>
          <WaitLine wait={wait} />
        </li>
      ))}
    </ul>
  );
}

function WaitLine({ wait }: { readonly wait: WaitReason }): ReactNode {
  const { picture } = useLive();
  const now = picture?.at ?? Date.now();
  switch (wait.kind) {
    case "breaker":
      return `The central database has not answered since ${when(wait.since)}. It goes on by itself when it does.`;
    case "paused": {
      const { scope, by, since, reason, fault } = wait;
      const what =
        scope.kind === "everything" ? "Loading" : scope.kind === "route" ? `Table ${scope.name}` : scope.name;
      const end = fault === null ? "A person must resume it." : "It goes on by itself when that is mended.";
      return `${what} was paused by ${who(by)} ${ago(since, now)}: ${reason}. ${end}`;
    }
    case "behind":
      return (
        <>
          <a href={to("message", ...wait.lane.split("/"), String(wait.seq))}>See № {wait.seq}, which it waits for</a>
          {wait.on !== "" && <span className="faint"> because of {wait.on}</span>}
        </>
      );
    case "retrying":
      return `It is tried again ${wait.until <= now ? "now" : `in ${duration(wait.until - now)}`}, after ${wait.attempts} ${wait.attempts === 1 ? "try" : "tries"}: ${titleOf(wait.fault).toLowerCase()}.`;
    case "person":
      return null;
  }
}
