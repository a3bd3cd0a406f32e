import type { ReactNode } from "react";
import type { DaySlot } from "../src/ledger/fleet.ts";
import { path } from "./api.ts";
import { Chart } from "./chart.tsx";
import { count, counted } from "./format.ts";
import { slotsOf } from "./flow.ts";
import { useAnswer, useBeat } from "./live.tsx";
import { Card, Failure } from "./ui.tsx";

/** What a terminal sent in the last day, and what of it was loaded, in slots of ten minutes. */
export function TerminalDay({ id }: { readonly id: string }): ReactNode {
  const { value, error, again } = useAnswer<{ slotMs: number; slots: readonly DaySlot[] }>(
    path("api", "terminals", id, "day"),
    useBeat(15),
  );
  if (error !== null) return <Failure error={error} again={again} />;
  if (value === null) return null;
  const { times, received, loaded } = slotsOf(value.slots, value.slotMs, Date.now());
  const sums = [received, loaded].map((values) => values.reduce((sum, n) => sum + n, 0));
  const [sent = 0, done = 0] = sums;
  return (
    <Card title="Its last 24 hours" aside={<span className="fine">{told(sent, done)}</span>}>
      <Chart
        title="Messages in ten minutes"
        summary={told(sent, done)}
        times={times}
        series={[
          { label: "sent to the hub", colour: "--chart-2", values: received },
          { label: "loaded at the centre", colour: "--chart-1", values: loaded },
        ]}
      />
    </Card>
  );
}

const told = (sent: number, loaded: number): string =>
  sent === 0 && loaded === 0 ? "nothing was sent" : `${counted(sent, "message")} sent, ${count(loaded)} loaded`;
