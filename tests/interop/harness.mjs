// What every check stands on: counting, child processes that never outlive the run, and the canary.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const EXAMPLES = resolve(process.env.EXAMPLES ?? join(import.meta.dirname, '../../target/debug/examples'));
const PROGRAM_LIMIT = 20_000;
const CHECK_LIMIT = 60_000;
const RUN_LIMIT = 15 * 60_000;
const only = process.argv[2] ?? '';

// --------------------------------------------------------------------------------------------------------- counting

const count = { passed: 0, failed: 0 };

export function expect(condition, message) {
  if (!condition) throw new Error(typeof message === 'string' ? message : JSON.stringify(message));
}

export function same(actual, wanted, what) {
  const [a, b] = [actual, wanted].map((value) => JSON.stringify(value));
  expect(a === b, `${what}: ${a}, not ${b}`);
}

async function within(limit, promise, what) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(reject, limit, new Error(`${what}: nothing after ${limit / 1000} s`)); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Runs one check and prints its line; `node check.mjs TEXT` runs only those whose name contains TEXT. */
export async function check(name, run, limit = CHECK_LIMIT) {
  if (!name.includes(only)) return;
  try {
    await within(limit, run(), 'check');
    count.passed += 1;
    console.log(`ok   ${name}`);
  } catch (err) {
    count.failed += 1;
    console.log(`FAIL ${name}: ${err.message}${err.cause ? ` (${err.cause.message ?? JSON.stringify(err.cause)})` : ''}`);
  }
}

export function finish() {
  if (count.passed + count.failed === 0) count.failed = 1; // a run that checked nothing proves nothing
  console.log(`${count.passed} passed, ${count.failed} failed`);
  process.exit(count.failed ? 1 : 0);
}

// ------------------------------------------------------------------------------------------------ files and programs

const directory = mkdtempSync(join(tmpdir(), 'possession-interop-'));
const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
process.once('uncaughtException', (err) => { console.error(err); process.exit(1); });
setTimeout(() => { console.error(`the whole run took more than ${RUN_LIMIT / 60_000} minutes`); process.exit(1); }, RUN_LIMIT).unref();

let files = 0;
/** Writes a temporary file and answers its path. */
export function file(content) {
  const path = join(directory, `${files += 1}`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 });
  return path;
}

function start(program, args, { stdin = 'ignore', env = {} } = {}) {
  const child = spawn(program, args, { stdio: [stdin, 'pipe', 'pipe'], env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env } });
  children.add(child);
  child.once('close', () => children.delete(child));
  child.stderr.setEncoding('utf8');
  child.stdout.setEncoding('utf8');
  return child;
}

const logs = [];

/** Starts a server of ours or one of the examples; it lives until the run ends, which closes its standard input. */
export async function launch(program, args = [], env = {}) {
  const child = start(program, args, { stdin: 'pipe', env });
  const log = { program, stderr: '' };
  logs.push(log);
  child.stderr.on('data', (text) => { log.stderr = (log.stderr + text).slice(-400_000); });
  const ready = await within(PROGRAM_LIMIT, new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', (code) => failed(new Error(`${program} ${args.join(' ')} ended with ${code}: ${log.stderr}`)));
    createInterface({ input: child.stdout }).on('line', (line) => { if (line.startsWith('READY ')) done(JSON.parse(line.slice(6))); });
  }), program);
  return { ...ready, log };
}

/** What the servers of this run wrote to standard error holds no secret either. */
export async function noLeakInLogs() {
  for (const { program, stderr } of logs) {
    expect(!/panicked at/.test(stderr), `panic of ${program}: ${stderr}`);
    noLeak({ stdout: '', stderr });
  }
}

/** The path of an example, or of the program `possession`, which is beside their directory. */
export const example = (name) => resolve(EXAMPLES, name === 'possession' ? '..' : '.', name);

/** Runs an example, or a program by its path, to its end. */
export async function execute(name, args, env = {}, limit = PROGRAM_LIMIT) {
  const child = start(example(name), args, { env });
  const out = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) child[stream].on('data', (text) => { out[stream] += text; });
  const ended = new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', (code, signal) => done({ code: code ?? signal, ...out }));
  });
  const result = await within(limit, ended, name).finally(() => child.kill('SIGKILL'));
  expect(!/panicked at/.test(result.stderr), `panic: ${result.stderr}`);
  noLeak(result);
  return result;
}

/** Runs a program that responds to each line of JSON with one, for as long as `use` does. What fails, and standard error, must not contain a secret. */
export async function converse(name, use) {
  const child = start(example(name), [], { stdin: 'pipe' });
  const said = { stdout: '', stderr: '' };
  child.stderr.on('data', (text) => { said.stderr += text; });
  child.once('error', (err) => { said.stderr += err.message; });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  try {
    return await use(async (message) => {
      child.stdin.write(`${JSON.stringify(message)}\n`);
      const { value } = await within(PROGRAM_LIMIT, lines.next(), `${name}: ${message.call}`);
      expect(value, `${name} ended: ${said.stderr}`);
      const { failed } = JSON.parse(value);
      if (failed) said.stdout += `${failed}\n`;
      return JSON.parse(value);
    });
  } finally {
    child.kill('SIGKILL');
    expect(!/panicked at/.test(said.stderr), `panic: ${said.stderr}`);
    noLeak(said);
  }
}

// ----------------------------------------------------------------------------------------------------------- canary

const secrets = new Set();

/** From now on no output may contain any of these, plain, in Base64 or percent-encoded. */
export function keepSecret(...values) {
  for (const value of values.filter(Boolean)) secrets.add(value).add(Buffer.from(value).toString('base64'));
}

export const keepPemSecret = (pem) => keepSecret(...pem.split('\n').filter((line) => line.length >= 16 && !line.startsWith('-----')));

const percentDecode = (text) => text.replaceAll('+', ' ').replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));

export function noLeak({ stdout, stderr }) {
  const texts = [stdout, stderr].flatMap((text) => [text, percentDecode(text)]);
  for (const secret of secrets) {
    for (const text of texts) expect(!text.includes(secret), `the output contains a secret: ${secret}`);
  }
}
