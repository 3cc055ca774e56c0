import { MergeError } from '../../base/errors.ts';
import { versionOf } from '../../base/store/local.ts';
import { storeOf } from '../../base/store/store.ts';
import type { NativeBinding } from '../native/binding.ts';
import type { InputMode, NativeInput } from '../native/handles.ts';
import type { Plan } from '../plan/types.ts';
import { describeFailure } from './failure.ts';
import { PASSES } from './passes/all.ts';

/**
 * File systems on which a page fault can stall for a network round trip: there positioned reads, many in
 * flight, replace mappings. Names as `NativeBinding.fileSystemType` gives them.
 */
const NETWORK_FILE_SYSTEMS = new Set(['nfs', 'lustre', 'gpfs', 'cifs', 'smb', 'smb2', 'ceph', 'beegfs', 'fuse', '9p', 'afs', 'ocfs2']);

/** How a file is best read, by the file system that it is on. */
export function bestMode(binding: NativeBinding, path: string): InputMode {
  return NETWORK_FILE_SYSTEMS.has(binding.fileSystemType(path)) ? 'read' : 'map';
}

export type IoChoice = 'auto' | InputMode;

/** The input files of a plan, opened when a shard first needs them and closed after the last that does. */
export class OpenInputs {
  readonly #binding: NativeBinding;
  readonly #plan: Plan;
  readonly #io: IoChoice;
  readonly #open = new Map<number, NativeInput>();
  readonly #lastShard: Int32Array;
  readonly #modeByVolume = new Map<string, InputMode>();
  /** Modes that were used. */
  readonly modes = new Set<InputMode>();

  constructor(binding: NativeBinding, plan: Plan, io: IoChoice) {
    this.#binding = binding;
    this.#plan = plan;
    this.#io = io;
    this.#lastShard = new Int32Array(plan.files.length);
    for (const s of plan.shards.keys()) for (const f of this.#filesOf(s)) this.#lastShard[f] = s;
  }

  /**
   * Opens every file that a shard reads. @throws MergeError when one cannot be opened or is not the file that
   * was planned.
   */
  openFor(shard: number): void {
    for (const file of this.#filesOf(shard)) if (!this.#open.has(file)) this.#openFile(file);
  }

  #filesOf(shard: number): Set<number> {
    return new Set(PASSES.flatMap((pass) => [...pass.reads(this.#plan, shard)]));
  }

  get(file: number): NativeInput {
    return this.#open.get(file)!;
  }

  /** Closes the files that no shard after this one reads. */
  closeAfter(shard: number): void {
    for (const [file, input] of this.#open) {
      if (this.#lastShard[file]! > shard) continue;
      input.close();
      this.#open.delete(file);
    }
  }

  closeAll(): void {
    for (const input of this.#open.values()) input.close();
    this.#open.clear();
  }

  #openFile(file: number): void {
    const { path, member, shard } = this.#plan.files[file]!;
    const planned = this.#plan.members[member]!.checkpoint.shards[shard]!.stat;
    const local = storeOf(path).localPath(path);
    let input: NativeInput;
    try {
      input = this.#binding.openInput(local, this.#modeFor(local, planned.volume));
    } catch (cause) {
      throw describeFailure(cause, { input: path });
    }
    if (versionOf(input.stat) !== planned.version) {
      input.close();
      throw new MergeError('E_INPUT_CHANGED', `${path} changed after it was planned`, { details: { file: path } });
    }
    this.modes.add(input.mode);
    this.#open.set(file, input);
  }

  #modeFor(path: string, volume: string): InputMode {
    if (this.#io !== 'auto') return this.#io;
    let mode = this.#modeByVolume.get(volume);
    if (mode === undefined) {
      mode = bestMode(this.#binding, path);
      this.#modeByVolume.set(volume, mode);
    }
    return mode;
  }
}
