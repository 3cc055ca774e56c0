import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { reportFile } from '../../../src/merge/output/report-file.ts';
import { mergeError, temporaryFolder } from '../../support/safetensors.ts';

describe('the file of a report', () => {
  it('is there whole, with ordinary modes, and nothing else', async () => {
    const folder = temporaryFolder();
    const file = await reportFile(join(folder, 'report.html'));
    expect(readdirSync(folder)).toEqual([]);
    await file.write('a report');
    expect(readdirSync(folder)).toEqual(['report.html']);
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).toBe('a report');
    expect(statSync(join(folder, 'report.html')).mode & 0o777).toBe(0o666 & ~process.umask());
  });

  it('may have a name as long as names can be', async () => {
    const folder = temporaryFolder();
    const name = `${'r'.repeat(250)}.html`;
    await (await reportFile(join(folder, name))).write('a report');
    expect(readdirSync(folder)).toEqual([name]);
  });

  it('is not replaced but by force, at the end of a link too', async () => {
    const folder = temporaryFolder();
    const [path, link] = [join(folder, 'report.html'), join(folder, 'latest.html')];
    writeFileSync(path, '<meta name="generator" content="ckpt-merge 0.1.0">older');
    symlinkSync('report.html', link);
    for (const there of [path, link]) expect((await mergeError(() => reportFile(there))).code).toBe('E_OUTPUT_EXISTS');
    await (await reportFile(link, true)).write('newer');
    expect(readFileSync(path, 'utf8')).toBe('newer');
    expect(readdirSync(folder)).toEqual(['latest.html', 'report.html']);
  });

  it('that came to be meanwhile stays', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'report.html');
    const file = await reportFile(path);
    writeFileSync(path, 'somebody else');
    expect((await mergeError(() => file.write('mine'))).code).toBe('E_OUTPUT_EXISTS');
    expect(readFileSync(path, 'utf8')).toBe('somebody else');
    expect(readdirSync(folder)).toEqual(['report.html']);
  });

  it('does not go where no file can be', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'empty'));
    mkdirSync(join(folder, 'full'));
    writeFileSync(join(folder, 'full', 'file'), '');
    const codeOf = async (path: string, force = false) => (await mergeError(() => reportFile(path, force))).code;
    expect(await codeOf(join(folder, 'none', 'report.html'))).toBe('E_IO');
    expect(await codeOf(join(folder, 'full', 'file', 'report.html'))).toBe('E_OUTPUT_KIND');
    expect(await codeOf(join(folder, 'empty'))).toBe('E_OUTPUT_KIND');
    expect(await codeOf(join(folder, 'full'))).toBe('E_OUTPUT_EXISTS');
    expect(await codeOf(join(folder, 'full'), true)).toBe('E_OUTPUT_KIND');
    expect(await codeOf('')).toBe('E_OUTPUT_KIND');
    expect(readdirSync(folder).sort()).toEqual(['empty', 'full']);
  });
});
