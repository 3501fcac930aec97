// A DPoP authorization server and its protected resources on loopback, made of npm oidc-provider.
// Usage: node server.mjs    three free ports: http (both parts), https (both parts), http (resources alone)
// Prints one line "READY {json}" (endpoints, client credentials, PEMs) and runs until its standard input closes.
// Environment: AS_NONCE=0 (the token endpoint demands no nonce), DPOP_ALGS, AUTH_ALGS, AUTH_METHODS (comma-separated
// lists: what the metadata offers; clients that need anything else are not registered), TOKEN_TTL and NONCE_TTL (lives in
// seconds: a nonce is good for one to two of them), VERBOSE (requests on stderr).
// Users sign in on its own development pages, by any name: browser.mjs plays the user.
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import Provider, { errors } from 'oidc-provider';
// Internals of the pinned oidc-provider: requests to the resources are judged by its own DPoP code.
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';
import ServerChallenge from 'oidc-provider/lib/helpers/challenge.js';
import LRU from 'oidc-provider/lib/helpers/lru.js';
import instance from 'oidc-provider/lib/helpers/weak_cache.js';
import validateDpop, { checkDpopReplay } from 'oidc-provider/lib/helpers/validate_dpop.js';
import wwwAuthenticate from 'oidc-provider/lib/shared/set_www_authenticate_header.js';
import { makePki } from './certs.mjs';
import * as requests from './request_log.mjs';

const list = (name, preset) => (process.env[name] ?? preset).split(',');
const AS_NONCE = process.env.AS_NONCE !== '0';
const KEY_ALGS = ['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519', 'PS256', 'RS256'];
const HMAC_ALGS = ['HS256', 'HS384', 'HS512'];
const DPOP_ALGS = list('DPOP_ALGS', KEY_ALGS.join());
const AUTH_ALGS = list('AUTH_ALGS', [...HMAC_ALGS, ...KEY_ALGS].join());
const AUTH_METHODS = list('AUTH_METHODS', 'none,client_secret_basic,client_secret_post,client_secret_jwt,private_key_jwt,tls_client_auth,self_signed_tls_client_auth');
const SCOPES = ['read', 'write', 'orders:read', 'orders:write'];
const TOKEN_TTL = Number(process.env.TOKEN_TTL ?? 300);
const NONCE_TTL = Number(process.env.NONCE_TTL ?? 0);
const HOST = '127.0.0.1';
const REDIRECT_URI = 'http://127.0.0.1/callback'; // on any port (RFC 8252 §7.3)
const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';
const CIBA = 'urn:openid:params:grant-type:ciba';

// ---------------------------------------------------------------------------------------------------------- clients

const PLAIN = 'plain-secret-0123456789abcdef';
// Every printable ASCII sign that some encoder gets wrong (RFC 6749 allows no others in a secret).
const ODD = `a:b%c+d &e=f?g#h/i;j"k\\l~m!n*o'p(q)r,s@t$u%20v%2B`;
const ODD_ID = 'odd id:1%+&=?/#~';

/** A key for private_key_jwt: what the server registers, and what the client knows. */
async function assertionKey(alg) {
  const { privateKey, publicKey } = await jose.generateKeyPair(alg ?? 'Ed25519', { extractable: true });
  const kid = `${alg ?? 'any'}-1`;
  const registered = { jwks: { keys: [{ ...await jose.exportJWK(publicKey), kid, use: 'sig' }] }, ...(alg && { token_endpoint_auth_signing_alg: alg }) };
  return [registered, { kid, jwk: { ...await jose.exportJWK(privateKey), kid }, pem: await jose.exportPKCS8(privateKey) }];
}

