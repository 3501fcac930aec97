// Runs every check against the built examples, one after the other; see README.md.
import { finish } from './harness.mjs';

for (const name of ['client_credentials', 'servers', 'vectors']) await import(`./${name}.mjs`);
finish();
