import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";

/** What a webhook got; `key` and `kind` are of the body. */
export type Posted = {
  readonly key: string;
  readonly kind: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
};

/** A receiver of webhooks on a real port. It checks each signature as docs/alerts.md says to, and answers 401 where it is wrong. */
export async function webhookReceiver(secret: string) {
  const got: Posted[] = [];
  let status = 204;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const [, seconds, given] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request.headers["waybill-signature"])) ?? [];
      // Worked out from the page, not by our own function: both would be wrong in the same way.
      if (given !== createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex")) {
        response.writeHead(401).end();
        return;
      }
      const { key, kind } = JSON.parse(body) as { key: string; kind: string };
      got.push({ key, kind, body, headers: request.headers as Record<string, string> });
      response.writeHead(status, { location: "/elsewhere" }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks/very-secret-path?token=in-the-query`,
    got,
    /** What it answers from now on. */
    answer: (next: number) => {
      status = next;
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** A mail server on a real port that keeps what it is given, as it came. */
export async function smtpSink(signIn?: { readonly user: string; readonly pass: string }) {
  const mails: string[] = [];
  let refuses = false;
  const server = new SMTPServer({
    authOptional: signIn === undefined,
    disabledCommands: signIn ? ["STARTTLS"] : ["STARTTLS", "AUTH"],
    allowInsecureAuth: true,
    onAuth: ({ username, password }, _, done) =>
      username === signIn?.user && password === signIn?.pass
        ? done(null, { user: username })
        : done(new Error(`no such password: ${password}`)),
    onData: (stream, _, done) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        if (refuses) return done(Object.assign(new Error("the mailbox is full"), { responseCode: 452 }));
        mails.push(Buffer.concat(chunks).toString());
        done();
      });
    },
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.server.address() as AddressInfo;
  return {
    port,
    mails,
    refuse: (yes: boolean) => {
      refuses = yes;
    },
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

/** A header of a mail, unfolded. */
export const headerOf = (mail: string, name: string): string | undefined =>
  new RegExp(`^${name}: (.*(?:\\r?\\n[ \\t].*)*)`, "im").exec(mail)?.[1]?.replace(/\r?\n[ \t]+/g, " ");
