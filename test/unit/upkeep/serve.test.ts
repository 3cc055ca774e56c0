import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { serveFolder } from '../../../src/index.ts';
import { htmlPage } from '../../../src/render/html/page.ts';
import { type FolderServer, SERVE_LIMITS, type ServeLimits, type ServeOptions, serveWithin } from '../../../src/upkeep/serve/serve.ts';
import { givenToken } from '../../../src/upkeep/serve/token.ts';
import { rawAnswer, rawRequest, rawSocket } from '../../support/raw-http.ts';

const TOKEN = 'correct-horse-battery-staple';
const page = (title: string) => htmlPage({ title, summary: { headline: 'fine', tone: 'good' }, sections: [] });
const SECRET = 'the weights of somebody else';

let root: string;
let served: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'serve-'));
  served = join(root, 'served');
  mkdirSync(join(served, 'best.search', 'logs'), { recursive: true });
  mkdirSync(join(served, '.lock'));
  mkdirSync(join(root, 'outside'));
  writeFileSync(join(served, 'report.html'), page('Search over λ & <b>'));
  writeFileSync(join(served, 'best.search', 'report.html'), page('Soup of 3'));
  writeFileSync(join(served, 'best.search', 'result.json'), '{\n  "schema": "ckpt-merge/search"\n}\n');
  writeFileSync(join(served, 'best.search', 'trials.jsonl'), '{"id":0}\n');
  writeFileSync(join(served, 'best.search', 'logs', 'trial-0000.log'), SECRET);
  writeFileSync(join(served, '.lock', 'work.html'), page('hidden'));
  writeFileSync(join(served, '.hidden.html'), page('hidden'));
  writeFileSync(join(served, 'config.json'), `{"model_type": "${SECRET}"}`);
  writeFileSync(join(served, 'data.jsonl'), SECRET);
  writeFileSync(join(served, 'foreign.html'), `<script>${SECRET}</script>`);
  writeFileSync(join(served, 'model.safetensors'), SECRET);
  writeFileSync(join(root, 'outside', 'report.html'), page(SECRET));
  symlinkSync(join(root, 'outside', 'report.html'), join(served, 'linked.html'));
  symlinkSync(join(root, 'outside'), join(served, 'linked'));
  mkdirSync(join(served, 'folder.html'));
  execFileSync('mkfifo', [join(served, 'fifo.html')]);
});
afterAll(() => rmSync(root, { recursive: true }));

const servers: FolderServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
async function started(options: Partial<ServeOptions> = {}, limits: Partial<ServeLimits> = {}): Promise<string> {
  const server = await serveWithin({ folder: served, ...options }, { ...SERVE_LIMITS, ...limits });
  servers.push(server);
  return server.url;
}

const get = (target: string, ...headers: readonly string[]) =>
  `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${headers.map((line) => `${line}\r\n`).join('')}Connection: close\r\n\r\n`;
const asked = (host: string) => `GET /report.html HTTP/1.1\r\n${host}Connection: close\r\n\r\n`;

