import { join } from 'node:path';
import { type Conflict, MergeError } from '../../../base/errors.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { optionName, optionWith, worded } from '../../../base/option-words.ts';
import { readIfThere } from '../../../base/store/store.ts';
import type { DcpTemplates } from '../../../checkpoints/containers/dcp/template.ts';
import { valuesBeside } from '../../../checkpoints/containers/torch/edit-state.ts';
import { INDEX } from '../../../checkpoints/containers/torch/file-names.ts';
import { readTorchTemplate } from '../../../checkpoints/containers/torch/template.ts';
import { readIntegrity } from '../../../checkpoints/integrity.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { type TreatmentRow, valuesRow } from '../../../recipe/policy/table.ts';
import type { OutputFormat } from '../../../recipe/types.ts';
import type { DraftOutput } from '../inputs/drafts.ts';
import { OPEN_AT_ONCE } from '../inputs/inputs.ts';
import { inChunks, rowCutsOf } from '../tensors/chunks.ts';
import { inStorages } from '../tensors/storages.ts';
import type { PlannedTensors } from '../tensors/tensors.ts';
import type { OutputForm } from './container.ts';
import { DcpFiles } from './dcp-files.ts';
import { isOfWholeFiles } from './output-path.ts';
import { TorchFiles } from './torch-files.ts';

/** Far more than any index takes. */
const MAX_INDEX_BYTES = 2 ** 28;

/** What the outputs are made of in their container, and their files. */
export interface Formed {
  readonly planned: PlannedTensors;
  /** Of DCP, but for what lies beside the tensors; null of others. */
  readonly dcp: DcpFiles | null;
  /** [K]; null where they are of DCP, or safetensors. */
  readonly forms: readonly OutputForm[] | null;
  /** What files of torch.save have beside their tensors. */
  readonly rows: readonly TreatmentRow[];
  readonly conflicts: readonly Conflict[];
}

/**
 * The planned tensors as a container holds them: in parts, or as storages.
 * @throws MergeError E_OPTION where the layout is of another container, or an output cannot be one of that
 */
export async function inForm(
  format: OutputFormat,
  planned: PlannedTensors,
  {
    layout,
    checkpoints,
    drafts,
    dcpTemplates,
    resized,
  }: {
    readonly layout: Checkpoint;
    readonly checkpoints: readonly Checkpoint[];
    readonly drafts: readonly DraftOutput[];
    readonly dcpTemplates: DcpTemplates;
    /** A size of files was asked for. */
    readonly resized: boolean;
  },
  signal?: AbortSignal,
): Promise<Formed> {
  if (format === 'safetensors') return { planned, dcp: null, forms: null, rows: [], conflicts: [] };
  if (format === 'dcp') return asDcp(planned, layout, drafts, dcpTemplates);
  refuseTorch(planned, layout, drafts, resized);
  const ofRanks = layout.fragments !== undefined;
  const templates = await mapBounded(layout.files, OPEN_AT_ONCE, (file) => readTorchTemplate(file, ofRanks));
  const found = await inStorages(planned, layout, checkpoints, drafts, templates, signal);
  const index = layout.kind === 'folder' ? await readIfThere(join(layout.path, INDEX), MAX_INDEX_BYTES) : null;
  const forms = drafts.map(({ output: { path }, kind }) => new TorchFiles({ path, kind }, layout, templates, found, index));
  const beside = templates.map((template, s) => valuesBeside(template, { kept: found.kept[s]!, whole: found.whole, dtypes: new Map() }));
  const bytes = templates.reduce((sum, { pickle }, s) => sum + (beside[s]!.length > 0 ? pickle.length : 0), 0);
  const names = [...new Set(beside.flat())];
  // Where something cannot be written there are no files to describe.
  return {
    planned: found.conflicts.length > 0 ? planned : found.planned,
    dcp: null,
    forms: found.conflicts.length > 0 ? null : forms,
    rows: names.length === 0 ? [] : [valuesRow('beside the tensors', names, bytes)],
    conflicts: found.conflicts,
  };
}

async function asDcp(
  planned: PlannedTensors,
  layout: Checkpoint,
  drafts: readonly DraftOutput[],
  dcpTemplates: DcpTemplates,
): Promise<Formed> {
  const option = optionWith('format', 'dcp');
  if (layout.form.kind !== 'dcp') {
    throw new MergeError('E_OPTION', `${layout.path}: is no checkpoint of DCP, and ${option} writes in the form of one`, {
      details: { file: layout.path },
      help: worded`Name one with --like: the output has its names, parts and classes.`,
    });
  }
  const file = drafts.find(({ kind }) => kind === 'file');
  if (file !== undefined) throw new MergeError('E_OPTION', `${file.output.path}: is a file, and ${option} makes a folder`);
  const chunked = inChunks(planned, rowCutsOf(layout));
  const checksums = (await readIntegrity(layout))?.algorithm ?? null;
  const files = new DcpFiles(await dcpTemplates.of(layout), checksums, chunked);
  return { planned: chunked.planned, dcp: files, forms: null, rows: [], conflicts: [] };
}

/** @throws MergeError E_OPTION for what is not written as torch.save does */
function refuseTorch(planned: PlannedTensors, layout: Checkpoint, drafts: readonly DraftOutput[], resized: boolean): void {
  const option = optionWith('format', 'torch');
  const refuse = (path: string, message: string, help: string): never => {
    throw new MergeError('E_OPTION', `${path}: ${message}`, { details: { file: path }, help });
  };
  const other = `${optionWith('format', 'safetensors')}: safetensors are made of any container.`;
  if (!isOfWholeFiles(layout)) {
    const ofRanks = layout.files.length !== layout.shards.length || /rank/.test(layout.form.writer ?? '');
    const why = ofRanks
      ? 'whose files hold parts of tensors, one file a rank,'
      : 'which loads weights from the files of its optimizer, too, where they would stay as they were,';
    const what = layout.form.kind === 'torch' ? `is of ${layout.form.writer}, ${why}` : 'is no file of torch.save,';
    const ofZero = layout.files.length === layout.shards.length && !ofRanks;
    const both = ofZero ? `${optionWith('for', 'resume')} merges both, where it has them. Else ` : '';
    const help =
      layout.form.kind === 'torch'
        ? `${both}${other}`
        : worded`Name one with --like: the output has its names, views and version. ${other}`;
    refuse(layout.path, `${what} and ${option} writes in the form of one whole file`, help);
  }
  if (resized) {
    const options = `${optionName('shardSize')} and ${optionName('files')}`;
    refuse(
      layout.path,
      `${option} keeps the files of the layout, which ${options} would change`,
      worded`Leave --shard-size and --files out.`,
    );
  }
  if (planned.quantised.works.length > 0)
    refuse(layout.path, `holds quantised weights, and ${option} writes none that are made anew`, other);
  for (const { output, kind } of drafts) {
    if (kind === 'file' && layout.files.length > 1)
      refuse(
        output.path,
        `is one file, and ${layout.path} has ${layout.files.length}, which stay as they are with ${option}`,
        'Name a folder.',
      );
  }
}
