// The example `client_credentials` against oidc-provider: every way to authenticate, both worlds, and what must fail.
import { join } from 'node:path';
import * as jose from 'jose';
import { audit, takeLog } from './audit.mjs';
import { check, execute, expect, file, keepPemSecret, keepSecret, launch, noLeak, same } from './harness.mjs';

const server = (env) => launch(process.execPath, [join(import.meta.dirname, 'server.mjs')], env);
const [main, ed25519, eddsa] = await Promise.all([
  server({}),
  server({ DPOP_ALGS: 'Ed25519', AUTH_ALGS: 'Ed25519', AS_NONCE: '0' }),
  server({ DPOP_ALGS: 'EdDSA', AUTH_ALGS: 'EdDSA', AUTH_METHODS: 'client_secret_basic,private_key_jwt' }),
]);
const client = (id, { clients } = main) => clients.find((c) => c.client_id === id);
const basic = client('cc-basic');

/** The arguments and environment by which a client authenticates itself. */
function identify({ client_id, method, alg, client_secret, jwk, pem, kid, tls }, form) {
  const args = ['--client-id', client_id, '--auth', method];
  if (client_secret) args.push('--secret-env', 'INTEROP_SECRET');
  keepSecret(client_secret);
  if (method === 'client_secret_jwt') args.push('--auth-alg', alg);
  if (jwk) {
    args.push(...form === 'pem' ? ['--key', file(pem), '--kid', kid] : ['--key', file(jwk)]);
    keepSecret(jwk.d);
    keepPemSecret(pem);
  }
  if (tls) {
    args.push('--cert', file(tls.cert), '--cert-key', file(tls.key));
    keepPemSecret(tls.key);
  }
  return [args, client_secret && { INTEROP_SECRET: client_secret }];
}

/** One run of the example, with what the server saw of it. */
async function attempt(c, { server = main, scheme = 'http', issuer = server[scheme], form, trusting = true, args = [] } = {}) {
  const [identity, env] = identify(c, form);
  const trust = scheme === 'http' ? ['--dangerous-http'] : ['--ca', file(server.ca)];
  await takeLog(server);
  const run = await execute('possession', ['token', '--issuer', issuer, ...identity, ...(trusting ? trust : []), ...args], env);
  const log = await takeLog(server);
  keepSecret(...log.flatMap(({ credentials, access_token, client_assertion }) => [credentials, access_token, client_assertion]));
  noLeak(run);
  audit(log, c, issuer);
  return { ...run, lastLine: run.stderr.trimEnd().split('\n').at(-1), log, tokens: log.filter(({ path }) => path === '/token'), calls: log.filter(({ part }) => part === 'rs') };
}

/** The whole flow must succeed: a token bound to the proof key, and a call with it. */
async function granted(c, { server = main, scheme = 'http', origin = server[scheme], format = 'jwt', lax = '', verb = 'GET', scope = 'read', proofAlg = ['ES256'], jkt, args = [], ...options } = {}) {
  const resource = `${origin}/rs/${format}`;
  const call = ['--scope', scope, '--resource', resource, '--call', `${resource}${lax}/things/1?q=a%20b&r=%2F`, ...(verb === 'GET' ? [] : ['--method', verb])];
  const run = await attempt(c, { server, scheme, ...options, args: [...call, ...args] });
  same(run.code, 0, `exit code, after "${run.lastLine}"`);

  const statuses = (entries) => entries.map(({ status }) => status);
  same(statuses(run.tokens), server.as_nonce ? [400, 200] : [200], 'answers of the token endpoint');
  same(statuses(run.calls), lax ? [200] : [401, 200], 'answers of the resource');
  const host = new URL(c.tls ? server.alias : server[scheme]).host;
  expect(run.tokens.every((entry) => entry.host === host), `the token request went to ${run.tokens[0].host}, not ${host}`);
  const { form, bound_to } = run.tokens.at(-1);
  same([form.grant_type, form.scope, form.resource], ['client_credentials', scope, resource], 'form');
  const algs = [...run.tokens, ...run.calls].map(({ proof }) => proof.alg);
  expect(proofAlg.includes(algs[0]) && new Set(algs).size === 1, `alg of the proofs: ${algs}`);
  expect(run.tokens.concat(run.calls).every(({ proof }) => proof.jkt === bound_to), 'proofs by different keys');
  same(run.calls.at(-1).bound_to, bound_to, 'jkt the resource saw');
  if (jkt) same(bound_to, jkt, 'jkt of the key given');

  const { token_type, ...out } = JSON.parse(run.stdout);
  expect(/^dpop$/i.test(token_type), `token_type ${token_type}`);
  const wanted = { call_status: 200, expires_in: server.token_ttl, jkt: bound_to, scope, token_requests: run.tokens.length };
  same(Object.fromEntries(Object.entries(out).sort()), wanted, 'stdout');
  return run;
}

