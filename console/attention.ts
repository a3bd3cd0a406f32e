import { query, type Picture } from "./api.ts";
import { ago, counted } from "./format.ts";
import { to } from "./place.ts";
import type { Tone } from "./ui.tsx";

export type Sentence = {
  readonly tone: Tone;
  readonly text: string;
  readonly href?: string;
  readonly act?: string;
};

/** Older than this, what waits is worth a sentence. */
export const OLD_MS = 60_000;

/** What needs a person, worst first, each as a sentence with a way to go on; none: all is well, every terminal included. */
export function sentencesOf(picture: Picture): readonly Sentence[] {
  const all = [
    ...hubSentences(picture),
    ...messageSentences(picture),
    ...fleetSentences(picture),
    ...alertSentences(picture),
  ];
  return all.toSorted((a, b) => ORDER.indexOf(a.tone) - ORDER.indexOf(b.tone));
}
const ORDER: readonly Tone[] = ["bad", "warn", "info", "calm", "good"];

const hubSentences = ({ health }: Picture): readonly Sentence[] =>
  Object.entries(health.parts)
    .filter(([, { state }]) => state !== "ok")
    .map(([name, { state, why }]) => ({ tone: state === "down" ? "bad" : "warn", text: why ?? `${name} is ${state}` }));

function messageSentences({ overview, at }: Picture): readonly Sentence[] {
  const { dead, held, retrying, oldestReceivedAt } = overview;
  const sentences: Sentence[] = [];
  const waits = (n: number): string => counted(n, "message waits", "messages wait");
  if (dead > 0)
    sentences.push({
      tone: "bad",
      text: `${counted(dead, "message was", "messages were")} refused for good${held > 0 ? `; ${waits(held)} behind` : ""}`,
      href: to("dead"),
      act: "Open dead letters",
    });
  else if (held > 0)
    sentences.push({
      tone: "warn",
      text: `${waits(held)} behind another that touches the same rows`,
      href: `${to("dead")}?state=held`,
      act: "Show them",
    });
  if (retrying > 0)
    sentences.push({
      tone: "warn",
      text: `${counted(retrying, "message was", "messages were")} refused and will be tried again`,
      href: `${to("dead")}?state=retrying`,
      act: "Show them",
    });
  if (oldestReceivedAt !== null && at - oldestReceivedAt > OLD_MS)
    sentences.push({ tone: "warn", text: `What came ${ago(oldestReceivedAt, at)} is not loaded yet` });
  return sentences;
}

const alertSentences = ({ alerts: { unseen } }: Picture): readonly Sentence[] =>
  unseen === 0
    ? []
    : [
        {
          tone: "warn",
          text: `${counted(unseen, "alert is", "alerts are")} open that nobody has said to have seen`,
          href: to("alerts"),
          act: "Open alerts",
        },
      ];

/** The walk over the terminals is a few seconds older than the counts, and may know of what they do not, or no longer. */
function fleetSentences({ overview, fleet }: Picture): readonly Sentence[] {
  const sentences: Sentence[] = [];
  const terminals = (n: number): string => counted(n, "terminal has", "terminals have");
  const show = (health: string) => ({ href: `${to("terminals")}${query({ health })}`, act: "Show them" });
  if (fleet.trouble > 0 && overview.dead === 0)
    sentences.push({
      tone: "bad",
      text: `${counted(fleet.trouble, "terminal is", "terminals are")} in trouble`,
      ...show("trouble"),
    });
  if (fleet.waiting > 0 && overview.held + overview.retrying === 0)
    sentences.push({ tone: "warn", text: `${terminals(fleet.waiting)} messages that wait`, ...show("waiting") });
  if (fleet.away > 0)
    sentences.push({
      tone: "warn",
      text: `${terminals(fleet.away)} not been heard of for two minutes`,
      ...show("away"),
    });
  return sentences;
}
