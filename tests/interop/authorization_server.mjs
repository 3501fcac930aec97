// The example `authorization_server` with oauth4webapi, with PyPI requests_oauth2client and with the example
// `client_credentials`; its tokens at the example `resource_server`.
import { join } from 'node:path';
import * as dpop from 'dpop';
import * as oauth from 'oauth4webapi';
import { check, example, execute, expect, keepSecret, launch, same } from './harness.mjs';

const program = (name, args, env) => launch(example(name), ['--port', '0', ...args], env);
const AUDIENCE = 'https://orders.interop.test/';

/** Both examples as programs of their own, and together in one. */
async function pair(opaque) {
  const server = await program('authorization_server', [...opaque ? ['--opaque'] : [], '--resource', 'http://first.interop.test', '--resource', AUDIENCE]);
  keepSecret(server.client_secret);
  const introspect = opaque ? ['--introspect', '--client-id', server.client_id, '--secret-env', 'CLIENT_SECRET'] : [];
  const api = await program('resource_server', ['--issuer', server.issuer, '--dangerous-http', '--audience', AUDIENCE, ...introspect], { CLIENT_SECRET: server.client_secret });
  const together = await program('resource_server', opaque ? ['--introspect'] : []);
  keepSecret(together.client_secret);
  return { separate: { ...server, url: api.url, audience: AUDIENCE }, together: { ...together, audience: together.url } };
}
const pairs = { jwt: await pair(false), opaque: await pair(true) };

const options = { [oauth.allowInsecureRequests]: true };
const again = (send) => send().catch((err) => { if (oauth.isDPoPNonceError(err)) return send(); throw err; });
async function discover(issuer) {
  return oauth.processDiscoveryResponse(new URL(issuer), await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...options }));
}

for (const [format, { separate, together }] of Object.entries(pairs)) {
  const client = { client_id: separate.client_id };
  const auth = oauth.ClientSecretBasic(separate.client_secret);

  await check(`authorization_server, ${format} token: oauth4webapi discovers, gets, validates, introspects and uses it`, async () => {
    const as = await discover(separate.issuer);
    const keys = await oauth.generateKeyPair('ES256');
    const DPoP = oauth.DPoP(client, keys);
    const jkt = await DPoP.calculateThumbprint();
    const answer = await again(async () => {
      const response = await oauth.clientCredentialsGrantRequest(as, client, auth, { resource: AUDIENCE, scope: 'orders:write orders:read' }, { ...options, DPoP });
      return oauth.processClientCredentialsResponse(as, client, response);
    });
    const token = answer.access_token;
    keepSecret(token);
    same([answer.token_type, answer.expires_in, answer.scope], ['dpop', 300, 'orders:write orders:read'], 'answer');
    same(token.split('.').length, format === 'jwt' ? 3 : 1, 'parts of the token');

    if (format === 'jwt') {
      const proof = await dpop.generateProof(keys, 'https://orders.interop.test/orders', 'GET', undefined, token);
      const request = (resource) => new Request(resource, { headers: { authorization: `DPoP ${token}`, dpop: proof } });
      const claims = await oauth.validateJwtAccessToken(as, request('https://orders.interop.test/orders'), AUDIENCE, { ...options, requireDPoP: true });
      same([claims.sub, claims.client_id, claims.cnf.jkt, claims.exp - claims.iat], [client.client_id, client.client_id, jkt, 300], 'sub, client_id, cnf.jkt, life');
      const wrong = await oauth.validateJwtAccessToken(as, request('https://orders.interop.test/orders'), 'https://other.interop.test', options).catch((err) => err);
      expect(wrong instanceof Error, 'valid for another audience');
    }
    const ask = async (what) => oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, what, options));
    const { active, token_type, client_id, aud, iss, scope, cnf, exp } = await ask(token);
    same([active, token_type, client_id, aud, iss, scope, cnf], [true, 'DPoP', client.client_id, AUDIENCE, separate.issuer, answer.scope, { jkt }], 'introspection');
    expect(Math.abs(exp - Date.now() / 1000 - 300) < 10, `exp ${exp}`);
    same(await ask('made-up'), { active: false }, 'introspection of a token nobody issued');

    const call = await again(() => oauth.protectedResourceRequest(token, 'POST', new URL(`${separate.url}/orders`), undefined, 'x', { ...options, DPoP }));
    same(call.status, 201, 'status of the call');
  });

  for (const alg of ['ES256', 'EdDSA']) {
    await check(`resource_server, ${format} token: PyPI requests_oauth2client ${alg} gets it and calls through both challenges`, async () => {
      const { issuer, client_id, client_secret, url, audience } = together;
      const run = await execute(join(import.meta.dirname, '.venv/bin/python'), [join(import.meta.dirname, 'client.py'), `${issuer}/token`, client_id, alg, audience, `${url}/orders`], { CLIENT_SECRET: client_secret });
      same(run.code, 0, `exit code, after "${run.stderr.trim().split('\n').at(-1)}"`);
      const { token_type, jkt, token, calls, bodies } = JSON.parse(run.stdout);
      same([token_type, token, calls], ['DPoP', [400, 200], [401, 200, 200, 201, 401]], 'token_type, answers of the token endpoint and of the resource');
      for (const body of bodies) same([body.client_id, body.for_key], [client_id, jkt], 'the caller as the API knows it');
    });
  }

  for (const [name, at] of Object.entries({ 'as programs of their own': separate, 'in one program': together })) {
    await check(`client_credentials with authorization_server and resource_server ${name}, ${format} token`, async () => {
      const args = (more) => [
        '--issuer', at.issuer, '--dangerous-http', '--client-id', at.client_id, '--auth', 'client_secret_basic', '--secret-env', 'CLIENT_SECRET',
        '--resource', at.audience, '--call', `${at.url}/orders?page=2`, ...more,
      ];
      for (const [more, status] of [
        [['--scope', 'orders:read'], 200], [['--scope', 'orders:write', '--method', 'POST'], 201], [['--scope', 'orders:write'], 403],
        [['--scope', 'orders:read', '--dpop-alg', 'Ed25519'], 200],
      ]) {
        const run = await execute('possession', ['token', ...args(more)], { CLIENT_SECRET: at.client_secret });
        same(run.code, 0, `exit code, after "${run.stderr.trimEnd().split('\n').at(-1)}"`);
        const { token_requests, call_status } = JSON.parse(run.stdout);
        same([token_requests, call_status], [2, status], `token requests and status with ${more.join(' ')}`);
      }
    });
  }
  await check(`authorization_server, ${format} token: for another resource it is refused`, async () => {
    const run = await execute('possession', ['token', 
      '--issuer', separate.issuer, '--dangerous-http', '--client-id', separate.client_id, '--auth', 'client_secret_basic', '--secret-env', 'CLIENT_SECRET',
      '--scope', 'orders:read', '--call', `${separate.url}/orders`,
    ], { CLIENT_SECRET: separate.client_secret });
    same(JSON.parse(run.stdout).call_status, 401, 'status');
  });
}

