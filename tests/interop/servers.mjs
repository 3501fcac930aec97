// The other way round: npm oauth4webapi and npm dpop as the client of the example `servers`.
import * as dpop from 'dpop';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import { check, example, expect, launch, same } from './harness.mjs';

const demo = await launch(example('servers'));
const issuer = new URL(demo.issuer);
let trace = [];
const options = {
  [oauth.allowInsecureRequests]: true,
  [oauth.customFetch]: async (url, init) => {
    const response = await fetch(url, init);
    trace.push(response.status);
    return response;
  },
};
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...options }));
const client = { client_id: demo.client_id };

/** What a fresh key of this algorithm can do; `name` is the alg its proofs carry. */
async function makeSession(alg, name = alg) {
  const keys = await oauth.generateKeyPair(alg, { extractable: true });
  const rename = name === alg ? undefined : { [oauth.modifyAssertion]: (header) => { header.alg = name; } };
  const DPoP = oauth.DPoP(client, keys, rename);
  const again = (send) => send().catch((err) => { if (oauth.isDPoPNonceError(err)) return send(); throw err; });
  return {
    keys, DPoP,
    token: () => again(async () => {
      const response = await oauth.clientCredentialsGrantRequest(as, client, oauth.ClientSecretBasic(demo.client_secret), { resource: demo.resource }, { ...options, DPoP });
      return oauth.processClientCredentialsResponse(as, client, response);
    }),
    get: (url, token) => again(() => oauth.protectedResourceRequest(token, 'GET', new URL(url), undefined, undefined, { ...options, DPoP })),
  };
}

for (const [alg, name] of [['ES256'], ['Ed25519'], ['Ed25519', 'EdDSA']]) {
  await check(`oauth4webapi ${name ?? alg}: challenge, token, challenge, call, and again without challenges`, async () => {
    const session = await makeSession(alg, name);
    trace = [];
    const { access_token, token_type } = await session.token();
    same(token_type, 'dpop', 'token_type');
    same(trace, [400, 200], 'answers of the token endpoint');
    if (access_token.split('.').length === 3) same(jose.decodeJwt(access_token).cnf.jkt, await session.DPoP.calculateThumbprint(), 'cnf.jkt');
    trace = [];
    same((await session.get(`${demo.resource}?q=1`, access_token)).status, 200, 'status of the call');
    same(trace.at(-1), 200, 'last answer of the resource');
    same(trace[0], 401, 'first answer of the resource');
    trace = [];
    await session.get(demo.resource, access_token);
    same(trace, [200], 'answers to the next call');
  });
}

// ------------------------------------------------------------------------- single requests with proofs of npm dpop

const authorization = `Basic ${Buffer.from([demo.client_id, demo.client_secret].map(encodeURIComponent).join(':')).toString('base64')}`;
const token = (proof, headers = { authorization }) => fetch(as.token_endpoint, {
  method: 'POST', redirect: 'manual', headers: { ...headers, ...proof && { dpop: proof } },
  body: new URLSearchParams({ grant_type: 'client_credentials', resource: demo.resource }),
});
const call = (proof, access, scheme = 'DPoP') => fetch(demo.resource, {
  redirect: 'manual', headers: { ...access && { authorization: `${scheme} ${access}` }, ...proof && { dpop: proof } },
});
const nonceOf = (response) => response.headers.get('dpop-nonce');
/** The error that a refusal names, in its challenge or its body. */
async function errorOf(response) {
  const challenge = response.headers.get('www-authenticate') ?? '';
  const body = await response.text();
  return /\berror="?(\w+)/.exec(challenge)?.[1] ?? (body.startsWith('{') ? JSON.parse(body).error : undefined);
}
async function refused(response, status, ...errors) {
  const error = await errorOf(response);
  same(response.status, status, `status (error ${error})`);
  expect(errors.includes(error), `error ${error}, not ${errors.join(' or ')}`);
  expect(/no-store/.test(response.headers.get('cache-control')) || status === 401, 'a refusal may be cached');
}

const keys = await dpop.generateKeyPair('ES256');
const stranger = await dpop.generateKeyPair('ES256');
const asProof = (more = {}) => dpop.generateProof(more.keys ?? keys, more.url ?? as.token_endpoint, more.method ?? 'POST', more.nonce);
const bad = ['invalid_dpop_proof'];
const badAtResource = ['invalid_dpop_proof', 'invalid_token'];
let asNonce;
let access;

