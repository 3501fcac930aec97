// The grants of users and the endpoints that go with them, by way of the program `interop_driver`, against oidc-provider:
// public and confidential clients, with browser.mjs as the user.
import { join } from 'node:path';
import { Browser } from './browser.mjs';
import { acting as drive } from './driver.mjs';
import { check, expect, keepSecret, launch, same } from './harness.mjs';

const server = await launch(process.execPath, [join(import.meta.dirname, 'server.mjs')]);
const REDIRECT_URI = 'http://127.0.0.1:49152/callback';
const RESOURCE = `${server.rs}/rs/opaque`;
const CIBA = 'urn:openid:params:grant-type:ciba';
const [publicClient, basic, ciba] = ['user-none', 'user-basic', 'user-ciba'].map((id) => server.users.find(({ client_id }) => client_id === id));

/** Runs a check with a client of the server: see driver.mjs. */
const acting = (c, script, { scheme = 'http', resource = RESOURCE, mayLack } = {}) => drive(
  server, c, { issuer: server[scheme], ...(scheme === 'https' && { ca: server.ca }) },
  (client) => script(Object.assign(client, { scheme, resource, parameters: { resource } })), { mayLack },
);

const userOf = (client, options) => new Browser({ ca: client.scheme === 'https' ? server.ca : undefined, ...options });

/** Starts a sign-in and lets the user decide. Returns what came to the redirect URI, and what belongs to it. */
async function signIn(client, { key = 'a', by, user = userOf(client) } = {}) {
  const { url, pending } = await client.does('authorize', { key, by, redirect_uri: REDIRECT_URI, parameters: { scope: 'read', ...client.parameters } });
  const { url: callback } = await user.visit(url, REDIRECT_URI);
  const { searchParams } = new URL(callback);
  const { code_verifier } = JSON.parse(pending);
  keepSecret(searchParams.get('code'), code_verifier);
  return { pending, callback, raw: { code: searchParams.get('code'), code_verifier, redirect_uri: REDIRECT_URI } };
}

/** A sign-in with all that follows: tokens bound to key a. */
async function tokensOf(client, options) {
  const { pending, callback, raw } = await signIn(client, options);
  const tokens = await client.does('callback', { key: 'a', pending, url: callback, parameters: client.parameters });
  return { raw, ...tokens };
}

async function works(client, { access_token: token }, key = 'a') {
  same((await client.does('resource', { key, token, url: `${client.resource}/things?q=1` })).status, 200, 'status of the resource');
}

async function isRefused(client, { access_token: token }) {
  same((await client.does('resource', { key: 'a', token, url: client.resource })).status, 401, 'status of the resource');
}

const refresh = (client, { refresh_token }, key = 'a') => client.does('refresh', { key, refresh_token, parameters: client.parameters });
const invalidGrant = { error: 'invalid_grant', status: 400 };
const refusesToRefresh = (client, { refresh_token }, key = 'a') => client.fails('refresh', { key, refresh_token, parameters: client.parameters }, invalidGrant);

const signInClients = server.users.filter((c) => c !== ciba);

// --------------------------------------------------------------------------------------------- from sign-in to the end

/** Tokens are bound, work, rotate, and are dead after they were revoked. */
async function liveAndDie(client, tokens) {
  same([tokens.token_type, tokens.jkt], ['DPoP', client.jkt.a], 'token_type and jkt');
  await works(client, tokens);
  const renewed = await refresh(client, tokens);
  expect(renewed.refresh_token && renewed.refresh_token !== tokens.refresh_token, 'the refresh token was not replaced');
  expect(renewed.access_token !== tokens.access_token, 'the access token was not replaced');
  same(renewed.jkt, client.jkt.a, 'jkt of the new token');
  await works(client, renewed);
  const seen = await client.does('introspect', { token: renewed.access_token });
  same([seen.active, seen.cnf], [true, { jkt: client.jkt.a }], 'active and cnf of the introspection');
  await client.does('revoke', { token: renewed.refresh_token, parameters: { token_type_hint: 'refresh_token' } });
  await refusesToRefresh(client, renewed);
  await isRefused(client, renewed);
  same((await client.does('introspect', { token: renewed.access_token })).active, false, 'active after the revocation');
}