// -------------------------------------------------------------------------------------------- what the server refuses

const { separate: server } = pairs.jwt;
const keys = await dpop.generateKeyPair('ES256');
const endpoint = `${server.issuer}/token`;
const prove = (nonce) => dpop.generateProof(keys, endpoint, 'POST', nonce);
const basic = (secret = server.client_secret, id = server.client_id) => `Basic ${btoa(`${id}:${secret}`)}`;
const send = async (body, { proof, authorization = basic(), at = endpoint, type = 'application/x-www-form-urlencoded' } = {}) => fetch(at, {
  method: 'POST', body: `${body}`, headers: { 'content-type': type, ...authorization && { authorization }, ...proof && { dpop: proof } },
});
const grant = 'grant_type=client_credentials';
const nonce = (await send(grant, { proof: await prove() })).headers.get('dpop-nonce');
const introspection = `${server.issuer}/introspect`;
for (const [name, status, error, body, more] of [
  ['a wrong secret', 401, 'invalid_client', grant, { authorization: basic('wrong') }],
  ['another client', 401, 'invalid_client', grant, { authorization: basic(undefined, 'nobody') }],
  ['no client', 401, 'invalid_client', grant, { authorization: null }],
  ['a second way to authenticate', 400, 'invalid_request', `${grant}&client_secret=x`],
  ['another client_id in the form', 400, 'invalid_request', `${grant}&client_id=x`],
  ['JSON', 400, 'invalid_request', '{}', { type: 'application/json' }],
  ['a form that is too long', 400, 'invalid_request', `${grant}&x=${'x'.repeat(20_000)}`],
  ['a parameter twice', 400, 'invalid_request', `${grant}&scope=orders:read&scope=orders:read`],
  ['two resources', 400, 'invalid_target', `${grant}&resource=${AUDIENCE}&resource=${AUDIENCE}`],
  ['an unknown resource', 400, 'invalid_target', `${grant}&resource=https://nowhere.interop.test`],
  ['an unknown scope', 400, 'invalid_scope', `${grant}&scope=orders:read%20admin`],
  ['an empty scope', 400, 'invalid_scope', `${grant}&scope=`],
  ['another grant', 400, 'unsupported_grant_type', 'grant_type=password'],
  ['no grant', 400, 'invalid_request', 'x=y'],
  ['introspection with a wrong secret', 401, 'invalid_client', 'token=x', { authorization: basic('wrong'), at: introspection }],
  ['introspection of nothing', 400, 'invalid_request', '', { at: introspection }],
]) {
  await check(`authorization_server refuses ${name}`, async () => {
    const answer = await send(body, { proof: await prove(nonce), ...more });
    same([answer.status, await answer.json()], [status, { error }], 'status and body');
    same(answer.headers.get('cache-control'), 'no-store', 'Cache-Control');
    same(Boolean(answer.headers.get('www-authenticate')), status === 401, 'a challenge comes');
  });
}
await check('authorization_server: a client that fails is not challenged for a nonce', async () => {
  const answer = await send(grant, { proof: await prove(), authorization: basic('wrong') });
  same([answer.status, answer.headers.get('dpop-nonce')], [401, null], 'status and nonce');
});
await check('authorization_server: other methods and paths', async () => {
  same((await fetch(endpoint)).status, 405, 'status of GET /token');
  same((await fetch(`${server.issuer}/other`)).status, 404, 'status of /other');
});
for (const [code, args] of [[2, ['--no-such-option']], [2, ['stray']], [2, ['--port', '99999']], [1, ['--port', new URL(server.issuer).port]]]) {
  await check(`authorization_server ends with ${code}: ${args.join(' ').replace(/\d{4,}$/, (port) => (code === 1 ? 'TAKEN' : port))}`, async () => {
    const run = await execute('authorization_server', args);
    same([run.code, run.stdout, run.stderr.trimEnd().split('\n').length], [code, '', 1], `exit code, stdout, lines of stderr, after "${run.stderr.trim()}"`);
  });
}
