// The grants of users against an atproto server (npm @atproto/oauth-provider): pushed requests only, one nonce for both
// parts of the server, refresh tokens that are replaced with each use.
import { join } from 'node:path';
import { Browser } from './browser.mjs';
import { acting as drive } from './driver.mjs';
import { check, expect, keepSecret, launch, same } from './harness.mjs';

const node22 = join(import.meta.dirname, 'node_modules/.bin/node');
const server = await launch(node22, [join(import.meta.dirname, 'atproto_server.mjs')]);
const RESOURCE = `${server.http}/xrpc/com.example.interop`;
const SCOPE = 'atproto transition:generic';
const API = `${server.http}/@atproto/oauth-provider/~api`;
keepSecret(server.password);

// A native client has no registration: its identifier says what its metadata are.
const native = { method: 'none', client_id: `http://localhost?${new URLSearchParams({ scope: SCOPE, redirect_uri: 'http://127.0.0.1/callback' })}` };
const web = server.web_client;
const redirectUri = (c) => (c === native ? 'http://127.0.0.1:49152/callback' : 'https://app.example.net/callback');

const acting = (c, script) => drive(
  server, c, { issuer: server.http, prove_revocation: true }, (client) => script(Object.assign(client, { redirectUri: redirectUri(c) })),
  { proven: ['/oauth/token', '/oauth/par', '/oauth/revoke'] },
);