for (const scheme of ['http', 'https']) {
  const resource = scheme === 'http' ? RESOURCE : `${server.https}/rs/opaque`;
  for (const c of signInClients) {
    await check(`${scheme} code, refresh, introspection, revocation: pushed [${c.client_id}]`, () => acting(c, async (client) => {
      const { pending, callback } = await signIn(client);
      const [first, pushed, ...more] = await client.requests('/request');
      same([first?.error, pushed?.status, more.length], ['use_dpop_nonce', 201, 0], 'pushed requests');
      same([pushed.proof.jkt, pushed.form.dpop_jkt], [client.jkt.a, client.jkt.a], 'key of the proof, and dpop_jkt');
      same([pushed.form.code_challenge_method, pushed.form.response_type], ['S256', 'code'], 'pushed parameters');
      await liveAndDie(client, await client.does('callback', { key: 'a', pending, url: callback, parameters: client.parameters }));
    }, { scheme, resource }));
    await check(`${scheme} code, refresh, introspection, revocation: in the URL [${c.client_id}]`, () => acting(c, async (client) => {
      await liveAndDie(client, await tokensOf(client, { by: 'front_channel' }));
    }, { scheme, resource }));
    await check(`${scheme} device code [${c.client_id}]`, () => acting(c, async (client) => {
      const device = await client.does('device', { parameters: { scope: 'read', ...client.parameters } });
      keepSecret(device.user_code);
      await client.fails('device_code', { key: 'a', parameters: client.parameters }, { error: 'authorization_pending', status: 400 });
      const { status, page } = await userOf(client, { texts: { user_code: device.user_code } }).visit(device.verification_uri);
      expect(status === 200 && /Sign-in Success/.test(page), `the user is at: ${page}`);
      await liveAndDie(client, await client.does('device_code', { key: 'a', parameters: client.parameters }));
    }, { scheme, resource }));
  }
}

await check('device code: polling until the user has decided', () => acting(publicClient, async (client) => {
  const { user_code, verification_uri_complete: url } = await client.does('device', { parameters: { scope: 'read', ...client.parameters } });
  const [tokens] = await Promise.all([
    client.does('poll', { key: 'a', parameters: client.parameters }),
    userOf(client, { texts: { user_code } }).visit(url),
  ]);
  await works(client, tokens);
}));

await check('another grant: CIBA', () => acting(ciba, async (client) => {
  const response = await fetch(`${server.http}/backchannel`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${ciba.client_id}:${ciba.client_secret}`)}` },
    body: new URLSearchParams({ scope: 'openid read', login_hint: 'alice', ...client.parameters }),
  });
  const { auth_req_id } = await response.json();
  const tokens = await client.does('grant', { key: 'a', grant_type: CIBA, parameters: { auth_req_id, ...client.parameters } });
  same([tokens.jkt, Boolean(tokens.id_token)], [client.jkt.a, true], 'jkt, and whether there is an ID token');
  await works(client, tokens);
  await client.fails('grant', { key: 'a', grant_type: CIBA, parameters: { auth_req_id, ...client.parameters } }, invalidGrant);
}));

for (const method of ['none', 'client_secret_basic']) {
  await check(`registration, then a sign-in with what was registered [${method}]`, () => acting({ method }, async (client) => {
    const registered = await client.does('register', { metadata: {
      redirect_uris: ['http://127.0.0.1/callback'], token_endpoint_auth_method: method, application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], client_name: 'registered',
    } });
    same([registered.bound, Boolean(registered.secret)], [true, method !== 'none'], 'dpop_bound_access_tokens, and whether there is a secret');
    client.registered = { client_id: registered.client_id };
    await liveAndDie(client, await tokensOf(client));
  }));
}

await check('registration: metadata that the server does not accept', () => acting({ method: 'none' }, async (client) => {
  await client.fails('register', { metadata: { redirect_uris: ['not a URI'] } }, { error: 'invalid_redirect_uri', status: 400 });
}));

for (const c of signInClients) {
  await check(`a session of a sign-in rotates its refresh token and revokes it at the end [${c.client_id}]`, () => acting(c, async (client) => {
    const tokens = await tokensOf(client);
    await client.takeNew();
    const { calls, renewals, after } = await client.does('session', { key: 'a', calls: 4, url: RESOURCE, parameters: client.parameters });
    same([calls.map(({ status }) => status), renewals], [[200, 200, 200, 200], 3], 'calls and renewals');
    same([calls[0].access_token, new Set(calls.map((call) => call.access_token)).size], [tokens.access_token, 4], 'access tokens');
    same(after.kind, 'SessionEnded', 'a call after the end');
    const log = await client.takeNew();
    const sent = log.filter(({ path, status }) => path === '/token' && status === 200).map(({ form }) => form.refresh_token);
    same([sent[0], new Set(sent).size], [tokens.refresh_token, 3], 'refresh tokens that were sent');
    keepSecret(...sent);
    const revoked = log.filter(({ path }) => path === '/token/revocation');
    same(revoked.map(({ status, form }) => [status, form.token_type_hint]), [[200, 'refresh_token'], [200, 'access_token']], 'revocations');
    expect(!sent.includes(revoked[0].form.token), 'not the newest refresh token was revoked');
    await refusesToRefresh(client, { refresh_token: revoked[0].form.token });
  }));
}

// ----------------------------------------------------------------------------------------------------- what is refused

