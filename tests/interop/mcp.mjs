// The example `mcp_client` in scenarios of the conformance suite of the Model Context Protocol, with browser.mjs as the user.
import { join } from 'node:path';
import { check, example, execute, expect, same } from './harness.mjs';

const here = (path) => join(import.meta.dirname, path);
const NODE_22 = here('node_modules/.bin/node');
const SUITE = here('node_modules/@modelcontextprotocol/conformance/dist/index.js');
const CLIENT_LIMIT = 30;
// BROWSER says that there is one, and bin/xdg-open is it.
const env = { PATH: `${here('bin')}:${process.env.PATH}`, BROWSER: 'bin/xdg-open' };

// The number of checks that each scenario makes. A scenario that makes fewer did not get to its end.
const SCENARIOS = {
  dpop: 12, 'dpop-nonce': 14,
  'client-credentials-jwt': 7, 'client-credentials-basic': 7,
  'metadata-default': 17, 'metadata-var3': 17, 'scope-from-www-authenticate': 13, 'scope-omitted-when-undefined': 13,
  'token-endpoint-auth-none': 18, 'pre-registration': 7,
  // What a client must refuse.
  'resource-mismatch': 2, 'metadata-issuer-mismatch': 3,
  'iss-supported-missing': 8, 'iss-wrong-issuer': 8, 'iss-unexpected': 8, 'iss-normalized': 8,
};

for (const [scenario, checks] of Object.entries(SCENARIOS)) {
  await check(`MCP conformance: auth/${scenario}`, async () => {
    const command = `timeout ${CLIENT_LIMIT} ${example('mcp_client')}`;
    const args = ['client', '--command', command, '--scenario', `auth/${scenario}`, '--timeout', `${CLIENT_LIMIT * 1000}`];
    const { code, stderr } = await execute(NODE_22, [SUITE, ...args], env, (CLIENT_LIMIT + 15) * 1000);
    const [end, passed, of, failed, warnings] = /Passed: (\d+)\/(\d+), (\d+) failed, (\d+) warnings[\s\S]*/.exec(stderr) ?? [];
    expect(end, `the suite reports nothing: ${stderr}`);
    same([passed, of, failed, warnings, code].map(Number), [checks, checks, 0, 0, 0], `passed, of, failed, warnings and exit code, after "${end}"`);
  });
}
