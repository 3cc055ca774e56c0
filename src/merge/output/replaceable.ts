import { join } from 'node:path';
import { SYSTEM } from '../../base/disk/system.ts';
import { storeOf } from '../../base/store/store.ts';
import { belongsToCheckpoint } from '../../checkpoints/side-files.ts';
import { isTrainingState } from '../../checkpoints/training-state.ts';

/** What is to appear, and so what may be in its place. */
export type Replaced = 'folder' | 'file' | 'page';

/** Without one of these a folder is no checkpoint. */
const WEIGHTS = /\.(safetensors|bin|pt|pth|ckpt|distcp|gguf)$|^(merge_provenance\.json|\.metadata)$/;
/** Hidden names, and folders, that downloads, trainers and file systems leave in a checkpoint. */
const USUAL = /^(\.metadata|\.gitattributes|\.gitignore|\.DS_Store|\.cache|\.nfs[0-9a-f]+|original|runs|additional_chat_templates)$/;
/** Longest header that a safetensors file may have, bytes. */
const LONGEST_HEADER = 100_000_000;
/** Where a page of this program says so, at the latest. */
const PAGE_HEAD = 1024;

/**
 * What lies at a path that nothing of a merge's kind explains, and that would be lost if the path were
 * replaced: names in a folder, the name itself of a file; empty where it may be replaced. A folder may be if
 * it holds weights or the provenance of a merge, and beside them only what checkpoints have; a file, if it
 * begins as a safetensors file does, or is a page of this program. Names decide, and no more of a file than
 * its beginning.
 * @throws MergeError E_NOT_READABLE, E_IO; the errno of readdir(2)
 */
export async function foreignContent(path: string, kind: Replaced): Promise<string[]> {
  if (kind !== 'folder') return (await begins(path, kind)) ? [] : [path];
  const entries = await SYSTEM.fs.readdir(path, { withFileTypes: true });
  const names = entries.map(({ name }) => name).sort();
  if (!names.some((name) => WEIGHTS.test(name))) return names;
  const foreign: string[] = [];
  for (const entry of entries) {
    const { name } = entry;
    if (USUAL.test(name) || isTrainingState(name)) continue;
    if (entry.isDirectory() ? !(await holdsShards(join(path, name))) : !belongsToCheckpoint(name)) foreign.push(name);
  }
  return foreign.sort();
}

/** An index may name shards in folders, and a merge has them where its newest input had. */
async function holdsShards(folder: string): Promise<boolean> {
  const names = await SYSTEM.fs.readdir(folder);
  return names.every((name) => name.endsWith('.safetensors'));
}

async function begins(path: string, kind: 'file' | 'page'): Promise<boolean> {
  const file = await storeOf(path).open(path);
  try {
    const { size } = file.stat;
    if (size === 0) return true;
    const head = Buffer.alloc(Math.min(size, PAGE_HEAD));
    await file.read(head, 0);
    if (kind === 'page') return head.includes('<meta name="generator" content="ckpt-merge ');
    return size > 8 && head[8] === 0x7b && head.readBigUInt64LE(0) <= LONGEST_HEADER;
  } finally {
    await file.close();
  }
}
