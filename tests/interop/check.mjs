// Runs every check against the built examples, one after the other; see README.md.
import { check, finish, noLeakInLogs } from './harness.mjs';

for (const name of ['client_credentials', 'grants', 'atproto', 'mcp', 'servers', 'resource_server', 'authorization_server', 'session', 'vectors']) await import(`./${name}.mjs`);
await check('no secret in the logs of the servers', noLeakInLogs);
finish();