/** The run must fail with that exit code and a last line that matches every pattern, after so many token requests. */
async function refused(c, { says, requests, code = 1, ...options }) {
  const run = await attempt(c, options);
  same(run.code, code, `exit code, after "${run.lastLine}"`);
  same(run.stdout, '', 'stdout');
  for (const pattern of says) expect(pattern.test(run.lastLine), `the error says "${run.lastLine}", not ${pattern}`);
  expect(requests === undefined || run.tokens.length === requests, `${run.tokens.length} token requests, not ${requests}`);
  return run;
}

// --------------------------------------------------------------------------------------- authentication, both worlds

const ED = ['EdDSA', 'Ed25519'];
const OUTSIDE = ['ES512']; // assertion keys that only a signer from outside uses
for (const scheme of ['http', 'https']) {
  for (const c of main.clients) {
    if (c.client_id === 'cc-read-only' || ED.includes(c.alg) || OUTSIDE.includes(c.alg) || (c.tls && scheme === 'http')) continue;
    for (const form of c.jwk ? ['jwk', 'pem'] : [undefined]) {
      await check([scheme, c.method, form, `[${c.client_id}]`].filter(Boolean).join(' '), () => granted(c, {
        // Neither form says which of its algorithms an RSA key is registered for.
        scheme, form, args: c.alg === 'PS256' ? ['--auth-alg', c.alg] : [],
      }));
    }
  }
  // Which name of Ed25519: the only one the server knows, or the one asked for where it knows both.
  for (const [name, server, args] of [['EdDSA', eddsa], ['Ed25519', ed25519], ...ED.map((name) => [name, main, ['--auth-alg', name]])]) {
    const c = client(`cc-pkjwt-${name}`, server);
    for (const form of ['jwk', 'pem']) {
      await check(`${scheme} private_key_jwt ${form} [${c.client_id}], ${args?.join(' ') ?? 'the only name the server knows'}`, async () => {
        const run = await granted(c, { server, scheme, form, args, proofAlg: server === main ? ['ES256'] : [name] });
        const { alg, kid } = jose.decodeProtectedHeader(run.tokens[0].client_assertion);
        same(alg, name, 'alg of the assertion');
        same(kid, c.kid, 'kid of the assertion');
      });
    }
  }
}
for (const alg of OUTSIDE) {
  const c = client(`cc-pkjwt-${alg}`);
  for (const form of ['jwk', 'pem']) {
    await check(`private_key_jwt ${form} with a key for ${alg} is refused before anything is sent`, () => refused(c, { form, says: [/key|alg/i], requests: 0 }));
  }
}

// ------------------------------------------------------------------------------------------ proof keys and their names

const useEd = ['--dpop-alg', 'Ed25519'];
await check('proof key Ed25519, both names offered', () => granted(basic, { args: useEd, proofAlg: ED }));
await check('proof key Ed25519, metadata silent: EdDSA', () => granted(basic, { args: [...useEd, '--token-endpoint', `${main.http}/token`], proofAlg: ['EdDSA'] }));
await check('proof key ES256 where it is not offered', () => refused(client('cc-basic', eddsa), { server: eddsa, args: ['--dpop-alg', 'ES256'], says: [/ES256|alg/], requests: 0 }));
for (const alg of ['ES256', 'Ed25519', 'ES384', 'PS256', 'RS256']) {
  for (const form of ['jwk', 'pem']) {
    await check(`proof key from a file: ${alg} ${form}`, async () => {
      const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
      const [jwk, pem] = [await jose.exportJWK(privateKey), await jose.exportPKCS8(privateKey)];
      keepSecret(jwk.d);
      keepPemSecret(pem);
      const args = ['--dpop-key', file(form === 'pem' ? pem : jwk), ...(form === 'pem' && alg !== 'PS256' ? [] : ['--dpop-alg', alg])];
      await granted(basic, { args, jkt: await jose.calculateJwkThumbprint(jwk), proofAlg: alg === 'Ed25519' ? ED : [alg] });
    });
  }
}

