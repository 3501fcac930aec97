// Runs the test vectors with npm packages: oidc-provider verifies proofs, jose keys and signatures, and oauth4webapi is
// the client. ../README.md says how to run this, and what the outcomes mean.
import { readFileSync, readdirSync } from 'node:fs';
import { validateHeaderValue } from 'node:http';
import { basename, join } from 'node:path';
import { mock } from 'node:test';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import { Provider } from 'oidc-provider';
import validateProof, { checkDpopReplay } from 'oidc-provider/lib/helpers/validate_dpop.js';
import instance from 'oidc-provider/lib/helpers/weak_cache.js';
import { CannotRepresent, report } from './report.mjs';

// Checks that a verifier leaves to the JOSE library under it.
const OF_THE_LIBRARY = ['crit', 'exp', 'nbf', 'key'];
const WINDOW = 300; // seconds, before and after: oidc-provider has no option for it

mock.timers.enable({ apis: ['Date'] });
const issuer = 'https://server.example.com';
const provider = new Provider(issuer, { features: { dPoP: { enabled: true, nonceSecret: Buffer.alloc(32) } } });
const base64 = (text) => Buffer.from(text, 'base64').toString();

/** Verifies one proof; resolves to what oidc-provider returns, or rejects. */
async function verify(proof, { method, url, now, max_age_s, future_skew_s, nonces, access_token, jkt, algs }) {
  validateHeaderValue('DPoP', proof);
  let iat = now;
  try { ({ iat } = JSON.parse(base64(proof.split('.')[1]))); } catch { /* the verifier says so */ }
  const recent = (before, after) => iat >= now - before && iat <= now + after;
  if (recent(max_age_s, future_skew_s) !== recent(WINDOW, WINDOW)) throw new CannotRepresent();
  mock.timers.setTime(now * 1000);
  const { configuration, features } = instance(provider);
  configuration.dPoPSigningAlgValues = algs ?? ['ES256', 'EdDSA', 'Ed25519'];
  features.dPoP.requireNonce = () => nonces !== undefined;
  instance(provider).DPoPNonces = nonces && { nextChallenge: () => 'next', checkChallenge: (nonce) => nonces.includes(nonce) };
  const oidc = { provider, route: 'resource', urlFor: () => url.replace(/[?#].*/s, '') };
  const verified = await validateProof(provider, { method, get: () => proof, set() {}, oidc }, access_token);
  if (!verified) throw new Error('there is no proof');
  if (jkt !== undefined && verified.thumbprint !== jkt) throw new Error('the token is bound to another key');
  return verified;
}

const verdict = (promise) => promise.then(() => 'accept', (error) => { if (error instanceof CannotRepresent) throw error; return 'reject'; });

/** For each kind, a function from a case to what was expected and what came out. */
const kinds = {
  async proof({ proof, proof_headers, context, expect, reason, jkt }) {
    if (OF_THE_LIBRARY.includes(reason)) throw new CannotRepresent();
    const got = await verdict(verify(proof ?? proof_headers.join(', '), context).then(({ thumbprint }) => {
      if (jkt !== undefined && thumbprint !== jkt) throw new Error('another thumbprint');
    }));
    return [expect, got];
  },
  // The store of oidc-provider is asked about a client, which may have several keys.
  async replay({ id, context, steps }) {
    const got = [];
    for (const [proof] of steps) {
      const verified = await verify(proof, context).catch((error) => error);
      if (verified instanceof CannotRepresent) throw verified;
      const oidc = { provider };
      const unique = () => checkDpopReplay(provider, { oidc, assert(ok, error) { if (!ok) throw error; } }, verified, id);
      got.push(verified instanceof Error ? 'reject' : await unique().then(() => 'accept', () => 'replay'));
    }
    return [steps.map(([, outcome]) => outcome).join(), got.join()];
  },
  thumbprint: async ({ jwk, jkt }) => [jkt, await jose.calculateJwkThumbprint(jwk)],
  async jws({ jwk, jws, expect }) {
    const key = async () => jose.importJWK(jwk, jose.decodeProtectedHeader(jws).alg);
    return [expect, await verdict(key().then((imported) => jose.compactVerify(jws, imported)))];
  },
  // The library does not say why it found no challenge: there is none, or it is invalid.
  async challenge({ headers, challenges, expect }) {
    const fields = new Headers();
    try { for (const value of headers) fields.append('www-authenticate', value); } catch { throw new CannotRepresent(); }
    const customFetch = async () => new Response(null, { status: 401, headers: fields });
    const found = await oauth.protectedResourceRequest('token', 'GET', new URL(issuer), undefined, undefined, { [oauth.customFetch]: customFetch })
      .then(() => [], ({ cause }) => cause.map(({ scheme, parameters: { ...params }, token68 }) => ({ scheme, params, token68 })));
    const text = (list) => JSON.stringify(list.map(({ scheme, params, token68 }) => [scheme, Object.entries(params).sort(), token68]));
    return [expect === 'policy' ? expect : text(challenges ?? []), text(found)];
  },
  async token_response({ status, headers, body, expect }) {
    if (status < 200 || status > 599) throw new CannotRepresent();
    const response = new Response([204, 205, 304].includes(status) ? null : body, { status, headers });
    const process = oauth.processClientCredentialsResponse({ issuer }, { client_id: 'client' }, response);
    // Its user is to compare token_type, because the library accepts both kinds of tokens.
    return [expect, await process.then(({ token_type }) => (token_type === 'dpop' ? 'token' : 'error'), () => 'error')];
  },
  async discovery({ issuer: identifier, oauth: oauth2, openid: oidc, expect }) {
    const urls = [];
    const customFetch = async (url) => { urls.push(url); return new Response(); };
    const request = async (algorithm) => oauth.discoveryRequest(new URL(identifier), { algorithm, [oauth.customFetch]: customFetch });
    const got = await request('oauth2').then(() => request('oidc')).then(() => urls.join(' '), () => 'invalid');
    return [expect ?? `${oauth2} ${oidc}`, got];
  },
  async basic({ client_id, client_secret, header }) {
    const headers = new Headers();
    try { oauth.ClientSecretBasic(client_secret)({ issuer }, { client_id }, new URLSearchParams(), headers); } catch { throw new CannotRepresent(); }
    const decoded = (field) => base64(field.slice(6)).split(':').map((text) => new URLSearchParams(`x=${text}`).get('x')).join('\n');
    return [decoded(header), decoded(headers.get('authorization'))];
  },
  async pkce({ code_verifier, code_challenge }) {
    if (code_challenge === undefined) throw new CannotRepresent(); // the function does not judge the verifier
    return [code_challenge, await oauth.calculatePKCECodeChallenge(code_verifier)];
  },
  async dpop_jkt({ dpop_jkt, jwk, expect }) {
    return [expect, dpop_jkt === await jose.calculateJwkThumbprint(jwk) ? 'accept' : 'reject'];
  },
  async authorization_response({ issuer: identifier, iss_supported, state, query, expect, code, error }) {
    const server = { issuer: identifier, token_endpoint: `${issuer}/token`, authorization_response_iss_parameter_supported: iss_supported };
    const client = { client_id: 'client' };
    let sent;
    const customFetch = async (_, { body }) => { sent = body.get('code'); return new Response(); };
    const request = async () => oauth.authorizationCodeGrantRequest(server, client, oauth.None(), oauth.validateAuthResponse(server, client, new URLSearchParams(query), state), issuer, 'verifier', { [oauth.customFetch]: customFetch });
    return [code ?? error ?? expect, await request().then(() => sent, (refused) => refused.error ?? 'reject')];
  },
};

const folder = join(import.meta.dirname, '../..');
const files = readdirSync(folder).filter((name) => name.endsWith('.json') && name !== 'schema.json');
await report(['oidc-provider', 'jose', 'oauth4webapi'], async function* outcomes() {
  for (const name of files) {
    const { version, kind, cases } = JSON.parse(readFileSync(join(folder, name)));
    if (!/^1\.0\./.test(version)) throw new Error(`${basename(name)}: version ${version}, not 1.0`);
    for (const each of kinds[kind] ? cases : []) {
      const outcome = await kinds[kind](each).catch((error) => { if (error instanceof CannotRepresent) return undefined; throw error; });
      yield [`${name} ${each.id}`, ...(outcome ?? [])];
    }
  }
}());
