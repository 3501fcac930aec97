// Proofs made by jose, npm dpop and oauth4webapi, good and bad, read by `possession vectors` from a file.
import { randomUUID } from 'node:crypto';
import * as dpop from 'dpop';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import { check, execute, expect, file, same } from './harness.mjs';

const now = Math.floor(Date.now() / 1000);
const url = 'https://api.example.com/orders/42';
const method = 'POST';
const nonce = 'eyJ7S_zG.eyJH0-Z.HX4w-7v';
const access_token = 'Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU';
const ath = async (token) => jose.base64url.encode(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(token))));

const ALGS = ['ES256', 'Ed25519', 'EdDSA', 'ES384', 'RS256', 'PS256', 'PS512'];
const BY_DPOP = ['ES256', 'Ed25519', 'RS256', 'PS256']; // what npm dpop knows
const keyAlg = (alg) => (alg === 'EdDSA' ? 'Ed25519' : alg);
const keys = Object.fromEntries(await Promise.all(ALGS.map(async (alg) => [alg, await jose.generateKeyPair(keyAlg(alg), { extractable: true })])));
const stranger = await jose.generateKeyPair('ES256', { extractable: true });
const jktOf = async ({ publicKey }) => jose.calculateJwkThumbprint(await jose.exportJWK(publicKey));

/** A proof by jose; `header` and `claims` replace or (undefined) remove members. */
async function sign(alg, { header, claims, by = keys[alg] } = {}) {
  const jwk = await jose.exportJWK(by.publicKey);
  const payload = { jti: randomUUID(), htm: method, htu: url, iat: now, nonce, ath: await ath(access_token), ...claims };
  return new jose.SignJWT(payload).setProtectedHeader({ typ: 'dpop+jwt', alg, jwk, ...header }).sign(by.privateKey);
}

/** The proof that oauth4webapi sends once a challenge has given it the nonce. */
async function byOauth4webapi(alg) {
  const rename = { [oauth.modifyAssertion]: (header) => { header.alg = alg; } };
  let proof;
  const answers = [new Response(null, { status: 401, headers: { 'dpop-nonce': nonce } }), new Response()];
  const options = {
    DPoP: oauth.DPoP({}, keys[alg], rename),
    [oauth.customFetch]: async (_, { headers }) => { proof = new Headers(headers).get('dpop'); return answers.shift(); },
  };
  while (answers.length) await oauth.protectedResourceRequest(access_token, method, new URL(`${url}?page=2`), undefined, undefined, options);
  return proof;
}

const publicOf = async (alg) => jose.exportJWK(keys[alg].publicKey);
const corrupt = (proof, part) => proof.split('.').map((text, i) => (i === part ? `${text.slice(0, 9)}${text[9] === 'A' ? 'B' : 'A'}${text.slice(10)}` : text)).join('.');

/** One defect a row. */
const defects = async (alg) => ({
  'htm of another method': sign(alg, { claims: { htm: 'GET' } }),
  'htm in lower case': sign(alg, { claims: { htm: 'post' } }),
  'htu with another host': sign(alg, { claims: { htu: url.replace('api', 'evil') } }),
  'htu with another scheme': sign(alg, { claims: { htu: url.replace('https', 'http') } }),
  'htu with a trailing slash': sign(alg, { claims: { htu: `${url}/` } }),
  'nonce of somebody else': sign(alg, { claims: { nonce: 'other' } }),
  'no nonce': sign(alg, { claims: { nonce: undefined } }),
  'ath of another token': sign(alg, { claims: { ath: await ath('other') } }),
  'no ath': sign(alg, { claims: { ath: undefined } }),
  'iat too old': sign(alg, { claims: { iat: now - 301 } }),
  'iat in the future': sign(alg, { claims: { iat: now + 61 } }),
  'iat in milliseconds': sign(alg, { claims: { iat: now * 1000 } }),
  'no jti': sign(alg, { claims: { jti: undefined } }),
  'another key than the bound one': sign('ES256', { by: stranger }),
  'typ JWT': sign(alg, { header: { typ: 'JWT' } }),
  'no jwk': sign(alg, { header: { jwk: undefined } }),
  'jwk of another key': sign(alg, { header: { jwk: await jose.exportJWK(stranger.publicKey) } }),
  'private member in jwk': jose.exportJWK(keys[alg].privateKey).then((jwk) => sign(alg, { header: { jwk } })),
  'symmetric key and HS256': new jose.SignJWT({ htm: method, htu: url, iat: now, jti: randomUUID(), nonce, ath: await ath(access_token) })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'HS256', jwk: await publicOf(alg) }).sign(new Uint8Array(32)),
  'corrupted signature': sign(alg).then((proof) => corrupt(proof, 2)),
  'corrupted claims': sign(alg).then((proof) => corrupt(proof, 1)),
  'no signature': sign(alg).then((proof) => proof.replace(/[^.]*$/, '')),
});

const context = { method, url: `${url}?page=2`, now, max_age_s: 300, future_skew_s: 60, nonces: ['older', nonce], access_token, algs: ALGS };
async function makeCases(alg) {
  const jkt = await jktOf(keys[alg]);
  const good = {
    jose: sign(alg),
    'jose, oldest iat': sign(alg, { claims: { iat: now - 299 } }),
    'jose, claims and header members of no meaning here': sign(alg, { header: { kid: 'x' }, claims: { exp: now + 5, iss: 'x' } }),
    oauth4webapi: byOauth4webapi(alg),
    ...(BY_DPOP.includes(alg) && { 'npm dpop': dpop.generateProof(keys[alg], url, method, nonce, access_token) }),
  };
  const rows = (proofs, expected) => Promise.all(Object.entries(proofs).map(async ([name, proof]) => (
    { id: `${alg}: ${name}`, proof: await proof, context: { ...context, jkt }, expect: expected, ...(expected === 'accept' && { jkt }) }
  )));
  return [...await rows(good, 'accept'), ...await rows(await defects(alg), 'reject')];
}
const cases = (await Promise.all(ALGS.map(makeCases))).flat();
const vectors = (rows) => execute('possession', ['vectors', file({ version: '1.0.0', source: 'npm jose, dpop and oauth4webapi', kind: 'proof', cases: rows })]);
const summary = ({ stdout, stderr }) => /(\d+) passed, (\d+) failed/.exec(stdout + stderr)?.slice(1).map(Number);

for (const alg of ALGS) {
  await check(`vectors: ${alg} proofs by jose, dpop and oauth4webapi, and one defect each`, async () => {
    const rows = cases.filter(({ id }) => id.startsWith(`${alg}:`));
    const result = await vectors(rows);
    same([result.code, ...summary(result) ?? []], [0, rows.length, 0], `exit code, passed and failed, after "${(result.stdout + result.stderr).trim()}"`);
  });
}
await check('vectors: rows that tell the contrary fail, by their id', async () => {
  const contrary = ['accept', 'reject'].map((expected) => cases.find((row) => row.expect === expected)).map((row) => ({ ...row, expect: row.expect === 'accept' ? 'reject' : 'accept' }));
  const result = await vectors([...contrary, cases[1]]);
  same([result.code, ...summary(result) ?? []], [1, 1, 2], 'exit code, passed and failed');
  for (const { id } of contrary) expect((result.stdout + result.stderr).includes(id), `${id} is not named`);
});
await check('vectors: a thumbprint that is not the key\'s fails', async () => {
  const result = await vectors([{ ...cases[0], context: { ...context, jkt: undefined }, jkt: await jktOf(stranger) }]);
  same([result.code, ...summary(result) ?? []], [1, 0, 1], 'exit code, passed and failed');
});