// ------------------------------------------------------------------------------------------------ resources and tokens

await check('opaque token', () => granted(basic, { format: 'opaque' }));
await check('resource on an origin of its own', () => granted(basic, { origin: main.rs }));
await check('resource that demands no nonce', () => granted(basic, { lax: '-lax', format: 'opaque' }));
await check('POST with scope write', () => granted(basic, { verb: 'POST', scope: 'read write' }));
await check('token endpoint given, no discovery', async () => {
  const { log } = await granted(client('cc-pkjwt-ES256'), { args: ['--token-endpoint', `${main.http}/token`] });
  same(log[0].path, '/token', 'first request');
});
await check('further parameters, a value with = in it and a repeated name', async () => {
  const { tokens } = await granted(basic, { args: ['--param', 'x=1=2&3', '--param', 'y=a', '--param', 'y=b c'] });
  same([tokens[1].form.x, tokens[1].form.y], ['1=2&3', ['a', 'b c']], 'x and y');
});
await check('no scope, no resource, no call', async () => {
  const run = await attempt(basic);
  same(run.code, 0, `exit code, after "${run.lastLine}"`);
  const { token_requests, jkt, call_status } = JSON.parse(run.stdout);
  same([token_requests, jkt, call_status ?? null], [2, run.tokens[1].bound_to, null], 'token_requests, jkt and call_status');
});
await check('a call the resource refuses is told with its status', async () => {
  const run = await attempt(basic, { args: ['--scope', 'read', '--resource', `${main.http}/rs/jwt`, '--call', `${main.http}/rs/jwt`, '--method', 'POST'] });
  same(run.calls.map(({ status }) => status), [401, 403], 'answers of the resource');
  expect(run.code === 0 ? JSON.parse(run.stdout).call_status === 403 : run.code === 1 && /403/.test(run.lastLine), { code: run.code, last: run.lastLine });
});
await check('the trace shows every proof decoded, and the challenge', async () => {
  const run = await granted(basic);
  for (const { proof } of [...run.tokens, ...run.calls]) expect(run.stderr.includes(proof.claims.jti), 'a proof is missing from the trace');
  expect(run.stderr.includes('use_dpop_nonce'), 'no challenge in the trace');
});
await check('without arguments: the whole flow on loopback', async () => {
  const { code, stdout, stderr } = await execute('client_credentials', []);
  same(code, 0, 'exit code');
  expect([stdout, stderr].some((text) => /(^|\n)ok\n$/.test(text)), 'does not end with ok');
});

// ------------------------------------------------------------------------------------- what the server must refuse

