import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { bindingPath, loadBinding } from '../../src/merge/native/load.ts';
import { tempDir } from '../support/native-job.ts';

const binding = loadBinding();

/** Functions for child processes and workers, which load the addon themselves. */
const PRELUDE = `
  const fs = require('node:fs');
  const binding = require(${JSON.stringify(bindingPath())});
  function job(files, outputs, count, cancel = new Int32Array(1), first = 0) {
    const n = files.length, k = outputs.length;
    return { files, outputs, cancel, count: Float64Array.of(count), file: Int32Array.from(files.keys()), offset: new Float64Array(n).fill(first * 2),
      dtype: new Uint8Array(n), outOffset: new Float64Array(k).fill(first * 2), outDtype: new Uint8Array(k), table: Int32Array.of(0),
      weights: new Float64Array(k * n).fill(1 / n), cell: Int32Array.of(0, 1), cellEnd: Float64Array.of(count) };
  }
  function engine(options) { return binding.createEngine({ threads: 2, memoryBytes: 64 << 20, maxInputs: 16, maxOutputs: 16, reads: true, ...options }); }
  const rss = (field) => Number(new RegExp(field + ':\\\\s+(\\\\d+)').exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
`;

function runChild(script: string, before = ''): { status: number | null; signal: string | null; output: string } {
  const code = `${PRELUDE} (async () => { ${script} })().catch((e) => { console.log(JSON.stringify({ ...e, message: e.message })); process.exit(9); });`;
  const command = `${before} exec "$0" -e "$1"`;
  const child = spawnSync('/bin/sh', ['-c', command, process.execPath, code], { encoding: 'utf8', timeout: 60_000 });
  return { status: child.status, signal: child.signal, output: child.stdout + child.stderr };
}

describe('an input that is truncated', () => {
  const count = 3 << 20;
  test.each([
    ['mapped, before the call', 'map', 'fs.truncateSync(a, 4096 * 3 + 5);', ''],
    ['mapped, to nothing', 'map', 'fs.truncateSync(a, 0);', ''],
    ['mapped, during the call', 'map', '', 'fs.truncateSync(a, 70000);'],
    ['read, before the call', 'read', 'fs.truncateSync(a, 4096 * 3 + 5);', ''],
    ['read, during the call', 'read', '', 'fs.truncateSync(a, 70000);'],
  ])('%s fails the call and names the input, and the process lives', (_, mode, before, during) => {
    using dir = tempDir();
    const child = runChild(`
      const [a, b] = ['a', 'b'].map((name) => ${JSON.stringify(dir.path)} + '/' + name);
      for (const path of [a, b]) fs.writeFileSync(path, new Uint8Array(${count * 2}).fill(0x3c));
      const files = [binding.openInput(b, '${during === '' ? 'map' : 'read'}'), binding.openInput(a, '${mode}')];
      const output = binding.openOutput(${JSON.stringify(dir.file('out'))}, ${count * 2}, { reopen: false });
      // slow small requests (of b at least) leave time to truncate
      const e = engine(${during === '' ? '{}' : '{ threads: 1, requestBytes: 65536, requestsInFlight: 1, readDelayMicros: 3000 }'});
      ${before}
      const call = e.combine(job(files, [output], ${count}));
      ${during === '' ? '' : `setTimeout(() => { ${during} }, 15);`}
      const error = await call.then(() => ({ code: 'none' }), (error) => error);
      // once gone, an input stays gone; others still work
      const again = await e.combine(job(files, [output], ${count})).then(() => 'none', (error) => error.code);
      await e.combine(job([files[0]], [output], ${count}));
      e.close();
      console.log(JSON.stringify({ code: error.code, file: error.fileIndex, again }));
    `);
    expect(child.output).not.toContain('Error:');
    const said = JSON.parse(child.output);
    expect(said).toEqual({ code: 'E_INPUT_CHANGED', file: 1, again: 'E_INPUT_CHANGED' });
    expect(child.status).toBe(0);
  });

  test('a probe of it fails too', async () => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), new Uint8Array(1 << 20));
    expect(await binding.probeRead(dir.file('a'), 'map', 2)).toMatchObject({ bytes: 1 << 20 });
    expect(await binding.probeRead(dir.file('a'), 'read', 2, 1000)).toMatchObject({ bytes: 1 << 20 });
    await expect(binding.crc32cFile(dir.file('a'), 1, 1 << 20)).rejects.toMatchObject({ code: 'E_INPUT_CHANGED' });
  });

  test('faults that are not ours still end the process', () => {
    using dir = tempDir();
    const child = runChild(`
      fs.writeFileSync(${JSON.stringify(dir.file('a'))}, 'x');
      binding.openInput(${JSON.stringify(dir.file('a'))}, 'map');
      process.kill(process.pid, 'SIGBUS');
      setTimeout(() => console.log('alive'), 2000);
    `);
    expect(child.signal ?? child.status).toBe('SIGBUS');
    expect(child.output).not.toContain('alive');
  });
});

