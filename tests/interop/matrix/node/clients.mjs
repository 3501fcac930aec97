// Usage: node clients.mjs PACKAGE. Makes proofs with a package; see ../README.md.
import * as crypto from 'node:crypto';
import * as jose from 'jose';
import { inside, installed, message, serve } from './lines.mjs';

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const keys = new Map();
/** Returns a WebCrypto key pair for an algorithm, always the same. */
async function keyPair(alg) {
  if (!keys.has(alg)) keys.set(alg, await jose.generateKeyPair(alg === 'EdDSA' ? 'Ed25519' : alg, { extractable: true }));
  return keys.get(alg);
}
const ok = () => new Response('{}', { headers: { 'content-type': 'application/json' } });
const challenge = (nonce) => new Response('{}', { status: 401, headers: { 'dpop-nonce': nonce, 'www-authenticate': 'DPoP error="use_dpop_nonce"' } });

/** Gives a fetch that answers without a network and keeps the last request, which a challenge may make a second one. */
function recorder(nonce) {
  const answers = nonce ? [challenge(nonce), ok()] : [ok()];
  const seen = {};
  const fetch = async (input, init) => {
    const request = new Request(input, init);
    Object.assign(seen, { proof: request.headers.get('dpop'), url: request.url, method: request.method });
    return answers.shift() ?? ok();
  };
  return { seen, fetch };
}