/** What the server registers, and what a client needs to authenticate itself: `credentials` of programs, `users` of those that users sign in to. */
async function makeClients(pki) {
  const clients = [];
  const credentials = [];
  const users = [];
  const add = (client_id, method, registered = {}, known = {}, list = credentials) => {
    const alg = registered.token_endpoint_auth_signing_alg;
    if (!AUTH_METHODS.includes(method) || (alg && !AUTH_ALGS.includes(alg))) return;
    clients.push({
      grant_types: ['client_credentials'], redirect_uris: [], response_types: [], dpop_bound_access_tokens: true,
      client_id, token_endpoint_auth_method: method, ...registered,
    });
    list.push({ client_id, method, alg, client_secret: registered.client_secret, ...known });
  };
  const addForUsers = (client_id, method, registered = {}, known = {}) => add(client_id, method, {
    grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE], redirect_uris: [REDIRECT_URI], response_types: ['code'],
    application_type: 'native', ...registered,
  }, known, users);

  add('cc-none', 'none');
  add('cc-basic', 'client_secret_basic', { client_secret: PLAIN });
  add('cc-read-only', 'client_secret_basic', { client_secret: PLAIN, scope: 'read' });
  add(ODD_ID, 'client_secret_basic', { client_secret: ODD });
  add('cc-post', 'client_secret_post', { client_secret: PLAIN });
  add(`${ODD_ID} post`, 'client_secret_post', { client_secret: ODD });
  for (const alg of HMAC_ALGS) {
    add(`cc-jwt-${alg}`, 'client_secret_jwt', { client_secret: `hmac-${randomBytes(48).toString('base64url')}`, token_endpoint_auth_signing_alg: alg });
  }
  // cc-pkjwt-any may sign under either name of Ed25519; each of the others under one name only.
  for (const alg of [...KEY_ALGS, undefined]) add(`cc-pkjwt-${alg ?? 'any'}`, 'private_key_jwt', ...await assertionKey(alg));
  add('cc-tls-dn', 'tls_client_auth', { tls_client_auth_subject_dn: pki.client.subject }, { tls: pki.client });
  add('cc-tls-san', 'tls_client_auth', { tls_client_auth_san_dns: pki.client.san }, { tls: pki.client });
  add('cc-tls-self-signed', 'self_signed_tls_client_auth', { jwks: { keys: [pki.selfSigned.jwk] } }, { tls: pki.selfSigned });

  addForUsers('user-none', 'none');
  addForUsers('user-basic', 'client_secret_basic', { client_secret: PLAIN });
  addForUsers('user-ciba', 'client_secret_basic', { client_secret: PLAIN, grant_types: [CIBA], response_types: [], redirect_uris: [], backchannel_token_delivery_mode: 'poll' });
  addForUsers('user-pkjwt', 'private_key_jwt', ...await assertionKey('ES256'));
  return { clients, credentials, users };
}

// --------------------------------------------------------------------------------------------- authorization server

function makeAuthorizationServer(issuer, { clients, signingKey, resourceOrigins, aliasOrigin }) {
  const certificate = (ctx) => ctx.socket.getPeerX509Certificate?.();
  const store = new LRU({ maxSize: 500_000 }); // the default one forgets tokens and jti after 1000 entries
  const resources = new Map(resourceOrigins.flatMap((origin) => ['jwt', 'opaque'].map((format) => [`${origin}/rs/${format}`, format])));

  const as = new Provider(issuer, {
    adapter: (model) => new MemoryAdapter(model, store),
    clients,
    jwks: { keys: [signingKey] },
    scopes: SCOPES,
    clientAuthMethods: AUTH_METHODS,
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    enabledJWA: { clientAuthSigningAlgValues: AUTH_ALGS, dPoPSigningAlgValues: DPOP_ALGS, idTokenSigningAlgValues: ['ES256'] },
    ttl: { ClientCredentials: TOKEN_TTL, AccessToken: TOKEN_TTL },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    discovery: aliasOrigin && { mtls_endpoint_aliases: { token_endpoint: `${aliasOrigin}/token` } },
    features: {
      devInteractions: { enabled: true },
      rpInitiatedLogout: { enabled: false },
      clientCredentials: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      deviceFlow: { enabled: true },
      ciba: {
        enabled: true,
        processLoginHint: (ctx, hint) => hint,
        verifyUserCode() {},
        validateRequestContext() {},
        async triggerAuthenticationDevice(ctx, request, account, client) {
          const grant = new as.Grant({ accountId: account.accountId, clientId: client.clientId });
          for (const resource of resources.keys()) grant.addResourceScope(resource, request.scope);
          grant.addOIDCScope('openid');
          await as.backchannelResult(request, await grant.save());
        },
      },
      registration: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => AS_NONCE, allowReplay: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo(ctx, resource) {
          const format = resources.get(resource);
          if (!format) throw new errors.InvalidTarget();
          return { scope: SCOPES.join(' '), audience: resource, accessTokenFormat: format, jwt: { sign: { alg: 'ES256' } } };
        },
      },
      mTLS: {
        enabled: true, tlsClientAuth: true, selfSignedTlsClientAuth: true,
        getCertificate: certificate,
        certificateAuthorized: (ctx) => ctx.socket.authorized === true,
        certificateSubjectMatches(ctx, property, expected) {
          const { subject, subjectAltName } = certificate(ctx);
          if (property === 'tls_client_auth_subject_dn') return subject.split('\n').join(',') === expected;
          return (subjectAltName ?? '').split(', ').includes(`${property.slice('tls_client_auth_san_'.length).toUpperCase()}:${expected}`);
        },
      },
    },
  });

  as.use(async (ctx, next) => {
    await next();
    if (!FORM_ROUTES.includes(ctx.oidc?.route)) return;
    const { client_secret, client_assertion, ...form } = ctx.oidc.body ?? {};
    const access_token = ctx.body?.access_token;
    requests.note(ctx.res, { form, client_assertion, access_token });
    if (access_token) {
      const saved = await findToken(as, access_token);
      requests.note(ctx.res, { bound_to: saved ? saved.jkt : jose.decodeJwt(access_token).cnf?.jkt });
    }
  });
  if (NONCE_TTL) instance(as).DPoPNonces = shortNonces();
  for (const event of ['grant.error', 'pushed_authorization_request.error']) as.on(event, (ctx, err) => requests.note(ctx.res, errorNote(err)));
  as.on('server_error', (ctx, err) => console.error(err));
  return as;
}

