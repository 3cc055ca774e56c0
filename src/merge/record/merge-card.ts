import { isRepoId } from '../../checkpoints/hub.ts';
import { RECIPE_FILE } from '../../checkpoints/our-files.ts';
import { stepCell } from '../../checkpoints/run/position.ts';
import type { LeftFile } from '../../checkpoints/side-files.ts';
import type { OptimizerUse } from '../../recipe/policy/resumed.ts';
import { rowName, type TreatmentRow } from '../../recipe/policy/table.ts';
import { HF_NAMES } from '../../recipe/types.ts';
import { printable } from '../../render/format.ts';
import type { Provenance, RecordedNames } from './provenance.ts';
import { measuredStart, stateLeft } from './start-facts.ts';

/**
 * What the PMA paper (arXiv 2505.12082) showed of merged weights as a start (section 4.4, appendix B, table
 * 1), and what it did not. Of its optimizer nothing is known, and so its rates say nothing of these.
 */
const MERGED_START_FACTS: readonly string[] = [
  'Continued training from merged weights ended level with training from the newest checkpoint in the PMA paper (0.7B/7B MoE): parity, not a gain, at the rates of that training.',
  'One fine-tuning (15B/150B MoE) gained from merged weights; the authors could not repeat gains of that size at other sizes.',
  'The paper does not say what became of the optimizer state.',
];

/** What of a source's front matter holds for a merge of its run, too. */
const KEPT = ['license', 'license_name', 'license_link', 'language', 'datasets', 'pipeline_tag'];

/** Tags and libraries of weights in another form than safetensors of a whole model; of quantised ones. */
const OTHER_FORM = /^(gguf|onnx|openvino|coreml|tflite|tensorrt|llama\.?cpp|exl[23]|peft|lora|qlora|adapters?|adapter-transformers)$/i;
const QUANTISED_FORM =
  /^(quanti[sz](ed|ation)|fp[468]|nvfp4|mxfp[468]|w\d+a\d+(-.*)?|int[48]|[2-8]-?bits?|gptq(model)?|awq|autoawq|hqq|aqlm|eetq|quanto|bitsandbytes|bnb|compressed-tensors|llm-?compressor|modelopt|model[ -]optimizer|quark|auto-?round|mlx|torchao)$/i;

/** Whether a tag of the source says of its weights what is not so of the merge's. */
function isUntrue(tag: string, floats: boolean): boolean {
  return OTHER_FORM.test(tag) || (floats && QUANTISED_FORM.test(tag));
}

/** `runs/checkpoint-1000` has the form of an id and is a folder. */
const STEP_FOLDER = /\/(?:checkpoint|global_step|step|iter)[-_]?\d+$/;

/** What became of the optimizer's state. */
interface Kept {
  readonly optimizer: 'kept' | 'no moments' | 'left out' | 'none';
}

export interface CardOptions {
  /** Name of the output, for the title. */
  readonly name: string;
  /** README.md of the newest member, where it has one. */
  readonly sourceReadme?: string | null;
  /** The members' model on the Hugging Face Hub, where it has one. */
  readonly baseModelId?: string | null;
  /** What stayed behind of the newest member; links that lead elsewhere are named. */
  readonly left?: readonly LeftFile[];
  /** Its weights are plain floats. */
  readonly floats?: boolean;
  /** Its tensors have the names of a trainer's own container, which `transformers` does not load. */
  readonly namesOfTrainer?: boolean;
  /** What is done with the tensors of each role; empty where all are treated alike. */
  readonly treatments?: readonly TreatmentRow[];
  /** What there is of the trainer's state, where the output's container holds that; null elsewhere. */
  readonly kept?: Kept | null;
  /** How a trainer starts from it, without a place on a machine. */
  readonly next?: string | null;
  /** Recipe that makes the output again, as it is written beside the card. */
  readonly recipe?: string | null;
}

/** What a container is called, by its name in recipes. */
const FORMS: Readonly<Record<string, string>> = {
  safetensors: 'safetensors',
  dcp: 'DCP of torch.distributed',
  torch: 'files of torch.save',
};

/** Of weights that came as safetensors, where nothing else is said. */
const LIBRARY = ['library_name: transformers'];

/**
 * The README.md of a merged checkpoint, in the form of a Hugging Face model card. Says nothing of where on a
 * machine anything lies.
 */
