// Compares outcomes with those of expected.json.
import { readFileSync, writeFileSync } from 'node:fs';

/** The function under test has no way to take the inputs of a case, or is not asked. */
export class CannotRepresent extends Error {}

const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url)));

/** `outcomes` gives names of cases, what was expected and what came out, which are missing if a case cannot be represented. */
export async function report(packages, outcomes) {
  const versions = Object.fromEntries(packages.map((name) => [name, read(`node_modules/${name}/package.json`).version]));
  const [disagrees, count] = [{}, { agrees: 0, disagrees: 0, 'cannot represent': 0 }];
  for await (const [name, expected, got] of outcomes) {
    const outcome = expected === undefined ? 'cannot represent' : expected === got || expected === 'policy' ? 'agrees' : 'disagrees';
    count[outcome] += 1;
    if (outcome === 'disagrees') disagrees[name] = got;
    if (process.argv.includes('--all')) console.log(`${outcome}: ${name}${outcome === 'disagrees' ? `: ${got}, not ${expected}` : ''}`);
  }
  const seen = { versions, 'cannot represent': count['cannot represent'], disagrees };
  if (process.argv.includes('--write')) writeFileSync(new URL('expected.json', import.meta.url), `${JSON.stringify(seen, null, 1)}\n`);
  const known = read('expected.json');
  const changed = Object.keys({ ...known.disagrees, ...disagrees }).filter((name) => known.disagrees[name] !== disagrees[name]);
  for (const name of changed) console.log(`CHANGED ${name}: ${disagrees[name] ?? 'agrees'}, and expected.json has ${known.disagrees[name] ?? 'agrees'}`);
  if (known['cannot represent'] !== seen['cannot represent']) changed.push(`cannot represent: expected.json has ${known['cannot represent']}`);
  console.log(`${JSON.stringify(versions)}: ${JSON.stringify(count)}`);
  console.log(`${count.agrees + count.disagrees - changed.length} passed, ${changed.length} failed`);
  process.exit(changed.length || !count.agrees ? 1 : 0);
}