/** What is sent, and the status that answers it. */
const CASES: readonly (readonly [what: string, request: string, status: number])[] = [
  ['a page', get('/report.html'), 200],
  ['its head', get('/report.html').replace('GET', 'HEAD'), 200],
  ['a document of ours', get('/best.search/result.json'), 200],
  ['trials', get('/best.search/trials.jsonl'), 200],
  ['a folder without its slash', get('/best.search'), 303],
  ['a query of no meaning', get('/report.html?x=1&y=%zz'), 200],
  ['up and out', get('/../outside/report.html'), 404],
  ['up and out, encoded', get('/%2e%2e/outside/report.html'), 404],
  ['up and out, encoded twice', get('/%252e%252e/outside/report.html'), 404],
  ['up in the middle', get('/best.search/../../outside/report.html'), 404],
  ['an encoded slash', get('/..%2foutside%2freport.html'), 404],
  ['a backslash', get('/..\\outside\\report.html'), 404],
  ['an absolute path', get('//etc/passwd'), 404],
  ['a NUL', get('/report.html%00.png'), 404],
  ['a line feed in a name', get('/report%0a.html'), 404],
  ['a name that is no UTF-8', get('/%ff.html'), 400],
  ['a name encoded by half', get('/%e0%a4.html'), 400],
  ['a hidden file', get('/.hidden.html'), 404],
  ['a hidden folder', get('/.lock/work.html'), 404],
  ['a link out', get('/linked.html'), 404],
  ['a folder that is a link', get('/linked/report.html'), 404],
  ['the list of a folder that is a link', get('/linked/'), 404],
  ['tensors', get('/model.safetensors'), 404],
  ["a model's config.json", get('/config.json'), 404],
  ['data of somebody', get('/data.jsonl'), 404],
  ["somebody's page", get('/foreign.html'), 404],
  ['a log', get('/best.search/logs/trial-0000.log'), 404],
  ['a folder called as a page', get('/folder.html'), 404],
  ['a FIFO called as a page', get('/fifo.html'), 404],
  ['a page as a folder', get('/report.html/'), 404],
  ['forty folders', get(`${'/a'.repeat(40)}/report.html`), 404],
  ['a name of 300 bytes', get(`/${'a'.repeat(300)}.html`), 404],
  ['a path of 5000 bytes', get(`/${'a'.repeat(5000)}`), 414],
  ['headers of 20 kB', get('/report.html', `X-Big: ${'x'.repeat(20_000)}`), 431],
  ['3000 headers', get('/report.html', ...Array.from({ length: 3000 }, (_, i) => `X-${i}: 1`)), 431],
  ['POST', get('/report.html').replace('GET', 'POST'), 405],
  ['PUT', get('/report.html').replace('GET', 'PUT'), 405],
  ['DELETE', get('/report.html').replace('GET', 'DELETE'), 405],
  ['OPTIONS *', get('*').replace('GET', 'OPTIONS'), 405],
  ['TRACE', get('/report.html').replace('GET', 'TRACE'), 405],
  ['a method that there is not', get('/report.html').replace('GET', 'BREW'), 400],
  ['a target that is a URL', get('http://localhost/report.html'), 400],
  ['a target without a slash', get('report.html'), 400],
  ['GET with a body', get('/report.html', 'Content-Length: 5').concat('12345'), 400],
  ['two lengths', get('/report.html', 'Content-Length: 5', 'Content-Length: 6'), 400],
  ['a body in chunks', get('/report.html', 'Transfer-Encoding: chunked').concat('0\r\n\r\n'), 400],
  ['a length and chunks', get('/report.html', 'Content-Length: 4', 'Transfer-Encoding: chunked').concat('0\r\n\r\n'), 400],
  ['a space before a colon', get('/report.html', 'X-Odd : 1'), 400],
  ['a folded header', get('/report.html', 'X-Odd: 1', ' 2'), 400],
  ['no HTTP', 'hello\r\n\r\n', 400],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['HTTP/1.0 without a host', 'GET /report.html HTTP/1.0\r\n\r\n', 400],
  ['no host', asked(''), 400],
  ['two hosts', asked('Host: localhost\r\nHost: localhost\r\n'), 400],
  ['an empty host', asked('Host: \r\n'), 421],
  ['a host of elsewhere', asked('Host: example.org\r\n'), 421],
  ['a host that begins as ours', asked('Host: localhost.example.org\r\n'), 421],
  ['a host with a user', asked('Host: localhost@example.org\r\n'), 421],
  ['an address of elsewhere', asked('Host: 192.0.2.1\r\n'), 421],
  ['a tunnel with another port', asked('Host: localhost:12345\r\n'), 200],
  ['the address in brackets', asked('Host: [::1]:80\r\n'), 200],
];

describe('requests of all kinds', () => {
  const told: string[] = [];
  afterAll(() => console.log(`requests and what answers them:\n${told.join('\n')}`));
  it.each(CASES)('%s', async (what, request, status) => {
    const url = await started();
    const answer = await rawRequest(url, request);
    told.push(`  ${String(answer.status).padEnd(5)}${what}`);
    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain(SECRET);
    if (status >= 400 && status !== 431 && answer.body !== '') expect(answer.header('Content-Type')).toBe('text/plain; charset=utf-8');
    // One that was refused harms nobody else.
    expect((await fetch(`${url}report.html`)).status).toBe(200);
  });
});

