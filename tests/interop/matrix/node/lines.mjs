// The protocol of the programs of this matrix: one JSON object a line on standard input, and one for each on standard
// output. ../README.md describes them.
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

/** Issuer, audience, keys and WebID of the access tokens. */
export const tokens = JSON.parse(process.env.MATRIX_TOKENS ?? '{}');

/** Imports a file that a package does not export. */
export const inside = (name, path) => import(join(dirname(findPackageJSON(name, import.meta.url)), path));

/** Returns name and version of a package. */
export const installed = (name) => ({ name, registry: 'npm', version: JSON.parse(readFileSync(findPackageJSON(name, import.meta.url))).version });

/** Returns the messages of an error and of its causes. */
export function message(error) {
  const messages = [];
  for (let each = error; each; each = each.cause) messages.push(each.error_description ?? each.message ?? String(each));
  return [...new Set(messages.filter((text) => typeof text === 'string'))].join(': ');
}

/** Prints `hello`, and then the answer of `respond` to each line. */
export async function serve(hello, respond) {
  const print = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
  print(hello);
  for await (const line of createInterface({ input: process.stdin })) {
    print(await respond(JSON.parse(line)).catch((error) => ({ error: message(error) })));
  }
  process.exit(0);
}
