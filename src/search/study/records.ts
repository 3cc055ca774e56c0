import { hostname } from 'node:os';
import { isAbsolute, resolve } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import { userName } from '../../base/machine/user.ts';
import { foundPath, pathRemover, writtenPath } from '../../merge/record/member-path.ts';
import type { Params } from '../space/types.ts';
import type { StoredTrials, StudiedMember, StudyGrowth, StudyIdentity, TrialLine } from './trials-file.ts';

/** A command as files have it: the same wherever the study lies. */
export const plainCommand = pathRemover();

/**
 * What a study knows, as its files have it: without absolute paths, and readable after the study and its run
 * were moved together. Paths are seen from the study's folder, or are only names (see {@link writtenPath}).
 */
export class Records {
  readonly #nameOf: (path: string) => string;
  readonly #known: Map<string, string>;
  readonly #names: ReadonlyMap<string, string>;
  readonly #told: (text: string) => string;

  /**
   * @param others paths that texts may name, beside those of the identity
   * @param stored what was read from a file in the folder: relative paths there are as they should be
   */
  constructor(
    folder: string,
    { inputs, members }: Pick<StudyIdentity, 'inputs' | 'members'>,
    { others = [], stored = false }: { readonly others?: readonly string[]; readonly stored?: boolean } = {},
  ) {
    this.#nameOf = (path) => (stored && !isAbsolute(path) ? path : writtenPath(folder, path));
    this.#names = uniqueNames(members, this.#nameOf);
    this.#known = new Map([[resolve(folder), '.']]);
    for (const path of [...inputs, ...others, ...this.#names.keys()]) {
      for (const spelt of stored ? [path] : [path, resolve(path)]) this.#known.set(spelt, this.path(path));
    }
    this.#told = pathRemover(this.#known);
  }

  path(path: string): string {
    return this.#names.get(path) ?? this.#nameOf(path);
  }

  text(text: string): string {
    return this.#told(text);
  }

  /** @param hidden paths of which nothing is told */
  warnings(warnings: readonly Warning[], hidden: Iterable<string> = []): readonly Warning[] {
    const told = pathRemover(new Map([...this.#known, ...[...hidden].map((path) => [path, 'elsewhere'] as const)]));
    return warnings.map(({ code, message }) => ({ code, message: told(message) }));
  }

  identity(identity: StudyIdentity): StudyIdentity {
    const { evaluator, sampler } = identity;
    return {
      ...identity,
      evaluator: plainCommand(evaluator),
      sampler: plainCommand(sampler),
      inputs: identity.inputs.map((path) => this.path(path)),
      members: identity.members.map((member) => ({ ...member, path: this.path(member.path) })),
    };
  }

  growth({ members, scored }: StudyGrowth): StudyGrowth {
    return { scored, members: members.map((member) => ({ ...member, path: this.path(member.path) })) };
  }

  trial(trial: TrialLine): TrialLine {
    const text = (value: string | null) => (value === null ? null : this.text(value));
    return { ...withPaths(trial, (path) => this.path(path)), source: text(trial.source), reason: withoutNames(text(trial.reason)) };
  }
}

/** What an evaluation said last may have in it who ran it, and where. */
function withoutNames(text: string | null): string | null {
  const names = new Set([userName(), hostname()].filter((name) => name !== null && name.length > 2));
  return text?.replace(/[\w-]+(?:\.[\w-]+)*/g, (word) => (names.has(word) ? '…' : word)) ?? null;
}

/** Two of one name, seen where their paths would tell too much, are numbered. */
function uniqueNames(members: readonly Pick<StudiedMember, 'path'>[], nameOf: (path: string) => string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const taken = new Set<string>();
  for (const { path } of members) {
    if (found.has(path)) continue;
    const name = nameOf(path);
    let unique = name;
    for (let i = 2; taken.has(unique); i++) unique = `${name} (${i})`;
    taken.add(unique);
    found.set(path, unique);
  }
  return found;
}

/** What a file in a folder says, with paths as seen from here. */
export function foundTrials(folder: string, { identity, trials }: StoredTrials): StoredTrials {
  const found = (path: string) => foundPath(folder, path);
  return {
    identity: {
      ...identity,
      inputs: identity.inputs.map(found),
      members: identity.members.map((member) => ({ ...member, path: found(member.path) })),
    },
    trials: trials.map((trial) => withPaths(trial, found)),
  };
}

/** Trials of an earlier run of a study, whose members are told by their content, with the paths of now. */
export function resumedTrials({ identity, trials }: StoredTrials, members: readonly StudiedMember[]): readonly TrialLine[] {
  const byContent = new Map<string, string[]>();
  for (const { fingerprint, path } of members) byContent.set(fingerprint, [...(byContent.get(fingerprint) ?? []), path]);
  const now = new Map<string, string>();
  // Of equal ones the first is the first.
  for (const { fingerprint, path } of identity.members) {
    const here = byContent.get(fingerprint)?.shift();
    if (here !== undefined) now.set(path, here);
  }
  return trials.map((trial) => withPaths(trial, (path) => now.get(path) ?? path));
}

function withPaths(trial: TrialLine, of: (path: string) => string): TrialLine {
  return {
    ...trial,
    params: trial.params === null ? null : paramsWith(trial.params, of),
    weights: trial.weights.map((weight) => ({ ...weight, path: of(weight.path) })),
  };
}

/** A checkpoint without a step goes by its path: see `nameOf`. */
function paramsWith({ checkpoint, ...params }: Params, of: (path: string) => string): Params {
  return typeof checkpoint === 'string'
    ? { ...params, checkpoint: of(checkpoint) }
    : { ...params, ...(checkpoint === undefined ? {} : { checkpoint }) };
}