describe('limits of the process', () => {
  test('a file size limit is E_NO_SPACE with EFBIG, at creation and in a write', () => {
    using dir = tempDir();
    const out = JSON.stringify(dir.file('out'));
    const create = runChild(`binding.openOutput(${out}, 1 << 20, { reopen: false });`, 'ulimit -f 512;');
    expect(JSON.parse(create.output)).toMatchObject({ code: 'E_NO_SPACE', errno: 'EFBIG' });
    expect(existsSync(dir.file('out'))).toBe(false);

    // 1 MiB was there before the limit came: sizing passes, the write past 256 KiB does not
    writeFileSync(dir.file('out'), new Uint8Array(1 << 20));
    writeFileSync(dir.file('in'), new Uint8Array(1 << 20));
    const write = runChild(
      `const output = binding.openOutput(${out}, 1 << 20, { reopen: true });
       await engine().combine(job([binding.openInput(${JSON.stringify(dir.file('in'))}, 'map')], [output], 1 << 19));`,
      'ulimit -f 512;',
    );
    expect(JSON.parse(write.output)).toMatchObject({ code: 'E_NO_SPACE', errno: 'EFBIG', syscall: 'pwrite', outputIndex: 0 });
  });

  test('more inputs than descriptors: mapped they open, read they are E_TOO_MANY_FILES', () => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), 'xx');
    const open = (mode: string) =>
      `const all = []; for (let i = 0; i < 300; i++) all.push(binding.openInput(${JSON.stringify(dir.file('a'))}, '${mode}'));`;
    expect(runChild(`${open('map')} console.log(all.length);`, 'ulimit -n 64;').output.trim()).toBe('300');
    expect(JSON.parse(runChild(open('read'), 'ulimit -n 64;').output)).toMatchObject({ code: 'E_TOO_MANY_FILES', errno: 'EMFILE' });
  });

  test('a mapping that the system refuses becomes positioned reads', () => {
    using dir = tempDir();
    closeSync(openSync(dir.file('big'), 'w'));
    truncateSync(dir.file('big'), 2 ** 43); // sparse, beyond what ulimit -v leaves
    const child = runChild(`console.log(binding.openInput(${JSON.stringify(dir.file('big'))}, 'map').mode);`, 'ulimit -v 8000000;');
    expect(child.output.trim()).toBe('read');
  });
});

