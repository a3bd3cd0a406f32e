import type { Personal } from "../../load/discreet.ts";

/**
 * What a terminal's database said when it refused a row of an update, as far as it may be kept here: of a table that holds
 * something personal only the table's name, for the words may quote any value. The terminal itself has them in full.
 */
export function refusedWords(detail: string, personal: Personal): string {
  const [table = ""] = detail.split(/[\s:]/, 1);
  return personal.has(table)
    ? `${table}: the words are kept back, since they may quote what is personal; \`waybill terminal status\` there has them`
    : detail;
}