it('gives a page as it lies there, with headers that keep others from using it', async () => {
  const url = await started();
  const answer = await fetch(`${url}report.html`);
  expect(await answer.text()).toBe(readFileSync(join(served, 'report.html'), 'utf8'));
  const headers = Object.fromEntries(answer.headers);
  expect(headers).toMatchObject({
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
  });
  expect(headers['content-security-policy']).toMatch(/^default-src 'none';.*frame-ancestors 'none'$/);
  expect(headers).not.toHaveProperty('access-control-allow-origin');
  const head = await rawRequest(url, get('/report.html').replace('GET', 'HEAD'));
  expect([head.body, head.header('Content-Length')]).toEqual(['', headers['content-length']]);
});

it('lists the pages below a folder, with the data beside each, and nothing else', async () => {
  const url = await started();
  const list = await (await fetch(url)).text();
  const links = [...list.matchAll(/<a href="([^"]*)">([^<]*)<\/a>/g)].map(([, href, text]) => [href, text]);
  expect(links.sort()).toEqual(
    [
      ['/best.search/report.html', 'Soup of 3'],
      ['/best.search/result.json', 'result.json'],
      ['/best.search/trials.jsonl', 'trials.jsonl'],
      ['/report.html', 'Search over λ &amp; &lt;b&gt;'],
    ].sort(),
  );
  for (const [href] of links) expect((await fetch(new URL(href!, url))).status).toBe(200);
  const below = await (await fetch(`${url}best.search/`)).text();
  expect(below).not.toContain('href="/report.html"');
  const empty = await started({ folder: join(served, 'folder.html') });
  expect(await (await fetch(empty)).text()).toContain('No pages lie in this folder yet.');
});

it('finds pages beside many steps of a run, and says where it did not look at all', async () => {
  const folder = join(root, 'many');
  for (let i = 0; i < 60; i++) {
    mkdirSync(join(folder, `checkpoint-${1000 + i}`), { recursive: true });
    for (let k = 0; k < 100; k++) writeFileSync(join(folder, `checkpoint-${1000 + i}`, `shard-${k}`), '');
  }
  mkdirSync(join(folder, 'search'));
  writeFileSync(join(folder, 'search', 'report.html'), page('beside them'));
  const list = await (await fetch(await started({ folder }))).text();
  expect(list).toContain('href="/search/report.html"');
  expect(list).toContain('There is more here than a list looks at');
});

it('serves a folder from the moment that it is there', async () => {
  const folder = join(root, 'later');
  const url = await started({ folder });
  expect((await fetch(url)).status).toBe(404);
  mkdirSync(folder);
  writeFileSync(join(folder, 'report.html'), page('later'));
  expect((await fetch(`${url}report.html`)).status).toBe(200);
});

/** A page as long as no system's buffers for a connection. */
const BYTES = 48 * 2 ** 20;
function bigPage(name: string): string {
  const file = join(served, name);
  writeFileSync(file, page('big'));
  truncateSync(file, BYTES);
  return file;
}

/** Begins to read an answer, does something in the middle, and reads on. */
async function meanwhile(url: string, target: string, work: () => void): Promise<number> {
  const socket = await rawSocket(url);
  socket.write(get(target));
  const first = await new Promise<Buffer>((done) => socket.once('data', done));
  socket.pause();
  work();
  let bytes = first.length - (first.indexOf('\r\n\r\n') + 4);
  socket.on('data', (chunk) => {
    bytes += chunk.length;
  });
  socket.resume();
  await new Promise((done) => socket.once('close', done));
  return bytes;
}

describe('a page that changes while it is sent', () => {
  it('stays whole where another one takes its place', async () => {
    const url = await started();
    const file = bigPage('replaced.html');
    const bytes = await meanwhile(url, '/replaced.html', () => {
      writeFileSync(`${file}.draft`, page('the next'));
      renameSync(`${file}.draft`, file);
    });
    expect(bytes).toBe(BYTES);
    expect(await (await fetch(`${url}replaced.html`)).text()).toBe(page('the next'));
  });

  it('is as long as it said where it grows, and ends in an error where it shrinks', async () => {
    const url = await started();
    const grown = bigPage('grown.html');
    expect(await meanwhile(url, '/grown.html', () => appendFileSync(grown, 'more'))).toBe(BYTES);
    const cut = bigPage('cut.html');
    expect(await meanwhile(url, '/cut.html', () => truncateSync(cut, 100_000))).toBeLessThan(BYTES);
  });
});