test.each([
  { inputs: 4, outputs: 1, threads: 2, reads: false },
  { inputs: 10, outputs: 8, threads: 16, reads: false },
  { inputs: 4, outputs: 8, threads: 16, reads: true },
  { inputs: 10, outputs: 1, threads: 1, reads: true },
])('memory stays bounded: $inputs inputs, $outputs outputs, $threads threads, reads $reads', ({ inputs, outputs, threads, reads }) => {
  using dir = tempDir();
  const count = 4 << 20;
  const memory = 24 << 20;
  const child = runChild(`
    const dir = ${JSON.stringify(dir.path)};
    fs.writeFileSync(dir + '/in', new Uint8Array(${count * 2}).fill(0x3c));
    const files = Array.from({ length: ${inputs} }, () => binding.openInput(dir + '/in', '${reads ? 'read' : 'map'}'));
    const outs = Array.from({ length: ${outputs} }, (_, k) => binding.openOutput(dir + '/out' + k, ${count * 2}, { reopen: false }));
    const e = engine({ threads: ${threads}, memoryBytes: ${memory}, reads: ${reads}, maxInputs: ${inputs}, maxOutputs: ${outputs} });
    const before = rss('RssAnon');
    let anon = 0, file = 0;
    const look = setInterval(() => { anon = Math.max(anon, rss('RssAnon') - before); file = Math.max(file, rss('RssFile')); }, 1);
    for (let i = 0; i < 8; i++) await e.combine(job(files, outs, ${count / 8}, new Int32Array(1), i * ${count / 8}));
    clearInterval(look);
    console.log(JSON.stringify({ anon: Math.max(anon, rss('RssAnon') - before), left: rss('RssFile'), buffers: e.shape.bufferBytes }));
  `);
  const said = JSON.parse(child.output);
  expect(said.buffers).toBeLessThanOrEqual(memory);
  expect(said.anon).toBeLessThan(memory + (16 << 20));
  expect(said.left).toBeLessThan(150 << 20); // Node itself; none of the mapped inputs stays
});

test('a Worker that is terminated in the middle of calls takes nothing with it', async () => {
  using dir = tempDir();
  writeFileSync(dir.file('in'), new Uint8Array(8 << 20).fill(0x3c));
  const script = `${PRELUDE}
    const { parentPort } = require('node:worker_threads');
    const dir = ${JSON.stringify(dir.path)};
    const input = binding.openInput(dir + '/in', 'read');
    const output = binding.openOutput(dir + '/out-' + process.hrtime.bigint(), 8 << 20, { reopen: false });
    const e = engine({ readDelayMicros: 500, requestBytes: 65536, requestsInFlight: 2 });
    (async () => {
      for (let i = 0; ; i++) {
        const call = Promise.all([0, 1].map((j) => e.combine(job([input], [output], 1 << 16, new Int32Array(1), j << 16))));
        if (i === 2) parentPort.postMessage('running');
        await call;
      }
    })();`;
  for (let round = 0; round < 4; round++) {
    const worker = new Worker(script, { eval: true });
    await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
  }
  expect(binding.cpuInfo().active).toBeDefined();
});

test('process.exit in the middle of calls ends the process quietly', () => {
  using dir = tempDir();
  const child = runChild(`
    const path = ${JSON.stringify(dir.file('in'))};
    fs.writeFileSync(path, new Uint8Array(8 << 20).fill(0x3c));
    const output = binding.openOutput(path + '.out', 8 << 20, { reopen: false });
    const e = engine();
    e.combine(job([binding.openInput(path, 'map')], [output], 4 << 20));
    e.combine(job([binding.openInput(path, 'read')], [output], 4 << 20));
    setTimeout(() => process.exit(7), 1);
  `);
  expect({ ...child }).toEqual({ status: 7, signal: null, output: '' });
});

test('the kernels that CKPT_MERGE_ISA names are used, and an unknown name is E_ISA', () => {
  const ask = (isa: string) => {
    const code = `${PRELUDE} try { console.log(binding.cpuInfo().active); } catch (e) { console.log(e.code, e.message); }`;
    return execFileSync(process.execPath, ['-e', code], { encoding: 'utf8', env: { ...process.env, CKPT_MERGE_ISA: isa } }).trim();
  };
  for (const isa of binding.cpuInfo().available) expect(ask(isa)).toBe(isa);
  expect(ask('')).toBe(binding.cpuInfo().available.at(-1));
  expect(ask('sse9')).toMatch(/^E_ISA .*'sse9'.*available: scalar/);
  expect(readFileSync(bindingPath()).length).toBeGreaterThan(0);
});