export function mergeCard(
  provenance: Provenance,
  {
    name,
    sourceReadme = null,
    baseModelId = null,
    left = [],
    recipe: recipeText = null,
    floats = false,
    namesOfTrainer = false,
    treatments = [],
    kept = null,
    next = null,
  }: CardOptions,
): string {
  const { recipe, tool } = provenance;
  const { members } = recipe;
  const table = treatmentRows(treatments);
  const source = frontMatter(sourceReadme ?? '');
  const tags = [
    ...new Set([
      ...listItems(source.get('tags') ?? []).filter((tag) => !isUntrue(tag, floats)),
      ...(recipe.method === 'convert' ? [] : ['merge']),
      'ckpt-merge',
    ]),
  ];
  const library = source.get('library_name') ?? [];
  const lines = [
    '---',
    ...(library.length > 0 && !listItems(library).some((item) => isUntrue(item, floats)) ? library : LIBRARY.slice(namesOfTrainer ? 1 : 0)),
    ...KEPT.flatMap((key) => source.get(key) ?? []),
    ...baseModel(source, baseModelId, recipe.method === 'convert' ? [] : ['base_model_relation: merge']),
    'tags:',
    ...tags.map((tag) => `- ${tag}`),
    '---',
    '',
    `# ${name}`,
    '',
    recipe.method === 'convert'
      ? `The checkpoint below, converted by ${tool.name} ${tool.version}: as ${FORMS[recipe.format ?? 'safetensors'] ?? recipe.format}, with ${recipe.names === undefined ? 'the names that it has for its tensors' : namesText(recipe.names)}.`
      : `${count(members.length)} of one training run, merged by ${tool.name} ${tool.version} with the method \`${recipe.method}\`${parameters(recipe.parameters)}${recipe.names === undefined ? '' : `; its tensors have ${namesText(recipe.names)}`}.`,
    '',
    '| checkpoint | step | tokens | weight |',
    '| --- | ---: | ---: | ---: |',
    ...members.map((m) => `| ${cell(m.name)} | ${stepCell(m) ?? ''} | ${m.tokens ?? ''} | ${m.weight} |`),
    '',
    ...chosenByScore(provenance.warnings),
    ...membersLeft(provenance.selection),
    ...provenance.dtypeChanges.flatMap((change) => [`Dtypes changed, ${change}.`, '']),
    ...linksLeft(left),
    ...outdatedLeft(left),
    ...start(recipe, { kept, next, left }),
    ...reproduction(recipeText),
    '## Check it',
    '',
    ...table,
    ...(recipe.method === 'convert' ? COPIED : averaged(table.length > 0)),
    'In this folder, `npx ckpt-merge verify .` compares the files with the checksums in `merge_provenance.json`, and the tensors with their recomputation',
    'where the checkpoints are at hand: those that it does not find by itself are named with `--input`.',
    '',
  ];
  return lines.join('\n');
}

const COPIED: readonly string[] = [
  'Each tensor has the bytes of the checkpoint, but for those whose dtype changed: these are its values, rounded to float32 and then to their dtype.',
  '',
];

/** What every tensor of a merge is, in PyTorch. @param some of them are not averaged */
function averaged(some: boolean): readonly string[] {
  return [
    `${some ? 'Each tensor with the treatment `average`' : 'Each floating-point tensor'} is the weighted sum in float64, in the order of the checkpoints, rounded to float32 and then to its dtype. In PyTorch, with \`x\` the`,
    'tensor of each checkpoint whose weight is not 0, and `w` those weights:',
    '',
    '```python',
    'acc = x[0].double() * w[0]',
    'for xi, wi in zip(x[1:], w[1:]): acc = acc + xi.double() * wi',
    'out = acc.float().to(dtype)  # float64 tensors stay acc',
    '```',
    '',
  ];
}

/**
 * A merge's base model is what the Hub calls by an id. A source card's own is kept only where it is one:
 * trainers write local folders there, too.
 */
function baseModel(source: ReadonlyMap<string, readonly string[]>, id: string | null, relation: readonly string[]): readonly string[] {
  if (id !== null) return [`base_model: ${id}`, ...relation];
  const entry = source.get('base_model') ?? [];
  const ids = listItems(entry);
  return ids.length > 0 && ids.every((own) => isRepoId(own) && !STEP_FOLDER.test(own))
    ? [...entry, ...(source.get('base_model_relation') ?? []).filter((line) => !/\b(quantized|adapter)\b/.test(line))]
    : [];
}

