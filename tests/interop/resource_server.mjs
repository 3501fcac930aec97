// The example `resource_server` with tokens of oidc-provider, JWT and opaque; proofs by oauth4webapi and npm dpop.
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import * as dpop from 'dpop';
import * as oauth from 'oauth4webapi';
import { check, example, execute, expect, file, keepSecret, launch, same } from './harness.mjs';

const provider = await launch(process.execPath, [join(import.meta.dirname, 'server.mjs')]);
const { client_id, client_secret } = provider.clients.find((c) => c.client_id === 'cc-basic');
keepSecret(client_secret);
const audience = { jwt: `${provider.http}/rs/jwt`, opaque: `${provider.http}/rs/opaque` };
const env = { INTEROP_SECRET: client_secret, WRONG_SECRET: 'not-the-secret' };
const introspect = (secret = 'INTEROP_SECRET') => ['--introspect', '--client-id', client_id, '--secret-env', secret];
const resourceServer = (of, more = [], issuer = ['--issuer', provider.http, '--dangerous-http']) => launch(example('resource_server'), ['--port', '0', ...issuer, '--audience', of, ...more], env);
const apis = {
  jwt: await resourceServer(audience.jwt),
  opaque: await resourceServer(audience.opaque, introspect()),
};

// ------------------------------------------------------------------------------------------------------ oauth4webapi

let trace = [];
const options = {
  [oauth.allowInsecureRequests]: true,
  [oauth.customFetch]: async (url, init) => {
    const response = await fetch(url, init);
    trace.push(response.status);
    return response;
  },
};
const as = await oauth.processDiscoveryResponse(new URL(provider.http), await oauth.discoveryRequest(new URL(provider.http), options));
const client = { client_id };
const auth = oauth.ClientSecretBasic(client_secret);
const again = (send) => send().catch((err) => { if (oauth.isDPoPNonceError(err)) return send(); throw err; });

/** A fetch that trusts the provider's own CA. */
const overTls = (url, { method, headers, body }) => new Promise((done, failed) => {
  const request = https.request(url, { method, headers: Object.fromEntries(new Headers(headers)), ca: provider.ca }, async (response) => {
    const single = Object.entries(response.headers).filter(([, value]) => typeof value === 'string');
    done(new Response(Buffer.concat(await response.toArray()), { status: response.statusCode, headers: single }));
  });
  request.once('error', failed).end(body?.toString());
});

async function tokenFor(resource, scope, DPoP, server = as, through = options) {
  const { access_token } = await again(async () => {
    const response = await oauth.clientCredentialsGrantRequest(server, client, auth, { resource, scope }, { ...through, DPoP });
    return oauth.processClientCredentialsResponse(server, client, response);
  });
  keepSecret(access_token);
  return access_token;
}

for (const [format, api] of Object.entries(apis)) {
  for (const alg of ['ES256', 'Ed25519']) {
    await check(`resource_server, ${format} token: oauth4webapi ${alg}, challenge, GET, and POST without a challenge`, async () => {
      const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(alg));
      const token = await tokenFor(audience[format], 'orders:read orders:write', DPoP);
      const call = (method, path, body) => again(() => oauth.protectedResourceRequest(token, method, new URL(api.url + path), undefined, body, { ...options, DPoP }));
      trace = [];
      const answer = await call('GET', '/orders?page=2&q=%2F%20x');
      same(trace, [401, 200], 'answers to GET');
      const { client_id: by, for_key } = await answer.json();
      same([by, for_key], [client_id, await DPoP.calculateThumbprint()], 'the caller as the API knows it');
      trace = [];
      same((await call('POST', '/orders', '42 bolts')).status, 201, 'status of POST');
      same(trace, [201], 'answers to POST');
    });
  }
}

await check('resource_server over https, with the CA given', async () => {
  const [issuer, of] = [provider.https, `${provider.https}/rs/jwt`];
  const run = await execute('resource_server', ['--port', '0', '--issuer', issuer]);
  expect(run.code === 1 && /certificate|issuer/i.test(run.stderr), run);
  const api = await resourceServer(of, [], ['--issuer', issuer, '--ca', file(provider.ca)]);
  const secure = { [oauth.customFetch]: overTls };
  const server = await oauth.processDiscoveryResponse(new URL(issuer), await oauth.discoveryRequest(new URL(issuer), secure));
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
  const token = await tokenFor(of, 'orders:read', DPoP, server, secure);
  const answer = await again(() => oauth.protectedResourceRequest(token, 'GET', new URL(`${api.url}/orders`), undefined, undefined, { ...options, DPoP }));
  same(answer.status, 200, 'status');
});

// ---------------------------------------------------------------------------------------------- proofs by npm dpop

const keys = await dpop.generateKeyPair('ES256');
const stranger = await dpop.generateKeyPair('ES256');
const DPoP = oauth.DPoP(client, keys);

const field = (response, name) => response.headers.get(name);
const errorOf = (response) => /\berror="(\w+)"/.exec(field(response, 'www-authenticate') ?? '')?.[1];

