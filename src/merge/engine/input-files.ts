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

/** The input files of a plan: those are open that the shard in work reads, whichever came before it. */
export class OpenInputs {
  readonly #binding: NativeBinding;
  readonly #plan: Plan;
  readonly #io: IoChoice;
  readonly #open = new Map<number, NativeInput>();
  #shard: number | undefined;
  readonly #modeByVolume = new Map<string, InputMode>();
  /** Modes that were used. */
  readonly modes = new Set<InputMode>();

  constructor(binding: NativeBinding, plan: Plan, io: IoChoice) {
    this.#binding = binding;
    this.#plan = plan;
    this.#io = io;
  }

  /**
   * Opens every file that a shard reads and closes the others. @throws MergeError when one cannot be opened
   * or is not the file that was planned.
   */
  openFor(shard: number): void {
    if (shard === this.#shard) return;
    this.#shard = shard;
    const wanted = this.#filesOf(shard);
    for (const [file, input] of this.#open) {
      if (wanted.has(file)) continue;
      input.close();
      this.#open.delete(file);
    }
    for (const file of wanted) if (!this.#open.has(file)) this.#openFile(file);
  }

  #filesOf(shard: number): Set<number> {
    return new Set(PASSES.flatMap((pass) => [...pass.reads(this.#plan, shard)]));
  }

  get(file: number): NativeInput {
    return this.#open.get(file)!;
  }

  closeAll(): void {
    this.#shard = undefined;
    for (const input of this.#open.values()) input.close();
    this.#open.clear();
  }

  #openFile(index: number): void {
    const { path, member, file } = this.#plan.files[index]!;
    const planned = this.#plan.members[member]!.checkpoint.files[file]!.stat;
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
    this.#open.set(index, input);
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
