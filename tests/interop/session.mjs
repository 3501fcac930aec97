// A session that is left running, by way of the example `soak`, against oidc-provider with tokens and nonces that live for
// seconds.
import { join } from 'node:path';
import { check, execute, expect, file, keepSecret, launch, same } from './harness.mjs';

const SECONDS = 60;
const [TOKEN_TTL, NONCE_TTL] = [5, 2];
const server = await launch(process.execPath, [join(import.meta.dirname, 'server.mjs')], { TOKEN_TTL: `${TOKEN_TTL}`, NONCE_TTL: `${NONCE_TTL}` });
const client = (id) => server.clients.find(({ client_id }) => client_id === id);

for (const [id, seconds] of [['cc-basic', SECONDS], ['cc-pkjwt-ES256', 12]]) {
  await check(`a session of ${id} runs for ${seconds} s on tokens of ${TOKEN_TTL} s and nonces of ${NONCE_TTL} s`, async () => {
    const { client_id, client_secret, jwk } = client(id);
    keepSecret(client_secret, jwk?.d);
    const resource = `${server.rs}/rs/opaque`;
    const credentials = client_secret ? ['--secret-env', 'SECRET'] : ['--key', file(jwk)];
    const run = await execute('soak', [
      '--issuer', server.http, '--client-id', client_id, ...credentials, '--dangerous-http', '--scope', 'read', '--resource', resource,
      '--call', `${resource}/things?q=1`, '--seconds', `${seconds}`, '--threads', '4',
    ], client_secret && { SECRET: client_secret }, (seconds + 20) * 1000);
    const log = await (await fetch(server.control)).json();
    same(run.code, 0, `exit code, after ${run.stdout.trim().split('\n').at(-1)} ${run.stderr.trim()}`);

    const tokens = log.filter(({ path }) => path === '/token');
    const calls = log.filter(({ part }) => part === 'rs');
    expect(calls.length > 10 * seconds, `only ${calls.length} calls`);
    const jtis = log.filter(({ proof }) => proof).map(({ proof }) => proof.claims.jti);
    same(new Set(jtis).size, jtis.length, 'distinct jti');
    // A token is renewed when a third of its life is left, and not before.
    const granted = tokens.filter(({ status }) => status === 200).length;
    const life = TOKEN_TTL * 2 / 3;
    expect(granted >= seconds / TOKEN_TTL && granted <= seconds / life + 2, `${granted} tokens`);
    for (const { status, error } of log.filter(({ status }) => status >= 400)) same([status < 500, error], [true, 'use_dpop_nonce'], 'refusals');
    // Each nonce that nobody used in its life costs the token endpoint one challenge; the resource is called all the time.
    const challenges = calls.filter(({ error }) => error).length;
    expect(challenges <= 4 + calls.length / 100, `${challenges} challenges of ${calls.length} calls`);
    const shown = /nonces learned +(\d+)/.exec(run.stdout);
    expect(Number(shown?.[1]) >= seconds / NONCE_TTL / 2, `nonces learned: ${shown?.[1]}`);
  }, (seconds + 30) * 1000);
}
