import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { SYSTEM } from '../../../base/disk/system.ts';
import { shellQuote } from '../../../base/process/shell-quote.ts';
import { locate } from '../../output/destination.ts';
import type { PlanOutput } from '../types.ts';

/** What statfs(2) has for the type of Lustre. */
const LUSTRE = 0x0bd00bd0;
/** A client that has lost its servers hangs; nothing waits for a hint. */
const PATIENCE_MS = 5000;

/** What is asked of the system; tests have their own. */
export interface StripesHost {
  /** The type of a folder's file system, as statfs(2) numbers it. */
  typeOf(folder: string): Promise<number>;
  readonly env: NodeJS.ProcessEnv;
}

const HOST: StripesHost = { typeOf: async (folder) => (await SYSTEM.fs.statfs(folder)).type, env: process.env };

/**
 * What to do beforehand so that the files of an output lie on more than one of Lustre's storage targets: where
 * new files in its folder would have one stripe each, and Lustre's own `lfs` is there to say so. It is asked,
 * and changes nothing.
 * @returns a sentence; null where there is nothing to say, or nobody who could tell
 */
async function stripeHint(output: string, { typeOf, env }: StripesHost): Promise<string | null> {
  try {
    const { missing, parent } = await locate(output);
    const folder = missing.length > 0 ? dirname(missing[0]!) : parent;
    if ((await typeOf(folder)) !== LUSTRE) return null;
    if ((await lfs(['getstripe', '-d', '-c', folder], env)).trim() !== '1') return null;
    return `files of Lustre in its folder lie on one storage target each; spread them over all beforehand: lfs setstripe -c -1 ${shellQuote(folder)}`;
  } catch {
    return null;
  }
}

/** Outputs with what there is to say of their folders, which is said once of each. */
export async function stripeHints(outputs: readonly PlanOutput[], host: StripesHost = HOST): Promise<PlanOutput[]> {
  const told = new Set<string>();
  const hinted: PlanOutput[] = [];
  for (const output of outputs) {
    const folder = dirname(output.path);
    const hint = told.has(folder) ? null : await stripeHint(output.path, host);
    told.add(folder);
    hinted.push(hint === null ? output : { ...output, hint });
  }
  return hinted;
}

/** What Lustre's tool prints. @throws where it is not there, fails or takes long */
function lfs(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((done, failed) => {
    execFile('lfs', args, { env, timeout: PATIENCE_MS, killSignal: 'SIGKILL' }, (error, stdout) => {
      if (error === null) done(stdout);
      else failed(error);
    });
  });
}
