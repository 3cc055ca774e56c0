import { ByteReader } from '../checkpoint/byte-reader.ts';
import type { Conflict } from '../errors.ts';

/** The same integer or boolean tensor in every participating member. */
export interface IntegerTensor {
  readonly name: string;
  readonly bytes: number;
  readonly copies: readonly { readonly path: string; readonly offset: number }[];
}

/** Bytes compared at a time. */
const BLOCK = 1 << 20;

/** Integer and boolean tensors are never averaged: they must be bit-equal in all members. Names the first difference of each tensor. */
export async function unequalIntegers(tensors: readonly IntegerTensor[], signal?: AbortSignal): Promise<Conflict[]> {
  const conflicts: Conflict[] = [];
  const reader = new ByteReader();
  try {
    for (const tensor of tensors) {
      signal?.throwIfAborted();
      const conflict = await firstDifference(tensor, reader);
      if (conflict !== undefined) conflicts.push(conflict);
    }
  } finally {
    await reader.close();
  }
  return conflicts;
}

async function firstDifference(tensor: IntegerTensor, reader: ByteReader): Promise<Conflict | undefined> {
  const [first, ...others] = tensor.copies;
  if (first === undefined || others.length === 0) return undefined;
  for (let at = 0; at < tensor.bytes; at += BLOCK) {
    const length = Math.min(BLOCK, tensor.bytes - at);
    const expected = await reader.read(first.path, first.offset + at, length);
    for (const other of others) {
      const found = await reader.read(other.path, other.offset + at, length);
      if (expected.equals(found)) continue;
      const byte = at + expected.findIndex((b, i) => b !== found[i]);
      const message = `integer tensor ${tensor.name} differs between ${first.path} and ${other.path} (first at byte ${byte} of it); integers are never averaged`;
      return { code: 'E_INTEGERS_DIFFER', message, file: other.path, tensor: tensor.name };
    }
  }
  return undefined;
}
