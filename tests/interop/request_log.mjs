// What a server was asked: GET /_control/log responds with it since the last such request, oldest first.
import * as jose from 'jose';

const LOG = '/_control/log';
let log = [];

/** Adds to the entry of the request that this is the response to. */
export const note = (res, more) => { res.entry = Object.assign(res.entry ?? {}, more); };

async function readProof(proof) {
  try {
    const { alg, typ, jwk } = jose.decodeProtectedHeader(proof);
    return { alg, typ, kty: jwk.kty, jkt: await jose.calculateJwkThumbprint(jwk), members: Object.keys(jwk), claims: jose.decodeJwt(proof) };
  } catch {
    return undefined;
  }
}

/** Records a request: `rs` is one to a protected resource, `as` any other. With VERBOSE in the environment it goes to standard error as well. */
export async function record(req, res, part = req.url.startsWith('/rs/') ? 'rs' : 'as') {
  const { authorization, dpop, host } = req.headers;
  const entry = { part, host, method: req.method, path: req.url, at: Date.now() / 1000 };
  res.entry = entry;
  log.push(entry);
  res.on('finish', () => {
    Object.assign(entry, { status: res.statusCode, next_nonce: res.getHeader('dpop-nonce') });
    if (process.env.VERBOSE) console.error(JSON.stringify(entry));
  });
  [entry.scheme, entry.credentials] = authorization?.split(' ') ?? [];
  entry.proof = await readProof(dpop);
}

/** Responds to a request of the checks. Returns whether it was one. */
export function control(req, res) {
  if (!req.url.startsWith('/_control/')) return false;
  if (req.url === LOG && req.method === 'GET') {
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(log));
    log = [];
  } else {
    res.writeHead(404).end();
  }
  return true;
}