/** For each package: the algorithms that it makes proofs with, what it cannot do, and a function that makes one. */
const clients = {
  async dpop() {
    const { generateProof } = await import('dpop');
    return {
      algs: ['ES256', 'Ed25519', 'RS256', 'PS256'],
      prove: async ({ method, url, alg, nonce, access_token }) => ({ proof: await generateProof(await keyPair(alg), url.replace(/\?.*/, ''), method, nonce, access_token) }),
    };
  },
  async oauth4webapi() {
    const oauth = await import('oauth4webapi');
    return {
      algs: ['ES256', 'ES384', 'Ed25519', ...RSA],
      async prove({ method, url, alg, nonce, access_token }) {
        const { seen, fetch } = recorder(nonce);
        const options = { DPoP: oauth.DPoP({}, await keyPair(alg)), [oauth.customFetch]: fetch, [oauth.allowInsecureRequests]: true };
        if (!access_token) {
          const server = { issuer: 'https://as.example', token_endpoint: url };
          await oauth.genericTokenEndpointRequest(server, { client_id: 'client' }, oauth.None(), 'client_credentials', {}, options);
          return seen;
        }
        const call = () => oauth.protectedResourceRequest(access_token, method, new URL(url), undefined, undefined, options);
        await call().catch((error) => { if (!nonce) throw error; });
        if (nonce) await call();
        return seen;
      },
    };
  },
  async 'openid-client'() {
    const client = await import('openid-client');
    return {
      algs: ['ES256', 'ES384', 'Ed25519', ...RSA],
      async prove({ method, url, alg, nonce, access_token }) {
        const { seen, fetch } = recorder(nonce);
        const server = { issuer: 'https://as.example', token_endpoint: url };
        const config = new client.Configuration(server, 'client');
        config[client.customFetch] = fetch;
        client.allowInsecureRequests(config);
        const DPoP = client.getDPoPHandle(config, await keyPair(alg));
        if (!access_token) await client.genericGrantRequest(config, 'client_credentials', {}, { DPoP }).catch((error) => { if (!seen.proof) throw error; });
        else await client.fetchProtectedResource(config, access_token, new URL(url), method, undefined, undefined, { DPoP });
        return seen;
      },
    };
  },
  // createDpopHeader has no parameter for a nonce or an access token.
  async '@inrupt/solid-client-authn-core'() {
    const { createDpopHeader } = await import('@inrupt/solid-client-authn-core');
    return {
      algs: ['ES256'],
      nonces: false,
      tokens: false,
      async prove({ method, url, alg }) {
        const { privateKey, publicKey } = await keyPair(alg);
        return { proof: await createDpopHeader(url, method, { privateKey, publicKey: await jose.exportJWK(publicKey) }) };
      },
    };
  },
  async '@atproto/oauth-client'() {
    const { dpopFetchWrapper } = await inside('@atproto/oauth-client', 'dist/fetch-dpop.js');
    const { JoseKey } = await import('@atproto/jwk-jose');
    return {
      algs: ['ES256', 'ES384', ...RSA],
      async prove({ method, url, alg, nonce, access_token }) {
        const { seen, fetch } = recorder(nonce);
        const key = await JoseKey.fromImportable(await jose.exportPKCS8((await keyPair(alg)).privateKey), '1');
        const nonces = new Map();
        const wrapped = dpopFetchWrapper({ key, supportedAlgs: [alg], fetch, isAuthServer: false, nonces: { get: async (origin) => nonces.get(origin), set: async (origin, value) => { nonces.set(origin, value); } } });
        await wrapped(url, { method, headers: { authorization: `DPoP ${access_token}` } });
        return seen;
      },
    };
  },
  async '@atcute/oauth-crypto'() {
    const { createDpopProofSigner } = await import('@atcute/oauth-crypto');
    return {
      algs: ['ES256', 'ES384', ...RSA],
      async prove({ method, url, alg, nonce, access_token }) {
        const jwk = { ...await jose.exportJWK((await keyPair(alg)).privateKey), alg };
        const ath = access_token && crypto.hash('sha256', access_token, 'base64url');
        return { proof: await createDpopProofSigner(jwk)(method, url.replace(/\?.*/, ''), nonce, ath) };
      },
    };
  },
  // It leaves the signature to its user, here to jose.
  async '@openid4vc/oauth2'() {
    const { resourceRequest, setGlobalConfig } = await import('@openid4vc/oauth2');
    setGlobalConfig({ allowInsecureUrls: true });
    return {
      algs: ['ES256', 'ES384', 'Ed25519', 'EdDSA', ...RSA],
      async prove({ method, url, alg, nonce, access_token }) {
        const { privateKey, publicKey } = await keyPair(alg);
        const publicJwk = await jose.exportJWK(publicKey);
        const { seen, fetch } = recorder(nonce);
        const callbacks = {
          fetch,
          hash: (data, name) => crypto.createHash(name.replace('-', '')).update(data).digest(),
          generateRandom: (length) => crypto.randomBytes(length),
          signJwt: async (_, { header, payload }) => ({ jwt: await new jose.SignJWT(payload).setProtectedHeader(header).sign(privateKey), signerJwk: publicJwk }),
        };
        const dpop = { signer: { method: 'jwk', alg, publicJwk } };
        await resourceRequest({ url, requestOptions: { method }, accessToken: access_token, dpop, callbacks });
        return seen;
      },
    };
  },
  async 'oidc-client-ts'() {
    globalThis.window = { crypto };
    const { DPoPState, User, UserManager } = await import('oidc-client-ts');
    return {
      algs: ['ES256'],
      async prove({ method, url, alg, nonce, access_token }) {
        const store = { get: async () => new DPoPState(await keyPair(alg), nonce), getAllKeys: async () => ['client'], set: async () => {}, remove: async () => {} };
        const noStore = { get: async () => null, set: async () => {}, remove: async () => {}, getAllKeys: async () => [] };
        const manager = new UserManager({ authority: 'https://as.example', client_id: 'client', redirect_uri: 'https://client.example/cb', dpop: { store }, userStore: noStore, stateStore: noStore, monitorSession: false, automaticSilentRenew: false });
        return { proof: await manager.dpopProof(url.replace(/\?.*/, ''), new User({ access_token, token_type: 'DPoP' }), method, nonce) };
      },
    };
  },
};

const name = process.argv[2];
const { algs, nonces = true, tokens = true, prove } = await clients[name]();
await serve({ ...installed(name), algs, nonces, tokens }, async (request) => prove(request).catch((error) => ({ error: message(error) })));
