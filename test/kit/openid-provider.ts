import { createHash, generateKeyPairSync, randomUUID, sign, type KeyObject } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type Claims = Readonly<Record<string, unknown>>;
/** What the provider does from now on; the tests change it. */
export type Manners = {
  /** Of whoever signs in, beside those that the protocol asks for. */
  claims: Claims;
  /** Told only when asked for. */
  userinfo: Claims;
  /** Put over the token's own claims: a wrong nonce, an old time. */
  over: Claims;
  /** Signs by a key that it does not publish. */
  forges: boolean;
  /** Sends people back with this error. */
  denies: string | null;
};
export type OpenIdProvider = AsyncDisposable & {
  readonly issuer: string;
  readonly manners: Manners;
  /** Requests for tokens, good or not. */
  readonly exchanges: () => number;
  close(): Promise<void>;
};
export const CLIENT = { clientId: "waybill", clientSecret: "the-secret-of-the-tests" };

type Granted = { readonly challenge: string; readonly nonce: string | null; readonly redirect: string };

/**
 * A small OpenID provider on a real port: discovery, authorize (everybody is let in at once), token with PKCE and client
 * secret, keys, userinfo. A code is good once.
 */
export async function openIdProvider(claims: Claims = {}): Promise<OpenIdProvider> {
  const manners: Manners = { claims, userinfo: {}, over: {}, forges: false, denies: null };
  const [own, foreign] = [rsaKey(), rsaKey()];
  const granted = new Map<string, Granted>();
  let exchanges = 0;
  let issuer = "";

  const authorize = (query: URLSearchParams, response: ServerResponse): void => {
    const back = new URL(query.get("redirect_uri") ?? "");
    const given = { state: query.get("state") ?? "", iss: issuer };
    const code = randomUUID();
    const answer = manners.denies === null ? { ...given, code } : { ...given, error: manners.denies };
    if (query.get("code_challenge_method") !== "S256") return json(response, 400, { error: "invalid_request" });
    granted.set(code, {
      challenge: query.get("code_challenge") ?? "",
      nonce: query.get("nonce"),
      redirect: back.href,
    });
    back.search = new URLSearchParams(answer).toString();
    response.writeHead(302, { location: back.href }).end();
  };
  const token = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    exchanges++;
    const form = new URLSearchParams(await textOf(request));
    const [, basic = ""] = /^Basic (.+)$/.exec(request.headers.authorization ?? "") ?? [];
    const given = Buffer.from(basic, "base64").toString("utf8").split(":").map(decodeURIComponent);
    if (given.join(" ") !== `${CLIENT.clientId} ${CLIENT.clientSecret}`)
      return json(response, 401, { error: "invalid_client" });
    const code = form.get("code") ?? "";
    const grant = granted.get(code);
    granted.delete(code);
    const challenge = createHash("sha256")
      .update(form.get("code_verifier") ?? "")
      .digest("base64url");
    if (grant?.challenge !== challenge || grant.redirect !== form.get("redirect_uri"))
      return json(response, 400, { error: "invalid_grant" });
    const now = Math.floor(Date.now() / 1_000);
    const id = { iss: issuer, aud: CLIENT.clientId, sub: "person-1", iat: now, exp: now + 60, nonce: grant.nonce };
    const key = manners.forges ? foreign : own;
    json(response, 200, {
      access_token: "for-userinfo",
      token_type: "Bearer",
      id_token: jwt({ ...id, ...manners.claims, ...manners.over }, key.privateKey),
    });
  };

  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", issuer);
    if (pathname === "/.well-known/openid-configuration") {
      json(response, 200, {
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        userinfo_endpoint: `${issuer}/userinfo`,
        jwks_uri: `${issuer}/keys`,
        authorization_response_iss_parameter_supported: true,
        id_token_signing_alg_values_supported: ["RS256"],
      });
    } else if (pathname === "/authorize") authorize(searchParams, response);
    else if (pathname === "/token") void token(request, response);
    else if (pathname === "/keys") json(response, 200, { keys: [own.jwk] });
    else if (pathname === "/userinfo" && request.headers.authorization === "Bearer for-userinfo")
      json(response, 200, { sub: "person-1", ...manners.userinfo });
    else json(response, 404, {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // Another name than the hub's 127.0.0.1: to a browser it is another site, as a provider is.
  issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { issuer, manners, exchanges: () => exchanges, close, [Symbol.asyncDispose]: close };
}

function rsaKey(): { readonly privateKey: KeyObject; readonly jwk: Claims } {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2_048 });
  return { privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid: "1", alg: "RS256", use: "sig" } };
}

function jwt(claims: Claims, key: KeyObject): string {
  const part = (value: Claims): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "RS256", kid: "1" })}.${part(claims)}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
