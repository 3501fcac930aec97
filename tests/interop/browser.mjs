// The user with a browser: follows redirects, keeps cookies and submits the forms of oidc-provider's development pages.
// As a program, `node browser.mjs URL` does what a browser does with a URL, with a user who agrees to everything.
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const MAX_STEPS = 20;
const REQUEST_LIMIT = 10_000;
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

const attribute = (tag, name) => new RegExp(`\\s${name}="([^"]*)"`, 'i').exec(tag)?.[1]?.replaceAll('&amp;', '&');

/** Returns the first form of a page: where it goes, and what it sends with these texts filled in. */
function readForm(page, texts) {
  const [form, tag] = /(<form[^>]*>)[\s\S]*?<\/form>/i.exec(page) ?? [];
  if (!form) return undefined;
  const fields = new URLSearchParams();
  for (const [input] of form.matchAll(/<input[^>]*>/gi)) {
    const name = attribute(input, 'name');
    if (name) fields.append(name, texts[name] ?? attribute(input, 'value') ?? '');
  }
  return { action: attribute(tag, 'action'), fields };
}

export class Browser {
  #cookies = new Map();

  /** `texts` is what the user enters, by the names of the fields; `ca` are certificates to trust. A user who refuses takes what aborts, a link or a button. */
  constructor({ texts = {}, refuses = false, ca } = {}) {
    Object.assign(this, { texts: { login: 'alice', password: 'any', ...texts }, refuses, ca });
  }

  /** Goes to a URL and on until there is no form left, or a redirect goes to `until`. Returns where that was, and the page. */
  async visit(url, until) {
    let request;
    let aborted = false;
    for (let step = 0; step < MAX_STEPS; step += 1) {
      if (until && url.startsWith(until)) return { url };
      const { status, location, page } = await this.send(url, request);
      const link = location ?? (this.refuses && /href="([^"]*\/abort)"/.exec(page)?.[1]);
      const form = readForm(page, this.texts);
      if (link) {
        [url, request] = [new URL(link, url).href, undefined];
      } else if (form && !aborted) {
        aborted = this.refuses && /<button[^>]* name="abort"/.test(page);
        if (aborted) form.fields.set('abort', 'yes');
        [url, request] = [new URL(form.action, url).href, { method: 'POST', headers: FORM, body: form.fields.toString() }];
      } else {
        return { url, status, page };
      }
    }
    throw new Error(`the browser did not arrive, and is at ${url}`);
  }

  /** Sends one request with the cookies. Without headers it is one by which a page is opened. */
  async send(url, { method = 'GET', headers = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': 'none' }, body } = {}) {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const { request } = url.startsWith('https:') ? https : http;
    const length = body && { 'content-length': Buffer.byteLength(body) };
    const sent = request(url, { method, headers: { ...headers, cookie, ...length }, ca: this.ca, signal: AbortSignal.timeout(REQUEST_LIMIT) }).end(body);
    const [response] = await once(sent, 'response');
    for (const line of response.headers['set-cookie'] ?? []) {
      const [name, value] = line.split(';')[0].split(/=(.*)/s);
      if (value) this.#cookies.set(name, value);
      else this.#cookies.delete(name);
    }
    return { status: response.statusCode, location: response.headers.location, page: await text(response) };
  }

  cookie(name) {
    return this.#cookies.get(name);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await new Browser().visit(process.argv[2]);