const errorNote = (err) => ({ error: err.error ?? err.message, detail: err.error_detail ?? err.error_description });
const FORM_ROUTES = ['token', 'pushed_authorization_request', 'device_authorization', 'revocation', 'introspection'];
const findToken = async (as, token) => await as.ClientCredentials.find(token) ?? await as.AccessToken.find(token);

/** The provider's own nonces live for minutes: these are its own with a new secret now and then. */
function shortNonces() {
  const make = () => new ServerChallenge(randomBytes(32), 'DPoP');
  let [current, previous] = [make(), make()];
  setInterval(() => { [current, previous] = [make(), current]; }, NONCE_TTL * 1000).unref();
  return {
    nextChallenge: () => current.nextChallenge(),
    checkChallenge: (nonce) => current.checkChallenge(nonce) || previous.checkChallenge(nonce),
  };
}

// ---------------------------------------------------------------------------------------------- protected resources
// ORIGIN/rs/jwt and ORIGIN/rs/opaque are resource indicators; anything may follow in path and query. They demand a
// nonce of their own; ORIGIN/rs/jwt-lax and ORIGIN/rs/opaque-lax take the same tokens and offer one without demanding it.

function makeResourceServer(origin, as, { jwks, signingKey }) {
  const store = new LRU({ maxSize: 500_000 });
  const rs = new Provider(origin, {
    adapter: (model) => new MemoryAdapter(model, store),
    jwks: { keys: [signingKey] },
    enabledJWA: { dPoPSigningAlgValues: DPOP_ALGS },
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: (ctx) => !ctx.state.lax, allowReplay: false },
    },
  });
  if (NONCE_TTL) instance(rs).DPoPNonces = shortNonces();
  const metadata = { issuer: as.issuer, jwks_uri: `${as.issuer}/jwks` };

  async function readToken(ctx, token, format, audience) {
    if (format === 'opaque') {
      const found = await findToken(as, token);
      if (!found?.isValid) throw new errors.InvalidToken('unknown or expired token');
      if (found.aud !== undefined && found.aud !== audience) throw new errors.InvalidToken(`audience is ${found.aud}`);
      return { jkt: found.jkt, client_id: found.clientId, scope: found.scope };
    }
    try {
      const request = new Request(ctx.href, { method: ctx.method, headers: { authorization: ctx.get('authorization'), dpop: ctx.get('dpop') } });
      const { cnf, client_id, scope } = await oauth.validateJwtAccessToken(metadata, request, audience, {
        requireDPoP: true, signingAlgorithms: ['ES256', ...DPOP_ALGS],
        [oauth.customFetch]: async () => Response.json(jwks), [oauth.allowInsecureRequests]: true,
      });
      return { jkt: cnf.jkt, client_id, scope };
    } catch (cause) {
      throw new errors.InvalidToken({ cause });
    }
  }

  async function authorize(ctx, format, audience) {
    const token = ctx.oidc.getAccessToken({ acceptDPoP: true });
    const proof = await validateDpop(rs, ctx, token);
    if (!proof) throw new errors.InvalidToken('only DPoP-bound access is accepted');
    const { jkt, client_id, scope } = await readToken(ctx, token, format, audience);
    if (jkt !== proof.thumbprint) throw new errors.InvalidToken('proof key is not the one the token is bound to');
    await checkDpopReplay(rs, ctx, proof, client_id, errors.InvalidToken);
    const needed = ['GET', 'HEAD'].includes(ctx.method) ? 'read' : 'write';
    if (!scope?.split(' ').includes(needed)) throw new errors.InsufficientScope('scope missing', needed);
    ctx.body = { ok: true, format, client_id, scope };
    requests.note(ctx.res, { bound_to: jkt });
  }

  const challenge = wwwAuthenticate();
  rs.use(async (ctx) => {
    const [, format, lax] = /^\/rs\/(jwt|opaque)(-lax)?(?:\/|$)/.exec(ctx.path) ?? [];
    if (!format) return;
    ctx.state.lax = Boolean(lax);
    ctx.oidc = new rs.OIDCContext(ctx);
    ctx.oidc.route = 'resource';
    ctx.oidc.urlFor = () => ctx.URL.origin + ctx.path;
    try {
      await challenge(ctx, () => authorize(ctx, format, `${ctx.URL.origin}/rs/${format}`));
    } catch (err) {
      if (!err.expose) throw err;
      ctx.status = err.statusCode;
      ctx.body = { error: err.error, error_description: err.error_description };
      requests.note(ctx.res, errorNote(err));
    }
  });
  return rs;
}

