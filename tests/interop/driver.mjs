// A client that does what a check says, by way of the program `interop_driver`.
import { audit, takeLog } from './audit.mjs';
import { converse, expect, keepSecret, noLeak, same } from './harness.mjs';

/**
 * Runs `script` with a client of a server, and audits what the server saw of it. `c` are the client's credentials,
 * `settings` the issuer and the certificates to trust, and `rules` are those of `audit`.
 */
export async function acting(server, c, settings, script, rules) {
  keepSecret(c.client_secret, c.jwk?.d);
  await takeLog(server);
  const log = [];
  const failures = [];
  const takeNew = async () => {
    const more = await takeLog(server);
    log.push(...more);
    return more;
  };
  const client = await converse('interop_driver', async (send) => {
    same(await send({ ...(c.client_id && c), ...settings }), {}, 'start');
    const call = async (name, args = {}) => {
      const outcome = await send({ call: name, ...args });
      keepSecret(outcome.access_token, outcome.refresh_token, outcome.secret);
      if (outcome.failed) failures.push(outcome.failed);
      return outcome;
    };
    const client = {
      /** Makes a call that must succeed, and returns its outcome. */
      async does(name, args) {
        const outcome = await call(name, args);
        expect(!outcome.failed, `${name}: ${outcome.failed}`);
        return outcome;
      },
      /** Makes a call that must fail with an error that has these members. */
      async fails(name, args, wanted) {
        const outcome = await call(name, args);
        expect(outcome.failed, `${name} did not fail: ${JSON.stringify(outcome)}`);
        for (const [member, value] of Object.entries(wanted)) same(outcome[member], value, `${member} of "${outcome.failed}"`);
      },
      takeNew,
      /** Returns what the server was asked at this path since the last time. */
      requests: async (path) => (await takeNew()).filter((entry) => entry.path === path),
    };
    client.jkt = { a: await client.does('thumbprint', { key: 'a' }), b: await client.does('thumbprint', { key: 'b' }) };
    await script(client);
    return client;
  });
  await takeNew();
  keepSecret(...log.flatMap(({ credentials, access_token, client_assertion }) => [credentials, access_token, client_assertion]));
  noLeak({ stdout: failures.join('\n'), stderr: '' });
  audit(log, { ...c, ...client.registered }, settings.issuer, rules);
}
