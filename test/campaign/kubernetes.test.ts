import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runHere } from '../support/fake-terminal.ts';

/** Has the schemas of many versions of Kubernetes in it, so that nothing else is asked. */
const VALIDATOR = 'kubernetes-validate==1.37.0';
/** Beta, and on by default, from the first; all of it is stable from the second. */
const VERSIONS = ['1.31', '1.33', '1.37'];

describe('the Job of Kubernetes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'merge-k8s-'));
  const program = join(folder, 'venv', 'bin', 'kubernetes-validate');
  let reason: string | null = null;

  beforeAll(() => {
    const steps = [
      ['python3', '-m', 'venv', join(folder, 'venv')],
      [join(folder, 'venv/bin/python'), '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', VALIDATOR],
    ] as const;
    for (const [name, ...args] of steps) {
      const { status, stderr, error } = spawnSync(name, args, { encoding: 'utf8' });
      if (status === 0) continue;
      reason = `${[name, ...args].join(' ')}: ${error?.message ?? stderr.trim().split('\n').at(-1)}`;
      break;
    }
    if (reason !== null) console.log(`manifests are not validated: ${reason}`);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const complaints = (manifest: string, version: string): string => {
    const file = join(folder, 'job.yaml');
    writeFileSync(file, manifest);
    const { status, stdout, stderr } = spawnSync(program, ['-k', version, '--strict', file], { encoding: 'utf8' });
    return status === 0 ? '' : `${stdout}${stderr}`;
  };
  const printed = async (nodes: number, ...then: string[]): Promise<string> => {
    const words = ['submit', 'k8s', '--print', '--nodes', `${nodes}`, '--cpus', '4', '--image', 'i', '--pvc', 'a:/data', 'b:/out', ...then];
    const { code, stdout, stderr } = await runHere([...words, '--', 'average', 'no', '-o', '/out/1e3'], folder);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    return stdout;
  };

  it.for(VERSIONS)('is one to version %s, and what comes after it', async (version, context) => {
    context.skip(reason !== null, reason ?? '');
    // In YAML 1.1, which kubectl reads, the names of input and output are a truth value and a number.
    for (const nodes of [1, 8]) expect(complaints(await printed(nodes), version)).toBe('');
    expect(complaints(await printed(8, '--then', 'python eval.py {model}'), version)).toBe('');
  });

  it('with a key that there is none of, or a truth value in the place of a word, would be noticed', async (context) => {
    context.skip(reason !== null, reason ?? '');
    const manifest = await printed(8);
    expect(complaints(manifest.replace('backoffLimitPerIndex', 'backOffLimitPerIndex'), '1.33')).not.toBe('');
    expect(complaints(manifest.replace('status: "True"', 'status: True'), '1.33')).not.toBe('');
    expect(complaints(manifest.replace('- "no"', '- no'), '1.33')).not.toBe('');
  });
});
