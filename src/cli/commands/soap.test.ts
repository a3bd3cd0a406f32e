import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { tempDir } from "../../../test/kit/temp-dir.ts";
import { main } from "../main.ts";

const MAPPING = fileURLToPath(new URL("../../wire/soap/fixtures/contoso-pos.mapping.json", import.meta.url));
const UPLOAD = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><UploadSales xmlns="http://tempuri.org/"><posId>p1</posId><sales xmlns:a="http://schemas.datacontract.org/2004/07/Contoso.Pos"><a:Sale><a:Lines/><a:ReceiptNo>R-1</a:ReceiptNo><a:SoldAt>2026-06-01T10:00:00</a:SoldAt><a:Total>12.50</a:Total></a:Sale></sales></UploadSales></s:Body></s:Envelope>`;

async function dryRun(
  request: string,
  ...words: readonly string[]
): Promise<{ readonly code: number; readonly said: string }> {
  const dir = tempDir();
  onTestFinished(() => dir[Symbol.asyncDispose]());
  await writeFile(dir.file("request.txt"), request);
  const said: string[] = [];
  const say = (text: string): void => void said.push(text);
  const code = await main(["soap", "dry-run", "--mapping", MAPPING, "--request", dir.file("request.txt"), ...words], {
    out: say,
    err: say,
    raw: say,
  });
  return { code, said: said.join("\n") };
}

test.each([
  ["an envelope", UPLOAD],
  ["a whole HTTP request", `POST /old.svc HTTP/1.1\r\nContent-Type: text/xml\r\n\r\n${UPLOAD}`],
])("a dry run shows what %s would become", async (_, request) => {
  const { code, said } = await dryRun(request, "--json");
  expect(code).toBe(0);
  expect(JSON.parse(said)).toEqual({
    operation: "UploadSales",
    does: "submit",
    terminal: "p1",
    messages: [
      {
        table: "document:sale",
        id: expect.stringMatching(/^contoso-pos:[\w-]{43}$/),
        search: ["R-1"],
        body: {
          operation: "create",
          key: "R-1",
          occurredAt: "2026-06-01T08:00:00Z",
          payload: { Lines: [], ReceiptNo: "R-1", SoldAt: "2026-06-01T10:00:00", Total: "12.50" },
        },
      },
    ],
    reply: expect.stringContaining("<a:Stored>1</a:Stored>"),
  });
});

test("a request that would be refused is told as such, with the place", async () => {
  const { code, said } = await dryRun(UPLOAD.replace("R-1", ""));
  expect([code, said]).toEqual([1, expect.stringContaining("d:ReceiptNo is empty")]);
});

test("for people it is text", async () => {
  const { said } = await dryRun(UPLOAD);
  expect(said).toContain("document:sale");
});