/** Refused with this status and error: a DPoP challenge, nothing to cache, nothing in the body but the error. */
async function refused(response, status, error) {
  const challenge = field(response, 'www-authenticate') ?? '';
  same([response.status, errorOf(response)], [status, error], 'status and error');
  expect(/^DPoP /.test(challenge) && /algs="[^"]*ES256/.test(challenge), `challenge ${challenge}`);
  same(field(response, 'cache-control'), 'no-store', 'Cache-Control');
  same(await response.text(), error ? JSON.stringify({ error }) : '', 'body');
  same(field(response, 'content-type'), error ? 'application/json' : null, 'Content-Type');
  same(Boolean(field(response, 'dpop-nonce')), error === 'use_dpop_nonce', 'a nonce comes');
}

for (const [format, api] of Object.entries(apis)) {
  const url = `${api.url}/orders`;
  const access = await tokenFor(audience[format], 'orders:read', DPoP);
  const elsewhere = await tokenFor(`${provider.rs}/rs/${format}`, 'orders:read', DPoP);
  let nonce;
  const prove = (more = {}) => {
    const { by, of, method, htu, nonce: said } = { by: keys, of: access, method: 'GET', htu: url, nonce, ...more };
    return dpop.generateProof(by, htu, method, said ?? undefined, of ?? undefined);
  };
  const call = (proof, { token = access, scheme = 'DPoP', method = 'GET', at = url, headers = {} } = {}) => fetch(at, {
    method, redirect: 'manual', headers: { ...token && { authorization: `${scheme} ${token}` }, ...proof && { dpop: proof }, ...headers },
  });
  const name = (text) => `resource_server, ${format} token: ${text}`;

  await check(name('npm dpop, challenge, call, replay'), async () => {
    const challenge = await call(await prove());
    nonce = field(challenge, 'dpop-nonce');
    await refused(challenge, 401, 'use_dpop_nonce');
    const proof = await prove();
    same((await call(proof)).status, 200, 'status');
    await refused(await call(proof), 401, 'invalid_dpop_proof');
  });
  await check(name('of one proof sent sixteen times at once, one is accepted'), async () => {
    const proof = await prove();
    const answers = await Promise.all(Array.from({ length: 16 }, () => call(proof)));
    same(answers.filter(({ status }) => status === 200).length, 1, 'accepted');
    for (const answer of answers.filter(({ status }) => status !== 200)) await refused(answer, 401, 'invalid_dpop_proof');
  });
  const other = Object.values(apis).find((another) => another !== api);
  const otherNonce = async () => field(await fetch(`${other.url}/orders`, { headers: { authorization: 'DPoP x', dpop: await prove({ htu: `${other.url}/orders`, of: 'x', nonce: null }) } }), 'dpop-nonce');
  for (const [what, status, error, send] of [
    ['another key', 401, 'invalid_token', async () => call(await prove({ by: stranger }))],
    ['the ath of another token', 401, 'invalid_dpop_proof', async () => call(await prove({ of: elsewhere }))],
    ['no ath', 401, 'invalid_dpop_proof', async () => call(await prove({ of: null }))],
    ['another method in htm', 401, 'invalid_dpop_proof', async () => call(await prove({ method: 'POST' }))],
    ['another path in htu', 401, 'invalid_dpop_proof', async () => call(await prove({ htu: `${url}/more` }))],
    ['another origin in htu', 401, 'invalid_dpop_proof', async () => call(await prove({ htu: `${other.url}/orders` }))],
    ['no nonce', 401, 'use_dpop_nonce', async () => call(await prove({ nonce: null }))],
    ['a nonce nobody gave', 401, 'use_dpop_nonce', async () => call(await prove({ nonce: 'bogus' }))],
    ['the nonce of another API', 401, 'use_dpop_nonce', async () => {
      const foreign = await otherNonce();
      expect(foreign, 'the other API gives no nonce');
      return call(await prove({ nonce: foreign }));
    }],
    ['no proof', 401, 'invalid_dpop_proof', () => call()],
    ['two proofs', 401, 'invalid_dpop_proof', async () => call((await Promise.all([prove(), prove()])).join(', '))],
    ['Bearer', 401, 'invalid_token', () => call(undefined, { scheme: 'Bearer' })],
    ['Bearer with a proof', 401, 'invalid_token', async () => call(await prove(), { scheme: 'Bearer' })],
    ['no token', 401, undefined, () => call(undefined, { token: null })],
    ['Basic', 401, undefined, () => call(undefined, { scheme: 'Basic' })],
    ['a token nobody issued', 401, 'invalid_token', async () => call(await prove({ of: 'made-up' }), { token: 'made-up' })],
    ['a token for another audience', 401, 'invalid_token', async () => call(await prove({ of: elsewhere }), { token: elsewhere })],
    ['the access token in the query as well', 400, 'invalid_request', async () => call(await prove(), { at: `${url}?access_token=${access}` })],
    ['a scope that the token lacks', 403, 'insufficient_scope', async () => call(await prove({ method: 'POST' }), { method: 'POST' })],
  ]) await check(name(`refuses ${what}`), async () => refused(await send(), status, error));
  if (format === 'jwt') {
    await check(name('refuses a changed signature'), async () => {
      const changed = access.replace(/.{9}$/, (end) => (end[0] === 'A' ? 'B' : 'A') + end.slice(1));
      await refused(await call(await prove({ of: changed }), { token: changed }), 401, 'invalid_token');
    });
  }
  await check(name('takes nothing from Host and X-Forwarded-*'), async () => {
    const ask = (proof) => new Promise((done, failed) => {
      const headers = { host: 'evil.test', 'x-forwarded-host': 'evil.test', 'x-forwarded-proto': 'http', forwarded: 'host=evil.test;proto=http', authorization: `DPoP ${access}`, dpop: proof };
      http.get(url, { headers }, (response) => { response.resume(); done(response.statusCode); }).once('error', failed);
    });
    same(await ask(await prove({ htu: 'http://evil.test/orders' })), 401, 'status for the URL that the fields name');
    same(await ask(await prove()), 200, 'status for the URL of the API');
  });
  await check(name('health is open, other paths and methods are not there'), async () => {
    same((await fetch(`${api.url}/health`)).status, 200, 'status of /health');
    same((await fetch(`${api.url}/other`)).status, 404, 'status of /other');
    same((await call(await prove({ method: 'DELETE' }), { method: 'DELETE' })).status, 405, 'status of DELETE');
  });
  await check(name('the log tells the reason that the peer is not told'), async () => {
    const { length } = api.log.stderr;
    await call(await prove({ of: elsewhere }));
    for (let i = 0; i < 50 && api.log.stderr.length === length; i += 1) await new Promise((done) => { setTimeout(done, 20); });
    expect(/\bath\b/.test(api.log.stderr.slice(length)), `the log says "${api.log.stderr.slice(length)}"`);
  });
  await check(name(format === 'jwt' ? 'one for introspection is refused where JWTs are wanted' : 'a JWT is refused where introspection is asked'), async () => {
    const foreign = await tokenFor(audience[format === 'jwt' ? 'opaque' : 'jwt'], 'orders:read', DPoP);
    await refused(await call(await prove({ of: foreign }), { token: foreign }), 401, 'invalid_token');
  });
}

