// Usage: node peer.mjs PEER OPERATION MILLISECONDS, where PEER is oauth4webapi, dpop or jose.
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import * as dpop from 'dpop';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';

const [peer, operation, milliseconds] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url)));
const { method, url, access_token, nonce, max_age, issuer, audience } = read('../workload.json');
const epoch = () => Math.floor(Date.now() / 1000);
const ath = (token) => createHash('sha256').update(token).digest('base64url');
const newKey = () => crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);

// Each maker takes a WebCrypto key pair and resolves to a function that resolves to a proof.
const makers = {
  // jose is a library for JWTs: this is the minimum of code that makes a proof with it. The key is a CryptoKey, and the header
  // is made once.
  async jose({ privateKey, publicKey }) {
    const { kty, crv, x, y } = await jose.exportJWK(publicKey);
    const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } };
    return (token) =>
      new jose.SignJWT({ jti: randomUUID(), htm: method, htu: url, iat: epoch(), ath: ath(token), nonce })
        .setProtectedHeader(header)
        .sign(privateKey);
  },
  async dpop(pair) {
    return (token) => dpop.generateProof(pair, url, method, nonce, token);
  },
  // This is the method that its requests call. It is not in the types; a whole request would cost more.
  async oauth4webapi(pair) {
    const handle = oauth.DPoP({ client_id: 'client' }, pair);
    const target = new URL(url);
    handle.cacheNonce(new Response(null, { headers: { 'dpop-nonce': nonce } }), target);
    return async (token) => {
      const headers = new Headers();
      await handle.addProof(target, headers, method, token);
      return headers.get('dpop');
    };
  },
};

// These verify the proof alone, as for an opaque token whose `jkt` is known. npm dpop verifies nothing, and oauth4webapi
// verifies proofs only together with a JWT access token: see `withToken`.
const checkers = {
  async jose(proof, token, jkt) {
    const { payload, protectedHeader } = await jose.jwtVerify(proof, jose.EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: ['ES256'],
      maxTokenAge: max_age,
    });
    if ((await jose.calculateJwkThumbprint(protectedHeader.jwk)) !== jkt) throw new Error('key');
    if (typeof payload.jti !== 'string') throw new Error('jti');
    if (payload.htm !== method) throw new Error('htm');
    if (payload.htu !== url) throw new Error('htu');
    if (payload.ath !== ath(token)) throw new Error('ath');
    if (payload.nonce !== nonce) throw new Error('nonce');
  },
};

// The keys of the issuer are in its cache, so that nothing is fetched. It does not check the nonce.
const withToken = {
  oauth4webapi(jwks) {
    const as = { issuer, jwks_uri: `${issuer}/jwks` };
    const options = {
      requireDPoP: true,
      signingAlgorithms: ['ES256'],
      [oauth.jwksCache]: { jwks, uat: epoch() },
      [oauth.customFetch]: () => { throw new Error('an unexpected fetch'); },
    };
    return (request) => oauth.validateJwtAccessToken(as, request, audience, options);
  },
};

const request = (proof, token) => new Request(url, { method, headers: { authorization: `DPoP ${token}`, dpop: proof } });

async function tokenIssuer(jkt) {
  const pair = await newKey();
  const newToken = () =>
    new jose.SignJWT({ client_id: 'client', cnf: { jkt } })
      .setProtectedHeader({ typ: 'at+jwt', alg: 'ES256', kid: '1' })
      .setIssuer(issuer).setAudience(audience).setSubject('client').setJti('1').setIssuedAt().setExpirationTime('1h')
      .sign(pair.privateKey);
  return { newToken, jwks: { keys: [{ ...(await jose.exportJWK(pair.publicKey)), kid: '1', alg: 'ES256' }] } };
}

// Runs for about that time, or until `more` returns false. Returns the microseconds per `run`, with `atOnce` of them at a
// time.
async function forAbout(milliseconds, run, atOnce, more = () => true) {
  const start = performance.now();
  let [runs, elapsed] = [0, 0];
  do {
    if (atOnce === 1) await run();
    else await Promise.all(Array.from({ length: atOnce }, run));
    runs += atOnce;
    elapsed = performance.now() - start;
  } while (elapsed < milliseconds && more());
  return (elapsed * 1000) / runs;
}

// Prints the microseconds per `run`, after a warm-up of half the time.
async function measure(run, atOnce, more) {
  await forAbout(milliseconds / 2, run, atOnce, more);
  const microseconds = await forAbout(Number(milliseconds), run, atOnce, more);
  const { version } = read(`node_modules/${peer}/package.json`);
  console.log(JSON.stringify({ peer: `${peer} ${version}`, operation, microseconds }));
}

// Measures `check` with inputs (proofs or whole requests) that were made beforehand. Each is checked once. A first run
// estimates how many are needed.
async function measureEachOnce(make, check, atOnce) {
  const pool = async (count) => {
    const made = [];
    while (made.length < count) made.push(await make());
    let next = 0;
    return { run: () => check(made[next++]), more: () => next + atOnce <= count };
  };
  const sample = await pool(8 * 64);
  const microseconds = await forAbout(Infinity, sample.run, atOnce, sample.more);
  // `measure` runs for one and a half times as long; half as many inputs again are a margin.
  const { run, more } = await pool(Math.ceil((1.5 * 1.5 * milliseconds * 1000) / microseconds) + 8 * 64);
  await measure(run, atOnce, more);
}

// Reads cases of the self-test, one JSON object per line, and prints whether each is accepted.
async function verify(check) {
  for await (const line of createInterface({ input: process.stdin })) {
    const outcome = await check(JSON.parse(line)).then(() => 'accepted', () => 'refused');
    console.log(outcome);
  }
}

const has = (table) => table[peer] ?? (() => { throw new Error(`${peer} has no operation ${operation}`); })();
const key = await newKey();
const jkt = await jose.calculateJwkThumbprint(await jose.exportJWK(key.publicKey));
const [name, batch] = operation.split(/-(?=64$)/);
const atOnce = Number(batch ?? 1);
if (name === 'proof') {
  const prove = await has(makers)(key);
  await measure(() => prove(access_token), atOnce);
} else if (name === 'check') {
  const [check, prove] = [has(checkers), await makers[peer](key)];
  await measureEachOnce(() => prove(access_token), (proof) => check(proof, access_token, jkt), atOnce);
} else if (name === 'check-with-token' || name === 'check-with-new-token') {
  const [validator, prove, { newToken, jwks }] = [has(withToken), await makers[peer](key), await tokenIssuer(jkt)];
  const one = name === 'check-with-token' ? await newToken() : null;
  const make = async () => {
    const token = one ?? (await newToken());
    return request(await prove(token), token);
  };
  await measureEachOnce(make, validator(jwks), atOnce);
} else if (name === 'print') {
  console.log(await (await has(makers)(key))(access_token));
} else if (name === 'verify') {
  const check = has(checkers);
  await verify((given) => check(given.proof, given.access_token, given.jkt));
} else if (name === 'verify-with-token') {
  const validator = has(withToken);
  await verify(async (given) => validator(given.jwks)(request(given.proof, given.access_token)));
} else {
  throw new Error(`no operation ${operation}`);
}
