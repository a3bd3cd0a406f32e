import { isoOf } from "../../base/clock.ts";
import { WaybillError } from "../../base/errors.ts";
import type { Runtime } from "../../base/runtime.ts";
import { centsOf, ITEMS, money, type Shop } from "./shop.ts";

/** A till of the demo that no agent stands beside: it speaks SOAP 1.1, as one written with WCF fifteen years ago does. */
export class SoapTill {
  readonly #hub: string;
  readonly #terminal: string;
  readonly #shop: Shop;
  readonly #key: string;
  readonly #runtime: Pick<Runtime, "clock" | "network" | "random">;
  /** Sales it has made and the hub has not acknowledged, oldest first; lost with the process, as its old program would lose them. */
  readonly #unsent: { readonly sequence: number; readonly xml: string }[] = [];
  #next: number | null = null;
  #sold = 0;

  constructor(
    hub: string,
    terminal: string,
    shop: Shop,
    key: string,
    runtime: Pick<Runtime, "clock" | "network" | "random">,
  ) {
    this.#hub = hub;
    this.#terminal = terminal;
    this.#shop = shop;
    this.#key = key;
    this.#runtime = runtime;
  }

  get sold(): number {
    return this.#sold;
  }

  /** Makes one sale and sends what is not acknowledged. A failure keeps it: the next call sends it again. @throws HUB_UNREACHABLE */
  async sell(): Promise<void> {
    this.#next ??= 1 + numberIn(await this.#call("GetStatus", ""), "acceptedThrough");
    const sequence = this.#next++;
    this.#unsent.push({ sequence, xml: this.#sale(sequence) });
    this.#sold++;
    const messages = this.#unsent.slice(0, 100).map(({ xml }) => xml);
    const through = numberIn(
      await this.#call("SubmitMessages", `<messages>${messages.join("")}</messages>`),
      "acceptedThrough",
    );
    while ((this.#unsent[0]?.sequence ?? Number.POSITIVE_INFINITY) <= through) this.#unsent.shift();
  }

  #sale(sequence: number): string {
    const { clock, random } = this.#runtime;
    const id = `${this.#shop.store}-W${String(sequence).padStart(7, "0")}`;
    const at = isoOf(clock.now());
    const item = ITEMS[Math.floor(random.next() * ITEMS.length)] ?? ITEMS[0];
    const qty = 1 + Math.floor(random.next() * 3);
    const price = money(item?.cents ?? 0);
    const total = money(qty * centsOf(price));
    const sale = {
      sale_id: id,
      store_id: this.#shop.store,
      sold_at: at,
      cashier: "cashier 1",
      total,
      line: { sku: item?.sku ?? "", qty, unit_price: price },
    };
    return `<SyncMessage><sequence>${sequence}</sequence><messageId>${id}</messageId><entity>sale</entity><operation>create</operation><key>${id}</key><occurredAt>${at}</occurredAt><contentType>application/json</contentType><payload>${JSON.stringify(sale)}</payload></SyncMessage>`;
  }

  /** The reply's text; none of what the demo sends needs escaping. */
  async #call(operation: string, members: string): Promise<string> {
    const body = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><${operation} xmlns="urn:waybill:terminal:v1"><terminalId>${this.#terminal}</terminalId>${members}</${operation}></s:Body></s:Envelope>`;
    const credentials = Buffer.from(`${this.#terminal}:${this.#key}`).toString("base64");
    const answer = await this.#runtime.network.request({
      method: "POST",
      url: `${this.#hub}/soap/terminal/basic`,
      headers: { "content-type": "text/xml; charset=utf-8", authorization: `Basic ${credentials}` },
      body: Buffer.from(body),
      timeoutMs: 10_000,
    });
    return Buffer.from(answer.body).toString("utf8");
  }
}

/** @throws HUB_UNREACHABLE when the reply, a fault perhaps, does not say it: nothing is known then, and it is tried again */
function numberIn(text: string, member: string): number {
  const found = new RegExp(`<${member}>(\\d+)</${member}>`).exec(text)?.[1];
  if (found === undefined) throw new WaybillError("HUB_UNREACHABLE", `the hub's SOAP reply has no ${member}`);
  return Number(found);
}
