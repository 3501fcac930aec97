// What holds for every request that a server of these checks saw, whatever became of it.
import * as jose from 'jose';
import { expect, same } from './harness.mjs';

const seen = new Set();
function once(jti) {
  expect(typeof jti === 'string' && !seen.has(jti), `jti sent twice or absent: ${jti}`);
  seen.add(jti);
}

/** Returns what the server was asked since the last time. */
export const takeLog = async ({ control }) => (await fetch(control)).json();

/**
 * Checks the proofs and assertions of a client. `mayLack` says which requests may be without a proof; none has one
 * beyond the resources and the `proven` endpoints.
 */
export function audit(log, { client_id, method }, issuer, { mayLack = () => false, proven = ['/token', '/request'] } = {}) {
  const nonces = new Map(); // the latest one of each origin and part: what the next proof there must carry, and no other
  for (const entry of log) {
    const { part, host, method: verb, path, at, proof, scheme, form, client_assertion, next_nonce } = entry;
    if (part !== 'rs' && !proven.includes(path)) expect(!proof, `a proof at ${path}`);
    else if (!mayLack(entry)) expect(proof, `no readable proof at ${path}`);
    if (proof) {
      const { jti, htm, htu, iat, nonce, ath } = proof.claims;
      once(jti);
      same(proof.typ, 'dpop+jwt', 'typ');
      const members = { EC: ['crv', 'kty', 'x', 'y'], RSA: ['e', 'kty', 'n'], OKP: ['crv', 'kty', 'x'] };
      same(proof.members.sort(), members[proof.kty], 'members of jwk');
      same(htm, verb, 'htm');
      same(htu.replace(/^https?:/, ''), `//${host}${path.split('?')[0]}`, 'htu');
      expect(Number.isInteger(iat) && iat <= at && iat > at - 30, `iat is ${iat} at ${at}`);
      same(nonce, nonces.get(`${part} ${host}`), `nonce at ${path}`);
      same(ath === undefined, part === 'as', 'no ath at the token endpoint, one at the resource');
    }
    if (proof || form) same(scheme, part === 'rs' ? 'DPoP' : method === 'client_secret_basic' ? 'Basic' : undefined, `scheme of Authorization at ${path}`);
    if (next_nonce) nonces.set(`${part} ${host}`, next_nonce);
    if (client_assertion) {
      const { jti, iss, sub, aud, iat, exp } = jose.decodeJwt(client_assertion);
      once(jti);
      same([iss, sub, aud], [client_id, client_id, issuer], 'iss, sub and aud of the assertion');
      expect(exp - iat <= 60, `the assertion lives ${exp - iat} s`);
      same(jose.decodeProtectedHeader(client_assertion).typ, 'client-authentication+jwt', 'typ of the assertion');
    }
  }
}