await check('npm dpop: challenge and token', async () => {
  const challenge = await token(await asProof());
  asNonce = nonceOf(challenge);
  await refused(challenge, 400, 'use_dpop_nonce');
  expect(asNonce, 'no nonce');
  const proof = await asProof({ nonce: asNonce });
  const answer = await token(proof);
  same(answer.status, 200, 'status');
  asNonce = nonceOf(answer) ?? asNonce;
  access = (await answer.json()).access_token;
  await refused(await token(proof), 400, ...bad);
});
for (const [name, more, errors = bad] of [
  ['GET in htm', { method: 'GET' }],
  ['another host in htu', { url: as.token_endpoint.replace(/\/\/[^/:]+/, '//as.interop.test') }],
  ['another path in htu', { url: `${as.token_endpoint}/` }],
  ['a nonce nobody gave', { nonce: 'bogus' }, ['use_dpop_nonce']],
]) await check(`token endpoint refuses ${name}`, async () => refused(await token(await asProof({ nonce: asNonce, ...more })), 400, ...errors));
await check('token endpoint refuses a request without a proof', async () => refused(await token(), 400, 'invalid_dpop_proof', 'invalid_request'));
await check('token endpoint refuses two proofs', async () => {
  const two = (await Promise.all([1, 2].map(() => asProof({ nonce: asNonce })))).join(', ');
  await refused(await token(two), 400, ...bad);
});
await check('token endpoint refuses a wrong secret', async () => {
  const headers = { authorization: `Basic ${btoa(`${demo.client_id}:wrong`)}` };
  await refused(await token(await asProof({ nonce: asNonce }), headers), 401, 'invalid_client');
});

const rsProof = ({ keys: by = keys, url = demo.resource, method = 'GET', nonce = rsNonce, access: of = access }) => dpop.generateProof(by, url, method, nonce ?? undefined, of ?? undefined);
let rsNonce;
await check('resource: challenge, call, replay', async () => {
  const challenge = await call(await rsProof({}), access);
  rsNonce = nonceOf(challenge);
  expect(/\bDPoP\b/.test(challenge.headers.get('www-authenticate')), 'no DPoP challenge');
  await refused(challenge, 401, 'use_dpop_nonce');
  const proof = await rsProof({});
  const answer = await call(proof, access);
  same(answer.status, 200, 'status');
  rsNonce = nonceOf(answer) ?? rsNonce;
  await refused(await call(proof, access), 401, ...badAtResource);
});
for (const [name, more, errors = badAtResource] of [
  ['the ath of another token', { access: 'another-token' }],
  ['a proof without ath', { access: null }],
  ['another key', { keys: stranger }],
  ['POST in htm', { method: 'POST' }],
  ['another path in htu', { url: `${demo.resource}/more` }],
  ['a nonce nobody gave', { nonce: 'bogus' }, ['use_dpop_nonce']],
  ['no nonce', { nonce: null }, ['use_dpop_nonce']],
]) await check(`resource refuses ${name}`, async () => refused(await call(await rsProof(more), access), 401, ...errors));
await check('resource refuses a nonce of the token endpoint', async () => refused(await call(await rsProof({ nonce: asNonce }), access), 401, 'use_dpop_nonce'));
await check('token endpoint refuses a nonce of the resource', async () => refused(await token(await asProof({ nonce: rsNonce })), 400, 'use_dpop_nonce'));
for (const [name, proved, scheme] of [['Bearer with a proof', true, 'Bearer'], ['Bearer', false, 'Bearer'], ['DPoP without a proof', false, 'DPoP']]) {
  await check(`resource refuses ${name}`, async () => {
    const answer = await call(proved ? await rsProof({}) : undefined, access, scheme);
    expect(/\bDPoP\b/.test(answer.headers.get('www-authenticate')), 'no DPoP challenge');
    expect([400, 401].includes(answer.status), `status ${answer.status}`);
  });
}
await check('resource challenges a request without a token', async () => {
  const answer = await call();
  same(answer.status, 401, 'status');
  const challenge = answer.headers.get('www-authenticate');
  expect(/\bDPoP\b/.test(challenge) && /algs="[^"]*ES256/.test(challenge) && !/error=/.test(challenge), `challenge ${challenge}`);
});
await check('resource refuses a token nobody issued', async () => refused(await call(await rsProof({ access: 'made-up' }), 'made-up'), 401, 'invalid_token'));