// ------------------------------------------------------------------------------------------------------------ start

const pki = await makePki();
const { clients, credentials, users } = await makeClients(pki);
const { privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
const signingKey = { ...await jose.exportJWK(privateKey), kid: 'as-es256', use: 'sig', alg: 'ES256' };
const { d, ...publicKey } = signingKey;

const servers = [
  http.createServer(),
  https.createServer({ key: pki.server.key, cert: pki.server.cert, ca: [pki.ca], requestCert: true, rejectUnauthorized: false }),
  http.createServer(),
];
const ports = await Promise.all(servers.map((server) => new Promise((resolve, reject) => {
  server.once('error', reject).listen(0, HOST, () => resolve(server.address().port));
})));
const origins = { http: `http://${HOST}:${ports[0]}`, https: `https://localhost:${ports[1]}`, alias: `https://${HOST}:${ports[1]}`, rs: `http://${HOST}:${ports[2]}` };

function serve(server, as, rs) {
  const [asHandler, rsHandler] = [as, rs].map((app) => app?.callback());
  server.on('request', async (req, res) => {
    if (requests.control(req, res)) return undefined;
    await requests.record(req, res);
    return req.url.startsWith('/rs/') || !asHandler ? rsHandler(req, res) : asHandler(req, res);
  });
}

const shared = { clients, signingKey, jwks: { keys: [publicKey] } };
const plainAs = makeAuthorizationServer(origins.http, { ...shared, resourceOrigins: [origins.http, origins.rs] });
const tlsAs = makeAuthorizationServer(origins.https, { ...shared, resourceOrigins: [origins.https], aliasOrigin: origins.alias });
serve(servers[0], plainAs, makeResourceServer(origins.http, plainAs, shared));
serve(servers[1], tlsAs, makeResourceServer(origins.https, tlsAs, shared));
serve(servers[2], undefined, makeResourceServer(origins.rs, plainAs, shared));

console.log(`READY ${JSON.stringify({
  as_nonce: AS_NONCE, token_ttl: TOKEN_TTL, control: `${origins.http}/_control/log`, http: origins.http, https: origins.https, alias: origins.alias, rs: origins.rs,
  ca: pki.ca, stranger: pki.stranger, clients: credentials, users,
})}`);
process.stdin.resume().once('end', () => process.exit(0));
