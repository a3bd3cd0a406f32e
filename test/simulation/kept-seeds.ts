/**
 * Seeds that once found a fault of the product, with the steps they were played for. What a seed plays changes when the
 * simulation itself does, so each fault found also has a test of its own beside the code; these are played all the same.
 */
export const KEPT_SEEDS: readonly { readonly seed: number; readonly steps: number; readonly found: string }[] = [
  { seed: 34, steps: 2_000, found: "a first start's rows as they are set the centre's newer price back" },
  {
    seed: 23,
    steps: 2_000,
    found: "an epoch begun, its database's answer lost, was asked for anew and blocked for an hour",
  },
  { seed: 5174, steps: 2_000, found: "a restored ledger gave ids a second time, and a till passed over new rows" },
  { seed: 5178, steps: 2_000, found: "what a restored ledger forwarded again set a till's prices back" },
  { seed: 10_224, steps: 2_000, found: "a restored centre was left unseen for a minute when the first look failed" },
  {
    seed: 51_030,
    steps: 2_000,
    found: "the transaction a till applied last came again, and its rows went back inside it",
  },
  { seed: 60_111, steps: 2_000, found: "a till whose enrolment met a ledger that failed just then got no first rows" },
  { seed: 565_812_084, steps: 1_000, found: "two hubs that opened a new centre at once began two epochs of its lane" },
  {
    seed: 200_207,
    steps: 1_000,
    found: "a late copy of a call opened another epoch at a restored ledger, and a till was taken for a second install",
  },
  {
    seed: 200_420,
    steps: 1_000,
    found: "a transaction that comes in two answers went back after a restore of the ledger",
  },
  {
    seed: 300_310,
    steps: 2_000,
    found: "a clock set back was noticed by a hub that was killed, and its follower waited for weeks",
  },
  {
    seed: 1_272,
    steps: 2_000,
    found: "ledger and centre, set back to different moments, showed one version of a lane for two histories",
  },
  {
    seed: 1_304,
    steps: 2_000,
    found: "a centre set back while a till showed that the ledger was, too, was taken for a sound one",
  },
  {
    seed: 9_471,
    steps: 2_000,
    found:
      "a restored centre began no term of ids, and a ledger set back with it gave those again that a till had seen",
  },
  {
    seed: 5_277,
    steps: 2_000,
    found: "a ledger and a centre set back to agree gave ids again, and a till passed over what came under them",
  },
  { seed: 6_184, steps: 2_000, found: "the same, with a ledger that was restored several times before" },
  {
    seed: 266,
    steps: 2_000,
    found: "the same, both set back to one moment; without the names of histories it still ends wrong",
  },
  { seed: 684, steps: 2_000, found: "the same" },
  {
    seed: 3_159,
    steps: 2_000,
    found:
      "a ledger set back to before its first id took cursors of what it lost for another history's, and rows went back",
  },
  { seed: 464, steps: 2_000, found: "the same" },
  {
    seed: 8_053,
    steps: 2_000,
    found:
      "a centre told of a later term of ids vouched for all before it, and a till kept rows of a forgotten history",
  },
  { seed: 1_153, steps: 2_000, found: "lost ids were told twice, and the second telling failed for ever" },
  { seed: 9_730, steps: 2_000, found: "an acknowledgement that a till could not note stopped its first rows" },
  { seed: 123, steps: 2_000, found: "a pack committed, its answer lost, was not sent before the next sale" },
];