await check('resource_server, opaque token: refused once it is revoked', async () => {
  const token = await tokenFor(audience.opaque, 'orders:read', DPoP);
  const call = () => again(() => oauth.protectedResourceRequest(token, 'GET', new URL(`${apis.opaque.url}/orders`), undefined, undefined, { ...options, DPoP }));
  same((await call()).status, 200, 'status before');
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, token, options));
  const error = await call().then(({ status }) => status, (err) => err.cause?.[0]?.parameters?.error);
  same(error, 'invalid_token', 'error after');
});
await check('resource_server: 503 without a challenge where introspection is refused', async () => {
  const api = await resourceServer(audience.opaque, introspect('WRONG_SECRET'));
  const url = `${api.url}/orders`;
  const token = await tokenFor(audience.opaque, 'orders:read', DPoP);
  const send = async (nonce) => fetch(url, { headers: { authorization: `DPoP ${token}`, dpop: await dpop.generateProof(keys, url, 'GET', nonce, token) } });
  const answer = await send(field(await send(), 'dpop-nonce'));
  same([answer.status, field(answer, 'www-authenticate'), await answer.text()], [503, null, ''], 'status, challenge and body');
});

// --------------------------------------------------------------------------------------------------------------- usage

for (const [code, args] of [
  [2, ['--no-such-option']], [2, ['stray']], [2, ['--port', 'x']], [2, ['--typ', 'JWT']], [2, ['--client-id', 'x', '--secret-env', 'X']],
  [2, ['--issuer', provider.http, '--dangerous-http', '--introspect']],
  [2, ['--issuer', provider.http, '--dangerous-http', '--introspect', '--client-id', 'x', '--secret-env', 'X', '--typ', 'JWT']],
  [1, ['--port', '0', '--issuer', provider.http]], [1, ['--port', '0', '--issuer', `${provider.http}/nobody`, '--dangerous-http']],
  [1, ['--port', '0', '--issuer', provider.http, '--dangerous-http', '--introspect', '--client-id', 'x', '--secret-env', 'NOT_SET']],
  [1, ['--port', '0', '--issuer', provider.https, '--ca', '/no/such/file']],
  [1, ['--port', new URL(apis.jwt.url).port]],
]) {
  await check(`resource_server ends with ${code}: ${args.map((arg) => arg.replace(provider.http, 'ISSUER').replace(provider.https, 'ISSUER').replace(/^\d{2,}$/, 'TAKEN')).join(' ')}`, async () => {
    const run = await execute('resource_server', args);
    same([run.code, run.stdout, run.stderr.trimEnd().split('\n').length], [code, '', 1], `exit code, stdout, lines of stderr, after "${run.stderr.trim()}"`);
  });
}
for (const name of ['resource_server', 'authorization_server']) {
  await check(`${name} --help`, async () => {
    const { code, stdout } = await execute(name, ['--help']);
    same(code, 0, 'exit code');
    expect(stdout.includes('--port') && stdout.includes('READY'), stdout);
  });
}
