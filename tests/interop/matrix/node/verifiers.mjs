// Usage: node verifiers.mjs PACKAGE. Verifies proofs with a package; see ../README.md.
import * as crypto from 'node:crypto';
import * as http from 'node:http';
import { createRequire } from 'node:module';
import * as jose from 'jose';
import { inside, installed, message, serve, tokens } from './lines.mjs';

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const WEB_CRYPTO = ['ES256', 'ES384', 'Ed25519', 'EdDSA', ...RSA];
const require = createRequire(import.meta.url);
const binding = (actual, jkt) => { if (actual !== jkt) throw new Error('the token is bound to another key'); };
const listen = (handler) => new Promise((done) => {
  const server = http.createServer(handler).listen(0, '127.0.0.1', () => done(server.address().port));
});
const jwksUri = async () => `http://127.0.0.1:${await listen((_, response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(tokens.jwks)))}/jwks`;

/** A resource server on loopback behind a proxy, which gets the request as a client sent it. */
async function behindProxy(middleware) {
  const express = (await import('express')).default;
  const app = express().set('trust proxy', true).use(middleware).use((_, response) => response.send('ok'))
    .use((error, _, response, __) => response.status(error.status ?? 500).set(error.headers ?? {}).send(error.message));
  const port = await listen(app);
  return ({ method, url, access_token, proof }) => new Promise((accepted, refused) => {
    const [, scheme, host, path] = /^(\w+):\/\/([^/?]*)(.*)$/.exec(url);
    const headers = { host, 'x-forwarded-proto': scheme, authorization: `DPoP ${access_token}`, dpop: proof };
    http.request({ host: '127.0.0.1', port, method, path: path || '/', headers }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => { body += text; }).on('end', () => {
        if (response.statusCode === 200) accepted(response);
        else refused(Object.assign(new Error(`${response.statusCode} ${response.headers['www-authenticate'] ?? body}`), { response }));
      });
    }).on('error', refused).end();
  });
}