/** The user signs in and decides: the requests that the script of the provider's page makes. */
async function decide(url, redirectUri, decision) {
  const browser = new Browser();
  const { status, page } = await browser.send(url);
  expect(status === 200, `the page for the user has status ${status}: ${page.slice(0, 300)}`);
  const post = async (path, body) => {
    const headers = {
      'content-type': 'application/json', 'sec-fetch-mode': 'same-origin', 'sec-fetch-site': 'same-origin', origin: server.http, referer: url,
      'x-csrf-token': browser.cookie('csrf-token'),
    };
    const response = await browser.send(`${API}/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    expect(response.status === 200, `${path} has status ${response.status}: ${response.page}`);
    return JSON.parse(response.page);
  };
  await post('sign-in', { locale: 'en', username: server.account.handle, password: server.password, remember: true });
  const { url: next } = await post(decision, decision === 'consent' ? { did: server.account.did } : {});
  const headers = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': 'same-origin', referer: url };
  const { location } = await browser.send(next, { headers });
  expect(location?.startsWith(redirectUri), `the browser was sent to ${location}`);
  return location;
}

async function signIn(client, { key = 'a', decision = 'consent' } = {}) {
  const { redirectUri: redirect_uri } = client;
  const { url, pending } = await client.does('authorize', { key, redirect_uri, parameters: { scope: SCOPE, login_hint: server.account.handle } });
  same([...new URL(url).searchParams.keys()], ['client_id', 'request_uri'], 'parameters of the URL for the browser');
  const callback = await decide(url, redirect_uri, decision);
  const code = new URL(callback).searchParams.get('code');
  const { code_verifier } = JSON.parse(pending);
  keepSecret(code, code_verifier);
  return { pending, callback, raw: { code, code_verifier, redirect_uri } };
}

async function tokensOf(client) {
  const { pending, callback, raw } = await signIn(client);
  return { raw, ...await client.does('callback', { key: 'a', pending, url: callback }) };
}

async function calls(client, { access_token: token }, status = 200, key = 'a') {
  same((await client.does('resource', { key, token, url: `${RESOURCE}?q=1` })).status, status, 'status of the resource');
}

const refresh = (client, { refresh_token }) => client.does('refresh', { key: 'a', refresh_token });
const invalidGrant = { error: 'invalid_grant', status: 400 };

await check('atproto: the resource names the authorization server', () => acting(native, async (client) => {
  const found = await client.does('resource_metadata', { resource: server.http });
  same(found, { authorization_server: server.http, resource: server.http }, 'metadata of the resource');
}));

for (const c of [native, web]) {
  const name = c === native ? 'native' : 'web application';
  await check(`atproto: pushed request, code, refresh, calls [${name}]`, () => acting(c, async (client) => {
    const { pending, callback } = await signIn(client);
    const [first, pushed, ...more] = await client.requests('/oauth/par');
    same([first.error, first.status, pushed.status, more.length], ['use_dpop_nonce', 400, 201, 0], 'pushed requests');
    same([pushed.proof.jkt, pushed.form.dpop_jkt], [client.jkt.a, client.jkt.a], 'key of the proof, and dpop_jkt');
    const tokens = await client.does('callback', { key: 'a', pending, url: callback });
    same([tokens.token_type, tokens.jkt, tokens.sub, tokens.scope], ['DPoP', client.jkt.a, server.account.did, SCOPE], 'token_type, jkt, sub and scope');
    await calls(client, tokens);
    const renewed = await refresh(client, tokens);
    expect(renewed.refresh_token !== tokens.refresh_token && renewed.access_token !== tokens.access_token, 'the tokens were not replaced');
    same(renewed.sub, server.account.did, 'sub');
    await calls(client, renewed);
    await calls(client, tokens, 401);
    const log = await client.takeNew();
    const bound = log.filter(({ part, status }) => part === 'rs' && status === 200).map(({ bound_to }) => bound_to);
    same(bound, [client.jkt.a, client.jkt.a], 'keys that the resource saw');
  }));

  await check(`atproto: refused: a code with the wrong key [${name}]`, () => acting(c, async (client) => {
    const { pending, callback, raw } = await signIn(client);
    await client.fails('callback', { key: 'b', pending, url: callback }, { kind: 'Parameter' });
    same((await client.requests('/oauth/token')).length, 0, 'token requests');
    await client.fails('code', { key: 'b', ...raw }, invalidGrant);
  }));

  await check(`atproto: refused: a refresh token with another key, and then with its own [${name}]`, () => acting(c, async (client) => {
    const { refresh_token } = await tokensOf(client);
    await client.fails('refresh', { key: 'b', refresh_token }, invalidGrant);
    await client.fails('refresh', { key: 'a', refresh_token }, invalidGrant);
  }));

  await check(`atproto: refused: a refresh token that was replaced, and then its successor [${name}]`, () => acting(c, async (client) => {
    const tokens = await tokensOf(client);
    const renewed = await refresh(client, tokens);
    await client.fails('refresh', { key: 'a', refresh_token: tokens.refresh_token }, invalidGrant);
    await client.fails('refresh', { key: 'a', refresh_token: renewed.refresh_token }, invalidGrant);
  }));

  await check(`atproto: a session of a sign-in, and its end [${name}]`, () => acting(c, async (client) => {
    await tokensOf(client);
    await client.takeNew();
    const { calls: made, renewals, after } = await client.does('session', { key: 'a', calls: 3, url: RESOURCE });
    same([made.map(({ status }) => status), renewals, after.kind], [[200, 200, 200], 2, 'SessionEnded'], 'calls, renewals and a call after the end');
    const [revoked] = await client.requests('/oauth/revoke'); // this server does so only with a proof
    await client.fails('refresh', { key: 'a', refresh_token: revoked.form.token }, invalidGrant);
    await calls(client, made.at(-1), 401);
  }));
}

await check('atproto: refused: a request that was not pushed, before anything is sent', () => acting(native, async (client) => {
  await client.fails('authorize', { key: 'a', by: 'front_channel', redirect_uri: client.redirectUri, parameters: { scope: SCOPE } }, { kind: 'Metadata' });
}));

await check('atproto: refused: a code used twice, and then its tokens', () => acting(native, async (client) => {
  const tokens = await tokensOf(client);
  await client.fails('code', { key: 'a', ...tokens.raw }, invalidGrant);
  await calls(client, tokens, 401);
  await client.fails('refresh', { key: 'a', refresh_token: tokens.refresh_token }, invalidGrant);
}));

await check('atproto: refused by the user', () => acting(native, async (client) => {
  const { pending, callback } = await signIn(client, { decision: 'reject' });
  await client.fails('callback', { key: 'a', pending, url: callback }, { error: 'access_denied' });
}));

await check('atproto: refused: a scope without atproto', () => acting(native, async (client) => {
  await client.fails('authorize', { key: 'a', redirect_uri: client.redirectUri, parameters: { scope: 'transition:generic' } }, { error: 'invalid_scope', status: 400 });
}));
