// An atproto server on loopback: the authorization server of a personal data server, npm @atproto/oauth-provider, with
// everything it stores in memory, and one protected resource, ORIGIN/xrpc/….
// Needs Node 22: node_modules/.bin/node atproto_server.mjs
// Prints one line "READY {json}" and runs until its standard input closes. TOKEN_TTL: the life of an access token in
// seconds; VERBOSE: requests and errors on standard error.
import http from 'node:http';
import { JoseKey, OAuthProvider } from '@atproto/oauth-provider/provider';
import { WWWAuthenticateError } from '@atproto/oauth-provider/errors';
import { oauthMiddleware } from '@atproto/oauth-provider/middleware';
import * as jose from 'jose';
import * as requests from './request_log.mjs';

const HOST = '127.0.0.1';
const TOKEN_TTL = Number(process.env.TOKEN_TTL ?? 300);
const ACCOUNT = { did: 'did:plc:interopinteropinterop2222', pds: 'did:web:pds.interop.test', handle: 'alice.interop.test', deactivated: false, email: 'alice@interop.test' };
const PASSWORD = 'correct horse battery staple';

// ------------------------------------------------------------------------------------------------------------ stores

/** The stores of the provider, as far as they are used here. */
function makeStore() {
  const [requestData, tokens, devices, signedIn] = [new Map(), new Map(), new Map(), new Map()];
  const accountOnDevice = (deviceId) => signedIn.get(deviceId) && {
    deviceId, deviceData: devices.get(deviceId), account: ACCOUNT, authorizedClients: new Map(), ...signedIn.get(deviceId),
  };
  const info = (id) => tokens.get(id) && { id, account: ACCOUNT, data: tokens.get(id).data, currentRefreshToken: tokens.get(id).refreshTokens.at(-1) ?? null };
  const find = (wanted) => info([...tokens.keys()].find((id) => wanted(tokens.get(id)))) ?? null;
  const used = {
    // accounts
    authenticateAccount({ username, password }) {
      if (username !== ACCOUNT.handle || password !== PASSWORD) throw new Error('wrong name or password');
      return ACCOUNT;
    },
    getAccount: () => ({ account: ACCOUNT, authorizedClients: new Map() }),
    setAuthorizedClient() {},
    upsertDeviceAccount: (deviceId) => { signedIn.set(deviceId, { createdAt: new Date(), updatedAt: new Date() }); },
    getDeviceAccount: (deviceId) => accountOnDevice(deviceId) ?? null,
    removeDeviceAccount: (deviceId) => { signedIn.delete(deviceId); },
    listDeviceAccounts: ({ deviceId }) => [accountOnDevice(deviceId)].filter(Boolean),
    // devices
    createDevice: (id, data) => { devices.set(id, data); },
    readDevice: (id) => devices.get(id) ?? null,
    updateDevice: (id, data) => { devices.set(id, { ...devices.get(id), ...data }); },
    deleteDevice: (id) => { devices.delete(id); },
    // authorization requests
    createRequest: (id, data) => { requestData.set(id, data); },
    readRequest: (id) => requestData.get(id) ?? null,
    updateRequest: (id, data) => { requestData.set(id, { ...requestData.get(id), ...data }); },
    deleteRequest: (id) => { requestData.delete(id); },
    consumeRequestCode(code) {
      const requestId = [...requestData.keys()].find((id) => requestData.get(id).code === code);
      const data = requestData.get(requestId);
      requestData.delete(requestId);
      return data ? { requestId, data } : null;
    },
    // tokens
    createToken: (id, data, refreshToken) => { tokens.set(id, { data, refreshTokens: [refreshToken].filter(Boolean) }); },
    readToken: (id) => info(id) ?? null,
    deleteToken: (id) => { tokens.delete(id); },
    rotateToken(id, newId, refreshToken, data) {
      const { data: old, refreshTokens } = tokens.get(id);
      tokens.delete(id);
      tokens.set(newId, { data: { ...old, ...data }, refreshTokens: [...refreshTokens, refreshToken] });
    },
    findTokenByRefreshToken: (refreshToken) => find(({ refreshTokens }) => refreshTokens.includes(refreshToken)),
    findTokenByCode: (code) => find(({ data }) => data.code === code),
    listAccountTokens: () => [...tokens.keys()].map(info),
    // permission sets
    findLexicon: () => null,
    storeLexicon() {},
    deleteLexicon() {},
  };
  const unused = [
    'createAccount', 'resetPasswordRequest', 'resetPasswordConfirm', 'updateEmailRequest', 'updateEmailConfirm', 'verifyEmailRequest', 'verifyEmailConfirm',
    'verifyHandleAvailability', 'updateHandle', 'deactivateAccount', 'reactivateAccount', 'deleteAccountRequest', 'deleteAccountConfirm',
  ];
  return { ...used, ...Object.fromEntries(unused.map((name) => [name, () => { throw new Error(`${name} is not used here`); }])) };
}