/** For each package: the algorithms that it knows, whether it has nonces, and a function that throws if it refuses a proof. */
const verifiers = {
  async oauth4webapi() {
    const oauth = await import('oauth4webapi');
    const server = { issuer: tokens.issuer, jwks_uri: `${tokens.issuer}/jwks` };
    const options = { requireDPoP: true, [oauth.jwksCache]: { jwks: tokens.jwks, uat: Math.floor(Date.now() / 1000) } };
    return {
      algs: WEB_CRYPTO,
      resourcesOnly: true,
      async verify({ method, url, proof, access_token }) {
        const request = new Request(url, { method, headers: { authorization: `DPoP ${access_token}`, dpop: proof } });
        await oauth.validateJwtAccessToken(server, request, tokens.audience, options);
      },
    };
  },
  // The function of its endpoints, so that any URL can be verified.
  async 'oidc-provider'() {
    console.warn = console.info = () => {};
    const { Provider } = await import('oidc-provider');
    const { default: validate } = await inside('oidc-provider', 'lib/helpers/validate_dpop.js');
    const { default: instance } = await inside('oidc-provider', 'lib/helpers/weak_cache.js');
    const provider = new Provider(tokens.issuer, { features: { dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 1) } } });
    instance(provider).configuration.dPoPSigningAlgValues = WEB_CRYPTO;
    return {
      algs: WEB_CRYPTO,
      nonce: async () => instance(provider).DPoPNonces.nextChallenge(),
      async verify({ method, url, proof, access_token, jkt }) {
        const oidc = { provider, route: 'resource', urlFor: () => url.replace(/\?.*/, '') };
        const { thumbprint } = await validate(provider, { method, get: () => proof, set() {}, oidc }, access_token);
        if (access_token) binding(thumbprint, jkt);
      },
    };
  },
  async '@atproto/oauth-provider'() {
    const { DpopManager } = await inside('@atproto/oauth-provider', 'dist/dpop/dpop-manager.js');
    const [plain, withNonces] = [new DpopManager({ dpopSecret: false }), new DpopManager({ dpopSecret: Buffer.alloc(32, 1) })];
    return {
      algs: WEB_CRYPTO,
      nonce: async () => withNonces.nextNonce(),
      async verify({ method, url, proof, access_token, jkt, nonce }) {
        const checked = await (nonce ? withNonces : plain).checkProof(method, new URL(url), { dpop: proof }, access_token);
        if (access_token) binding(checked.jkt, jkt);
      },
    };
  },
  async '@atcute/oauth-crypto'() {
    const { verifyDpopProof } = await import('@atcute/oauth-crypto');
    return {
      algs: ['ES256', 'ES384', ...RSA],
      nonce: async () => 'eyJ7S_zG.eyJH0-Z.HX4w-7v',
      async verify({ method, url, proof, access_token, jkt, nonce }) {
        const nonces = nonce && { check: async (given) => given === nonce };
        const verified = await verifyDpopProof(proof, { method, url: url.replace(/\?.*/, ''), nonce: nonces });
        if (access_token) binding(verified.jkt, jkt);
      },
    };
  },
  // It leaves the signature to its user, here to jose.
  async '@openid4vc/oauth2'() {
    const { Oauth2AuthorizationServer, setGlobalConfig } = await import('@openid4vc/oauth2');
    setGlobalConfig({ allowInsecureUrls: true });
    const callbacks = {
      hash: (data, name) => crypto.createHash(name.replace('-', '')).update(data).digest(),
      async verifyJwt({ publicJwk, alg }, { compact }) {
        await jose.compactVerify(compact, await jose.importJWK(publicJwk, alg));
        return { verified: true, signerJwk: publicJwk };
      },
    };
    const server = new Oauth2AuthorizationServer({ callbacks });
    return {
      algs: WEB_CRYPTO,
      nonce: async () => 'eyJ7S_zG.eyJH0-Z.HX4w-7v',
      async verify({ method, url, proof, access_token, jkt, nonce }) {
        await server.verifyDpopJwt({ dpopJwt: proof, request: { method, url, headers: new Headers() }, accessToken: access_token, expectedNonce: nonce, expectedJwkThumbprint: jkt });
      },
    };
  },
  async '@solid/access-token-verifier'() {
    const { createSolidTokenVerifier } = require('@solid/access-token-verifier');
    const keys = { getKeySet: async () => jose.createLocalJWKSet(tokens.jwks) };
    const verify = createSolidTokenVerifier(undefined, keys, { getIssuers: async () => [tokens.issuer] });
    return {
      algs: ['ES256', 'ES384', ...RSA],
      resourcesOnly: true,
      verify: ({ method, url, proof, access_token }) => verify(`DPoP ${access_token}`, { header: proof, method, url }),
    };
  },
  async 'express-oauth2-jwt-bearer'() {
    const { auth } = require('express-oauth2-jwt-bearer');
    const send = await behindProxy(auth({ issuer: tokens.issuer, jwksUri: await jwksUri(), audience: tokens.audience, tokenSigningAlg: 'ES256', dpop: { enabled: true, required: true } }));
    return { algs: WEB_CRYPTO, resourcesOnly: true, verify: send };
  },
  async 'express-oauth2-dpop'() {
    const { authMiddleware } = await import('express-oauth2-dpop');
    const used = new Map();
    const jtiStore = { get: async (jti) => used.get(jti), set: async (jti, data) => used.set(jti, data) };
    const send = await behindProxy(authMiddleware({ issuer: tokens.issuer, jwksUri: await jwksUri(), audience: tokens.audience, nonceSecret: '01'.repeat(32), jtiStore }));
    return {
      algs: ['ES256', 'EdDSA', 'RS256', 'PS256'],
      alwaysNonce: true,
      resourcesOnly: true,
      // It is for one access token, and comes with the refusal of a proof that has none.
      nonce: ({ method, url, access_token, proof }) => send({ method, url, access_token, proof })
        .then(() => undefined, ({ response }) => response.headers['dpop-nonce']),
      verify: send,
    };
  },
};

const name = process.argv[2];
const verifier = await verifiers[name]();
const { algs, nonce, alwaysNonce = false, resourcesOnly = false } = verifier;
await serve({ ...installed(name), algs, nonces: Boolean(nonce), always_nonce: alwaysNonce, resources_only: resourcesOnly }, async (request) => {
  if (request.op === 'nonce') return { nonce: await nonce(request) };
  return verifier.verify(request).then(() => ({ outcome: 'accepted' }), (error) => ({ outcome: 'refused', message: message(error) }));
});