for (const [by, name] of [[undefined, 'pushed with a proof'], ['front_channel', 'dpop_jkt in the URL']]) {
  for (const c of [publicClient, basic]) {
    await check(`refused: a code with the wrong key, ${name} [${c.client_id}]`, () => acting(c, async (client) => {
      const { pending, callback, raw } = await signIn(client, { by });
      await client.takeNew();
      await client.fails('callback', { key: 'b', pending, url: callback, parameters: client.parameters }, { kind: 'Parameter' });
      same((await client.requests('/token')).length, 0, 'token requests');
      await client.fails('code', { key: 'b', ...raw, parameters: client.parameters }, invalidGrant);
    }));
    await check(`refused: a code without a proof, ${name} [${c.client_id}]`, () => acting(c, async (client) => {
      const { raw } = await signIn(client, { by });
      await client.fails('code', { ...raw, parameters: client.parameters }, { status: 400 });
    }, { mayLack: ({ path }) => path === '/token' }));
  }
}

await check('a code that was pushed without a proof is bound to no key', () => acting(basic, async (client) => {
  const { pending, callback } = await signIn(client, { key: null });
  const [pushed, ...more] = await client.requests('/request');
  same([pushed.status, pushed.proof, pushed.form.dpop_jkt, more.length], [201, undefined, undefined, 0], 'the pushed request');
  const tokens = await client.does('callback', { key: 'b', pending, url: callback, parameters: client.parameters });
  same(tokens.jkt, client.jkt.b, 'jkt');
  await works(client, tokens, 'b');
}, { mayLack: ({ path }) => path === '/request' }));

await check('refused: a dpop_jkt of the caller, which could differ from the proof', () => acting(publicClient, async (client) => {
  await client.fails('authorize', { key: 'a', redirect_uri: REDIRECT_URI, parameters: { dpop_jkt: client.jkt.b } }, { kind: 'Parameter' });
  same((await client.requests('/request')).length, 0, 'pushed requests');
}));

await check('refused: a code used twice, and then its tokens', () => acting(publicClient, async (client) => {
  const tokens = await tokensOf(client);
  await works(client, tokens);
  await client.fails('code', { key: 'a', ...tokens.raw, parameters: client.parameters }, invalidGrant);
  await isRefused(client, tokens);
  await refusesToRefresh(client, tokens);
}));

await check('refused: another code verifier', () => acting(publicClient, async (client) => {
  const { raw } = await signIn(client);
  await client.fails('code', { key: 'a', ...raw, code_verifier: 'x'.repeat(43), parameters: client.parameters }, invalidGrant);
}));

await check('refused: the refresh token of a public client with another key', () => acting(publicClient, async (client) => {
  const tokens = await tokensOf(client);
  await refusesToRefresh(client, tokens, 'b');
}));

await check('the refresh token of a confidential client with another key: tokens for that key', () => acting(basic, async (client) => {
  const renewed = await refresh(client, await tokensOf(client), 'b');
  same(renewed.jkt, client.jkt.b, 'jkt');
  await works(client, renewed, 'b');
}));

for (const c of [publicClient, basic]) {
  await check(`refused: a refresh token that was replaced, and then its successor [${c.client_id}]`, () => acting(c, async (client) => {
    const old = await tokensOf(client);
    const renewed = await refresh(client, old);
    await refusesToRefresh(client, old);
    await refusesToRefresh(client, renewed);
  }));
}

await check('refused by the user: sign-in', () => acting(publicClient, async (client) => {
  const { pending, callback } = await signIn(client, { user: userOf(client, { refuses: true }) });
  await client.fails('callback', { key: 'a', pending, url: callback }, { error: 'access_denied' });
  same((await client.requests('/token')).length, 0, 'token requests');
}));

await check('refused by the user: device', () => acting(publicClient, async (client) => {
  const { user_code, verification_uri } = await client.does('device', { parameters: { scope: 'read' } });
  await userOf(client, { texts: { user_code }, refuses: true }).visit(verification_uri);
  await client.fails('device_code', { key: 'a' }, { error: 'access_denied', status: 400 });
}));

for (const [name, change] of [
  ['another state', (query) => query.set('state', 'x'.repeat(22))],
  ['no state', (query) => query.delete('state')],
  ['another iss', (query) => query.set('iss', server.https)],
  ['no iss, from a server that always sends it', (query) => query.delete('iss')],
  ['two codes', (query) => query.append('code', 'another')],
]) {
  await check(`refused without a request: a response with ${name}`, () => acting(publicClient, async (client) => {
    const { pending, callback } = await signIn(client);
    await client.takeNew();
    const changed = new URL(callback);
    change(changed.searchParams);
    await client.fails('callback', { key: 'a', pending, url: changed.href }, { kind: 'AuthorizationResponse' });
    same((await client.requests('/token')).length, 0, 'token requests');
  }));
}