function parameters(values: Provenance['recipe']['parameters']): string {
  const texts = Object.entries(values).map(([name, value]) => `${name} ${value}`);
  return texts.length === 0 ? '' : ` (${texts.join(', ')})`;
}

/** That members were chosen by scores: whoever compares this model with others has to know on which items not to. */
function chosenByScore(warnings: Provenance['warnings']): readonly string[] {
  return warnings.flatMap(({ code, message }) =>
    code === 'W_SELECTED_BY_SCORE' ? [`${cell(message.charAt(0).toUpperCase() + message.slice(1))}.`, ''] : [],
  );
}

/** Checkpoints left out that the card names. */
const MEMBERS_SHOWN = 20;

/** Checkpoints that would be in the merge if they could have been used. */
function membersLeft(selection: Provenance['selection']): readonly string[] {
  if (selection === undefined || (selection.leftOut.length === 0 && selection.found >= selection.asked)) return [];
  const { asked, found, leftOut } = selection;
  const more = leftOut.length > MEMBERS_SHOWN ? [`| and ${leftOut.length - MEMBERS_SHOWN} more | | |`] : [];
  const rows = leftOut.slice(0, MEMBERS_SHOWN).map(({ name, step, reason }) => `| ${cell(name)} | ${step} | ${cell(reason)} |`);
  const table = leftOut.length === 0 ? [] : ['| left out | step | because |', '| --- | ---: | --- |', ...rows, ...more, ''];
  const newer = leftOut.some((left) => left.newer) ? ' A checkpoint that is newer than the newest of them could not be used.' : '';
  return [`${found} of the ${asked} checkpoints that were to be in it are.${newer}`, '', ...table];
}

const LINKS_SHOWN = 20;

/**
 * Files that a merge of these checkpoints would have; a README gives way to the card anyway. Where they led
 * is a place on a machine.
 */
function linksLeft(left: readonly LeftFile[]): readonly string[] {
  const names = left.filter(({ name, leadsTo }) => leadsTo !== undefined && name !== 'README.md').map(shownName);
  if (names.length === 0) return [];
  const more = names.length > LINKS_SHOWN ? ` and ${names.length - LINKS_SHOWN} more` : '';
  const shown = names.slice(0, LINKS_SHOWN).join(', ');
  return [`Left out, because they were links that led outside the checkpoint and its run: ${shown}${more}.`, ''];
}

/** Files whose word on the weights would be wrong beside them. */
function outdatedLeft(left: readonly LeftFile[]): readonly string[] {
  const names = left.filter(({ outdated }) => outdated).map(shownName);
  return names.length === 0 ? [] : [`Left out, because the weights are plain floats here: ${names.join(', ')}.`, ''];
}

/** A name may hold whatever Markdown and HTML are made of. */
function shownName({ name }: LeftFile): string {
  return /^\w[\w.+/-]*$/.test(name) ? `\`${name}\`` : 'one with an unusual name';
}

/** What became of the optimizer's state in a checkpoint of DCP. */
const OF_OPTIMIZER: Readonly<Record<string, string>> = {
  newest: 'Moments and steps of the optimizer are those of the newest checkpoint: they belong to its weights, not to the merged ones.',
  average: 'Moments of the optimizer are averaged like the weights, and its steps are those of the newest checkpoint.',
  drop: 'Moments of the optimizer are zeros and it has taken no steps, as if it were new, while the schedule of its rate goes on where it was: it needs a warm-up.',
};

/** The same where the output has none. */
const WITHOUT_OPTIMIZER =
  'There is no optimizer state in it: its trainer has to start without, and the rate needs a warm-up, also where its schedule goes on as late as it was.';

const NO_MOMENTS =
  'The newest checkpoint has no moments of the optimizer, as before its first update, and so there are none here: it begins anew, and the rate needs a warm-up.';

