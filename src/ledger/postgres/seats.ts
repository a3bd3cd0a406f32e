import { later } from "../../base/clock.ts";
import type { Seat, Seats } from "../seats.ts";
import type { Store } from "./store.ts";
import type { Tx } from "./tx.ts";

/** A seat held for so many leases from now was taken before the server's clock was set back: nobody waits for that time. */
const FAR_LEASES = 10;

export const seatsOn = (store: Store): Seats => ({
  take: (name, worker, leaseMs) =>
    store.write(async (tx) => {
      // One statement: of two that come at once, the second finds what the first left.
      const row = await tx.get<{ fence: number }>(
        `insert into seat as s (name, held_by, fence, held_until) values ($1, $2, 1, $3)
         on conflict (name) do update
           set held_until = $3, held_by = $2, fence = s.fence + case when s.held_by = $2 then 0 else 1 end
           where s.held_by = $2 or s.held_until <= $4 or s.held_until > $5
         returning s.fence`,
        name,
        worker,
        later(tx.now(), leaseMs),
        tx.now(),
        later(tx.now(), FAR_LEASES * leaseMs),
      );
      return row === undefined ? null : { name, fence: row.fence };
    }),
  leave: async ({ name, fence }) => {
    await store.write((tx) =>
      tx.run("update seat set held_until = 0, held_by = '' where name = $1 and fence = $2", name, fence),
    );
  },
});

/** Whether the seat was not taken by another since; it cannot be until this transaction ends. */
export async function isHeld(tx: Tx, { name, fence }: Seat): Promise<boolean> {
  const row = await tx.get("select from seat where name = $1 and fence = $2 for share", name, fence);
  return row !== undefined;
}
