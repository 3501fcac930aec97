// Usage: node servers.mjs PACKAGE. A protected resource on loopback whose tokens and proofs a package verifies. Prints one
// line "READY {json}" (name, version, url) and runs until it is stopped. It adds nothing to what the package does.
import * as http from 'node:http';
import { createRequire } from 'node:module';
import { installed, message, tokens } from './lines.mjs';

const require = createRequire(import.meta.url);
const listen = (handler) => new Promise((done) => {
  const server = http.createServer(handler).listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${server.address().port}`));
});
const jwksUri = `${await listen((_, response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(tokens.jwks)))}/jwks`;

async function withExpress(middleware) {
  const express = (await import('express')).default;
  const app = express().use(middleware).get('/orders', (_, response) => response.json([]))
    .use((error, _, response, __) => response.status(error.status ?? 500).set(error.headers ?? {}).json({ error: error.code, error_description: error.message }));
  return listen(app);
}

const servers = {
  async oauth4webapi() {
    const oauth = await import('oauth4webapi');
    const server = { issuer: tokens.issuer, jwks_uri: jwksUri };
    const options = { requireDPoP: true, [oauth.allowInsecureRequests]: true };
    return listen(async (request, response) => {
      const url = `http://${request.headers.host}${request.url}`;
      try {
        const headers = Object.entries(request.headersDistinct).flatMap(([name, values]) => values.map((value) => [name, value]));
        await oauth.validateJwtAccessToken(server, new Request(url, { method: request.method, headers }), tokens.audience, options);
        response.setHeader('content-type', 'application/json').end('[]');
      } catch (error) {
        response.writeHead(401, { 'www-authenticate': `DPoP error="invalid_token", error_description="${message(error).replace(/[^ -~]|["\\]/g, ' ')}"` }).end();
      }
    });
  },
  async 'express-oauth2-jwt-bearer'() {
    const { auth } = require('express-oauth2-jwt-bearer');
    return withExpress(auth({ issuer: tokens.issuer, jwksUri, audience: tokens.audience, tokenSigningAlg: 'ES256', dpop: { enabled: true, required: true } }));
  },
  async 'express-oauth2-dpop'() {
    const { authMiddleware } = await import('express-oauth2-dpop');
    const used = new Map();
    const jtiStore = { get: async (jti) => used.get(jti), set: async (jti, data) => { used.set(jti, data); } };
    return withExpress(authMiddleware({ issuer: tokens.issuer, jwksUri, audience: tokens.audience, nonceSecret: '01'.repeat(32), jtiStore, enforceDPoP: true }));
  },
};

const name = process.argv[2];
const origin = await servers[name]();
console.log(`READY ${JSON.stringify({ ...installed(name), url: `${origin}/orders` })}`);