// ----------------------------------------------------------------------------------------------------------- clients

/** A web application: its identifier is the URL of its metadata, which the provider fetches. */
async function makeWebClient() {
  const client_id = 'https://app.example.net/client-metadata.json';
  const { privateKey, publicKey } = await jose.generateKeyPair('ES256', { extractable: true });
  const kid = 'app-1';
  const metadata = {
    client_id, application_type: 'web', redirect_uris: ['https://app.example.net/callback'], response_types: ['code'],
    grant_types: ['authorization_code', 'refresh_token'], scope: 'atproto transition:generic', dpop_bound_access_tokens: true,
    token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [{ ...await jose.exportJWK(publicKey), kid, use: 'sig', alg: 'ES256' }] },
  };
  return [metadata, { client_id, method: 'private_key_jwt', jwk: { ...await jose.exportJWK(privateKey), kid } }];
}

// ------------------------------------------------------------------------------------------------------------- start

const server = http.createServer();
await new Promise((resolve, reject) => { server.once('error', reject).listen(0, HOST, resolve); });
const origin = `http://${HOST}:${server.address().port}`;
const [metadata, webClient] = await makeWebClient();

const provider = new OAuthProvider({
  issuer: origin,
  keyset: [await JoseKey.generate(['ES256'], 'as-1')],
  store: makeStore(),
  accessTokenMode: 'light', // so that a revoked token is refused at once
  tokenMaxAge: TOKEN_TTL * 1000,
  // The provider's own fetch refuses names and addresses that are not public.
  safeFetch: async (input) => (new Request(input).url === metadata.client_id ? Response.json(metadata) : new Response(null, { status: 404 })),
});
const authorizationServer = oauthMiddleware(provider, {
  onError(req, res, err, message) {
    requests.note(res, { error: err.error ?? err.message, detail: message });
    if (process.env.VERBOSE) console.error(message, err);
  },
});

const json = (res, status, body) => res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

/** As the personal data server does: a new nonce with each response, and the error in the body as well. */
async function resource(req, res) {
  res.setHeader('DPoP-Nonce', provider.nextDpopNonce());
  try {
    const { sub, cnf } = await provider.authenticateRequest(req.method, new URL(req.url, origin), req.headers, { audience: [ACCOUNT.pds] });
    requests.note(res, { bound_to: cnf.jkt });
    json(res, 200, { did: sub });
  } catch (err) {
    if (!(err instanceof WWWAuthenticateError)) console.error(err);
    requests.note(res, { error: err.error });
    if (err.wwwAuthenticateHeader) res.setHeader('WWW-Authenticate', err.wwwAuthenticateHeader);
    json(res, err.statusCode ?? 500, { error: err.error, message: err.error_description });
  }
}

/** Notes the form of a request, while the provider reads it. */
function noteForm(req, res) {
  const chunks = [];
  const push = req.push.bind(req);
  req.push = (chunk, encoding) => {
    if (chunk) chunks.push(chunk);
    return push(chunk, encoding);
  };
  res.on('finish', () => {
    if (req.method !== 'POST' || !req.headers['content-type']?.startsWith('application/x-www-form-urlencoded')) return;
    const { client_assertion, ...form } = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
    requests.note(res, { form, client_assertion });
  });
}

server.on('request', async (req, res) => {
  if (requests.control(req, res)) return;
  noteForm(req, res);
  const isResource = req.url.startsWith('/xrpc/');
  await requests.record(req, res, isResource ? 'rs' : 'as');
  if (isResource) await resource(req, res);
  else if (req.url === '/.well-known/oauth-protected-resource') json(res, 200, { resource: origin, authorization_servers: [origin], scopes_supported: ['atproto'] });
  else await authorizationServer(req, res, () => res.writeHead(404).end());
});

console.log(`READY ${JSON.stringify({ http: origin, control: `${origin}/_control/log`, account: ACCOUNT, password: PASSWORD, token_ttl: TOKEN_TTL, web_client: webClient })}`);
process.stdin.resume().once('end', () => process.exit(0));