describe('readers who hold the server up', () => {
  /** Tries until an answer comes: while all connections are taken there is none, and while all answers are a 503. */
  async function untilServed(url: string): Promise<number> {
    for (;;) {
      const status = await fetch(`${url}report.html`).then(
        (answer) => answer.status,
        () => null,
      );
      if (status !== null && status !== 503) return status;
    }
  }

  it.each([
    ['never reads', get('/big.html'), { idleMs: 200 }],
    ['takes longer than an answer may', get('/big.html'), { answerMs: 200 }],
    ['sends nothing', '', { requestMs: 200 }],
    ['sends half a request', 'GET /report.html HTTP/1.1\r\nHost:', { requestMs: 200 }],
    ['keeps a connection for nothing', 'GET /report.html HTTP/1.1\r\nHost: localhost\r\n\r\n', { idleMs: 200 }],
  ])('one that %s is dropped, and the next is served', async (_, text, limits) => {
    bigPage('big.html');
    const url = await started({}, { ...limits, connections: 1 });
    const socket = await rawSocket(url);
    socket.pause();
    socket.write(text);
    expect(await untilServed(url)).toBe(200);
    socket.destroy();
  });

  it('those who leave in the middle take nothing with them', async () => {
    bigPage('big.html');
    const url = await started();
    // Of several requests on one connection, as of one, before, while and after they are answered.
    for (let i = 0; i < 60; i++) {
      const socket = await rawSocket(url);
      const request = `GET /${['big.html', 'report.html', '', 'nothing.html'][i % 4]} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
      socket.write(request.repeat(1 + (i % 3)));
      // Several on one connection before the first is answered end it.
      if (i % 5 > 2) await new Promise((done) => socket.once('data', done).once('close', done));
      if (i % 2 === 0) socket.resetAndDestroy();
      else socket.destroy();
    }
    expect(await untilServed(url)).toBe(200);
  });

  it('a flood of requests waits for its turn, and is dropped where that would be long', async () => {
    // At this rate the third has to wait for hours.
    const url = await started({}, { perSecond: 0.0001, burst: 2 });
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push((await rawRequest(url, get('/report.html'))).status);
    expect(answers).toEqual([200, 200, 0, 0]);
    const other = await started({}, { perSecond: 20, burst: 1 });
    const all = await Promise.all(Array.from({ length: 8 }, () => rawRequest(other, get('/report.html'))));
    expect(all.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
  });

  it('more at a time than it answers are told to come again', async () => {
    bigPage('big.html');
    const url = await started({}, { answers: 1 });
    const socket = await rawSocket(url);
    socket.write(get('/big.html'));
    await new Promise((done) => socket.once('data', done));
    socket.pause();
    const answer = await rawRequest(url, get('/report.html'));
    expect([answer.status, answer.header('Retry-After')]).toEqual([503, '1']);
    socket.destroy();
    while ((await rawRequest(url, get('/report.html'))).status !== 200);
  });
});

describe('a token', () => {
  it('lets in by bearer, or once by the address, which it then leaves', async () => {
    const url = await started({ token: TOKEN });
    const closed = await rawRequest(url, get('/report.html'));
    expect([closed.status, closed.header('WWW-Authenticate')]).toEqual([401, 'Bearer']);
    expect((await rawRequest(url, get('/report.html', `Authorization: Bearer ${TOKEN}`))).status).toBe(200);
    const entered = await rawRequest(url, get(`/report.html?token=${TOKEN}`));
    expect([entered.status, entered.header('Location')]).toEqual([303, '/report.html']);
    const cookie = entered.header('Set-Cookie')!;
    expect(cookie).toMatch(/; HttpOnly; SameSite=Lax; Path=\/$/);
    expect(entered.text).not.toContain(TOKEN);
    const session = cookie.split(';')[0]!;
    expect((await rawRequest(url, get('/report.html', `Cookie: a=b; ${session}`))).status).toBe(200);
    // A cookie goes to all ports of a host: of another server it opens nothing here.
    const other = await started({ token: TOKEN });
    expect((await rawRequest(other, get('/report.html', `Cookie: ${session}`))).status).toBe(401);
  });

  it.each([
    ['a wrong token', '/report.html?token=correct-horse-battery-stapla', []],
    ['an empty one', '/report.html?token=', []],
    ['a part of it', `/report.html?token=${TOKEN.slice(0, 20)}`, []],
    ['a wrong bearer', '/report.html', ['Authorization: Bearer correct-horse-battery-stapla']],
    ['Basic', '/report.html', [`Authorization: Basic ${Buffer.from(`a:${TOKEN}`).toString('base64')}`]],
    ['the token as a cookie', '/report.html', [`Cookie: token=${TOKEN}`]],
    ['the list of pages', '/', []],
    ['a page that is not there', '/nothing.html', []],
  ])('keeps out: %s', async (_, target, headers) => {
    const url = await started({ token: TOKEN });
    const answer = await rawRequest(url, get(target, ...headers));
    expect(answer.status).toBe(401);
    expect(answer.text).not.toContain(TOKEN);
  });

  it('comes from a file of one user, or from the environment, which keeps it no longer', async () => {
    const file = join(root, 'token');
    writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
    const env = { MERGE_SERVE_TOKEN: 'another-token-of-the-environment' };
    expect(await givenToken(undefined, env)).toBe('another-token-of-the-environment');
    expect(env).toEqual({});
    expect(await givenToken(file, env)).toBe(TOKEN);
    chmodSync(file, 0o644);
    await expect(givenToken(file, {})).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('everybody') });
    chmodSync(file, 0o600);
    for (const bad of ['', 'short', 'with spaces in the middle of it', `${TOKEN}\n${TOKEN}`, 'ümläuteümläuteümläute']) {
      writeFileSync(file, bad);
      const error = await givenToken(file, {}).then(
        () => null,
        (error: unknown) => error as Error,
      );
      expect(error).toMatchObject({ code: 'E_OPTION' });
      if (bad !== '') expect(error!.message).not.toContain(bad);
    }
    await expect(givenToken(join(root, 'nothing'), {})).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  });
});

describe('where it listens', () => {
  it.each(['127.0.0.1:0', 'localhost:0', '0', '127.1.2.3:0'])('%s', async (address) => {
    const { url, close } = await serveFolder({ folder: served, address });
    expect((await fetch(`${url}report.html`)).status).toBe(200);
    await close();
    await expect(fetch(url)).rejects.toThrow();
    await close();
  });

  it('[::1]:0, where the machine has IPv6', async () => {
    const server = await serveFolder({ folder: served, address: '[::1]:0' }).catch((error: unknown) => {
      expect(error).toMatchObject({ code: 'E_LISTEN' });
      console.log('skipped: this machine has no IPv6');
      return null;
    });
    if (server === null) return;
    servers.push(server);
    expect(server.url).toMatch(/^http:\/\/\[::1\]:\d+\/$/);
    expect((await fetch(`${server.url}report.html`)).status).toBe(200);
  });

  it.each(['0.0.0.0:0', '[::]:0', '192.0.2.1:0', '[2001:db8::1]:0', '[::ffff:192.0.2.1]:0'])(
    'never at %s without a token',
    async (address) => {
      await expect(serveFolder({ folder: served, address })).rejects.toMatchObject({
        code: 'E_OPTION',
        message: expect.stringContaining('no token is given'),
      });
    },
  );

  it.each([
    '',
    'localhost',
    '127.0.0.1',
    '::1:80',
    '[::1]',
    '[localhost]:80',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    ':80',
    'a b:80',
    '0x7f.1:1e3',
  ])("'%s' is no address", async (address) => {
    await expect(serveFolder({ folder: served, address })).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  it('says that a port is taken, or no address of this machine', async () => {
    const url = new URL(await started());
    const error = { code: 'E_LISTEN', exitCode: 1 };
    await expect(serveFolder({ folder: served, address: url.host })).rejects.toMatchObject({ ...error, details: { errno: 'EADDRINUSE' } });
    await expect(serveFolder({ folder: served, address: '192.0.2.1:0', token: TOKEN })).rejects.toMatchObject(error);
    await expect(serveFolder({ folder: served, token: 'short' })).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  it('ends with a signal, also in the middle of an answer', async () => {
    bigPage('big.html');
    const controller = new AbortController();
    const url = await started({ signal: controller.signal });
    const socket = await rawSocket(url);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1', 0, 20);
    });
    socket.write(get('/big.html'));
    await new Promise((done) => socket.once('data', done));
    controller.abort('enough');
    await new Promise((done) => socket.once('close', done));
    expect(rawAnswer(text).status).toBe(200);
    await expect(fetch(url)).rejects.toThrow();
    await expect(serveFolder({ folder: served, signal: controller.signal })).rejects.toBe('enough');
  });
});