const strangerKey = async () => {
  const { privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
  return { jwk: await jose.exportJWK(privateKey), pem: await jose.exportPKCS8(privateKey) };
};
const denied = [/invalid_client\b/, /\b401\b/];
const https = { scheme: 'https' };
for (const [name, c, { says = denied, ...options } = {}] of [
  ...['cc-basic', 'cc-post', 'cc-jwt-HS256'].map((id) => [`wrong secret [${id}]`, { ...client(id), client_secret: `not-the-secret-${'x'.repeat(64)}` }]),
  ['wrong private key', { ...client('cc-pkjwt-ES256'), ...await strangerKey() }],
  ...['cc-pkjwt-ES256', 'cc-jwt-HS256'].map((id) => [`wrong audience [${id}]`, client(id), { issuer: `${main.http}/other`, args: ['--token-endpoint', `${main.http}/token`] }]),
  ['unknown client', { ...basic, client_id: 'nobody' }],
  ['another method than the registered one', { ...basic, method: 'none', client_secret: undefined }],
  ['certificate of somebody else', { ...client('cc-tls-dn'), tls: main.stranger }, https],
  ['certificate the CA did not issue', { ...client('cc-tls-dn'), tls: client('cc-tls-self-signed').tls }, https],
  ['certificate that is not registered', { ...client('cc-tls-self-signed'), tls: main.stranger }, https],
  ['unknown resource', basic, { args: ['--resource', 'https://nowhere.test/'], says: [/invalid_target\b/, /\b400\b/] }],
  ['two resources, refused by this server', basic, { args: ['jwt', 'opaque'].flatMap((format) => ['--resource', `${main.http}/rs/${format}`]), says: [/invalid_target\b/, /\b400\b/] }],
  ['scope the client may not have', client('cc-read-only'), { args: ['--scope', 'write'], says: [/invalid_scope\b/, /\b400\b/] }],
]) await check(`refused: ${name}`, async () => expect((await refused(c, { says, ...options })).tokens.length > 0, 'nothing was sent'));

// ----------------------------------------------------------------------- what must fail before a token request is sent

const p521 = file(client('cc-pkjwt-ES512').jwk);
const { x, y } = (await strangerKey()).jwk;
for (const [name, c, { says, ...options }] of [
  ['method the metadata does not list', client('cc-post'), { server: eddsa, says: [/client_secret_post/] }],
  ['secret too short for HS256', { ...client('cc-jwt-HS256'), client_secret: 'only-16-bytes-ab' }, { says: [/secret/i] }],
  ['private JWK whose public half is another key', { ...client('cc-pkjwt-ES256'), jwk: { ...client('cc-pkjwt-ES256').jwk, x, y } }, { says: [/key|public/i] }],
  ['proof key of a kind not supported', basic, { args: ['--dpop-key', p521], says: [/P-521/] }],
  ['http without the option', basic, { trusting: false, code: 2, says: [/--dangerous-http/] }],
  ['http beyond loopback', basic, { issuer: 'http://as.interop.test', code: 2, says: [/http|loopback/] }],
  ['CA not trusted', basic, { scheme: 'https', trusting: false, says: [/certificate|issuer|tls/i] }],
  ['metadata of another issuer', basic, { issuer: main.http.replace('127.0.0.1', 'localhost'), says: [/issuer/] }],
  ['issuer without metadata', basic, { issuer: `${main.http}/tenant`, says: [/404/] }],
  ['parameter that is the library\'s own', basic, { args: ['--param', 'grant_type=password'], code: 2, says: [/grant_type/] }],
  ['nobody listens', basic, { issuer: 'http://127.0.0.1:1', says: [/127\.0\.0\.1/] }],
]) await check(`nothing sent: ${name}`, () => refused(c, { says, requests: 0, ...options }));

// --------------------------------------------------------------------------------------------------------------- usage

const usage = ['--issuer', main.http, '--dangerous-http', '--client-id', 'cc-none'];
const none = [...usage, '--auth', 'none'];
for (const args of [
  ['--no-such-option'], ['stray'], ['--issuer'], ['--issuer', main.http], none.slice(2),
  [...usage, '--auth', 'telepathy'], [...usage, '--auth', 'client_secret_basic'], [...usage, '--auth', 'private_key_jwt'], [...usage, '--auth', 'tls_client_auth'],
  [...none, '--dpop-alg', 'none'], [...usage, '--auth', 'client_secret_jwt', '--secret-env', 'PATH', '--auth-alg', 'none'], [...none, '--param', 'no-value'], [...none, '--cert', file(main.ca)],
]) {
  await check(`bad usage: ${args.map((arg) => arg.replace(/^[/].*/, 'FILE').replace(main.http, 'ISSUER')).join(' ')}`, async () => {
    await takeLog(main);
    const { code, stdout, stderr } = await execute('possession', ['token', ...args]);
    same([code, stdout], [2, ''], `exit code and stdout, after "${stderr.trim()}"`);
    expect(stderr.trim(), 'silent');
    same((await takeLog(main)).length, 0, 'requests');
  });
}
for (const [name, method, option, value] of [
  ['environment variable not set', 'client_secret_basic', '--secret-env', 'NOT_SET'],
  ['missing file', 'private_key_jwt', '--key', '/no/such/file'],
  ['file that holds no key', 'private_key_jwt', '--key', file('no key')],
]) {
  await check(`told by name: ${name}`, async () => {
    const { code, stderr } = await execute('possession', ['token', ...usage, '--auth', method, option, value]);
    expect([1, 2].includes(code) && stderr.includes(value), { code, stderr });
  });
}
await check('--help', async () => {
  const { code, stdout, stderr } = await execute('possession', ['token', '--help']);
  same(code, 0, 'exit code');
  for (const option of ['--issuer', '--auth', '--dpop-key', '--dangerous-http']) expect((stdout + stderr).includes(option), `${option} is not told`);
});