/** What to know of a merge that training goes on from. */
function start(
  { purpose, optimizer }: Provenance['recipe'],
  { kept, next, left }: Required<Pick<CardOptions, 'kept' | 'next' | 'left'>>,
): readonly string[] {
  if (purpose !== 'resume') return [];
  const others =
    'What else there is of its trainer (scheduler, RNG, place in the data) is of the newest checkpoint: the table below says what that is.';
  const behind = stateLeft({ purpose, kept, left }).map((name) => shownName({ name, reason: '' }));
  const [used, state] =
    kept === null
      ? optimizer === 'newest'
        ? ([
            'newest',
            'Optimizer, scheduler, RNG and trainer state are those of the newest checkpoint, byte for byte: the moments belong to its weights, not to the merged ones.',
          ] as const)
        : ([
            'drop',
            `There is no optimizer state, as none belongs to a mean: load it as a model and start the optimizer anew.${behind.length === 0 ? '' : ` Left behind of the newest checkpoint's trainer: ${behind.join(', ')}.`}`,
          ] as const)
      : kept.optimizer === 'kept'
        ? ([(optimizer ?? 'newest') as OptimizerUse, `${OF_OPTIMIZER[optimizer ?? 'newest'] ?? ''} ${others}`] as const)
        : (['drop', `${kept.optimizer === 'no moments' ? NO_MOMENTS : WITHOUT_OPTIMIZER} ${others}`] as const);
  const facts = [...measuredStart(used), ...MERGED_START_FACTS];
  const how = next === null ? [] : [`To go on: ${next}.`, ''];
  return ['## Going on from it', '', state, '', ...how, ...facts.map((fact) => `- ${fact}`), ''];
}

function reproduction(recipe: string | null): readonly string[] {
  if (recipe === null) return [];
  const command = `npx ckpt-merge run ${RECIPE_FILE}`;
  return [
    '## Make it again',
    '',
    `\`${command}\` in this folder, with the checkpoints where the recipe says:`,
    '',
    '```yaml',
    recipe.trimEnd(),
    '```',
    '',
  ];
}

function count(members: number): string {
  return members === 1 ? 'One checkpoint' : `${members} checkpoints`;
}

/**
 * What was done with the tensors of each role; nothing where all of them are averaged by the weights of the
 * output. The policies stand in the recipe: one may name a file of this machine.
 */
function treatmentRows(rows: readonly TreatmentRow[]): readonly string[] {
  if (rows.every(({ treatment, policy }) => policy === null && treatment === rows[0]!.treatment)) return [];
  const cells = rows.map((row) => `| ${rowName(row)} | ${row.tensors} | ${cell(row.treatment)} |`);
  return ['| role | tensors | treatment |', '| --- | ---: | --- |', ...cells, ''];
}

/** A name may hold whatever Markdown, HTML and terminals read. */
function cell(text: string): string {
  return printable(text.replace(/\s+/g, ' ')).replace(/[|\\`<[]/g, '\\$&');
}

/**
 * The top-level entries of a YAML front matter as their lines; entries that hold a path of somebody's machine
 * are left out.
 */
function frontMatter(readme: string): Map<string, string[]> {
  const entries = new Map<string, string[]>();
  const lines = readme.replace(/^\uFEFF/, '').split(/\r?\n/);
  const end = lines.indexOf('---', 1);
  if (lines[0] !== '---' || end < 0) return entries;
  let current: string[] = [];
  // What a terminal or an editor would not show, or show turned round, is written out.
  for (const line of lines.slice(1, end).map((text) => printable(text.replaceAll('\t', '  ')))) {
    const key = /^([A-Za-z_][\w-]*):(?:\s|$)/.exec(line)?.[1];
    if (key === undefined) {
      if (/^\s*#/.test(line) || line.trim() === '') continue;
      current.push(line);
    } else {
      current = [line];
      entries.set(key, current);
    }
  }
  for (const [key, entry] of entries) if (entry.some((line) => /(?:^|[\s'"[,])(?:\/|~\/|\.{1,2}\/)/.test(line))) entries.delete(key);
  return entries;
}

/** Items of `tags: [a, b]`, or of the `- a` lines below `tags:`; one of `tags: a`. */
function listItems(entry: readonly string[]): string[] {
  const [, inline = ''] = /^[^:]*:(.*)$/.exec(entry[0] ?? '') ?? [];
  const items =
    inline.trim() === '' ? entry.slice(1).map((line) => line.replace(/^\s*-\s*/, '')) : inline.replace(/^\s*\[|\]\s*$/g, '').split(',');
  return items
    .map((item) =>
      item
        .replace(/\s#.*$/, '')
        .trim()
        .replace(/^(['"])(.*)\1$/, '$2'),
    )
    .filter((item) => item !== '');
}

/** Whose names tensors have, and by which rules. */
function namesText({ asked, table }: RecordedNames): string {
  const by = table === null || table.name === asked ? '' : `, by the table \`${table.name}\``;
  return asked === HF_NAMES ? `the names that transformers has for them${by}` : `the names that \`${printable(asked)}\` gives them`;
}
