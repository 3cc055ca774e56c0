import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type AverageOptions, plan } from '../../src/merge/average.ts';
import { goldensIn, unpackGolden } from '../support/containers.ts';
import { expectRefused } from '../support/refused-plan.ts';

/** DeepSpeed's ZeRO 1 and 2 of which a merge would not be what its trainer makes of it. */

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const home = unpackGolden('deepspeed-resume', folder);
const golden = goldensIn(folder);
const step = (run: string, number: number): string => join(home, run, `global_step${number}`);
const rank = (number: number): string => `bf16_zero_pp_rank_${number}_mp_rank_00_optim_states.pt`;
const MODEL = 'mp_rank_00_model_states.pt';
const MASTERS = 'optimizer.zero_pp_rank_0.single_partition_of_fp32_groups.0';

let made = 0;
/** A copy of a step, in which something is changed. */
function changed(change: (path: string) => void, number = 5): string {
  const path = join(folder, `changed-${made++}`, `global_step${number}`);
  cpSync(step('zero1', number), path, { recursive: true });
  change(path);
  return path;
}
/** The same, with every text in some of its files replaced by one of as many letters. */
const renamed = (from: string, to: string, files: RegExp, number = 5): string =>
  changed((path) => {
    for (const name of readdirSync(path).filter((one) => files.test(one))) {
      const text = readFileSync(join(path, name), 'latin1');
      expect(text).toContain(from);
      writeFileSync(join(path, name), text.replaceAll(from, to), 'latin1');
    }
  }, number);
/** Another byte at a place behind a text. */
const byteBehind = (text: string, at: number, value: (was: number) => number, file: string, number: number): string =>
  changed((path) => {
    const bytes = readFileSync(join(path, file));
    const place = bytes.indexOf(text, 0, 'latin1') + text.length + at;
    bytes[place] = value(bytes[place]!);
    writeFileSync(join(path, file), bytes);
  }, number);
const OPTIM = /optim_states/;
/** The first value of a storage changed. */
const firstValue = (storage: string, number: number): string =>
  changed((path) => {
    const file = join(path, MODEL);
    const bytes = readFileSync(file);
    const header = bytes.lastIndexOf('PK\x03\x04', bytes.indexOf(`/data/${storage}`), 'latin1');
    bytes[header + 30 + bytes.readUInt16LE(header + 26) + bytes.readUInt16LE(header + 28)]! ^= 1;
    writeFileSync(file, bytes);
  }, number);

const resume = (optimizer: 'newest' | 'drop' | 'average', more: Partial<AverageOptions> = {}): Partial<AverageOptions> => ({
  for: 'resume',
  optimizer,
  ...more,
});
const UNIVERSAL = /ds_to_universal/;

interface Case {
  readonly name: string;
  readonly inputs: () => readonly string[];
  readonly options: Partial<AverageOptions>;
  readonly code: string;
  /** What the message, its file or its tensor names. */
  readonly place: string;
  readonly says: RegExp;
}

// biome-ignore format: a table, a case a line.
const CASES: readonly Case[] = [
  { name: 'a member of another number of ranks', inputs: () => [step('zero1-padded', 5), step('zero1', 15)], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'zero1-padded/global_step5 was saved by 3 data-parallel ranks', says: UNIVERSAL },
  { name: 'the newest of another number of ranks', inputs: () => [step('zero1', 5), step('zero1-padded', 15)], options: resume('average'), code: 'E_LAYOUT_FORM', place: 'zero1/global_step5 was saved by 2', says: UNIVERSAL },
  { name: 'a partition that is not there', inputs: () => [changed((path) => rmSync(join(path, rank(1)))), step('zero1', 15)], options: resume('newest'), code: 'E_SHARD_MISSING', place: rank(1), says: /model alone, with .*safetensors/ },
  { name: 'a first partition that is not there, of the newest', inputs: () => [step('zero1', 5), changed((path) => rmSync(join(path, rank(0))), 15)], options: resume('newest'), code: 'E_SHARD_MISSING', place: rank(0), says: /files of 2 ranks/ },
  { name: 'a partition that was cut off', inputs: () => [changed((path) => truncateSync(join(path, rank(0)), 3000)), step('zero1', 15)], options: resume('newest'), code: 'E_ZIP', place: rank(0), says: /./ },
  { name: 'an empty partition', inputs: () => [changed((path) => truncateSync(join(path, rank(0)), 0)), step('zero1', 15)], options: resume('newest'), code: 'E_ZIP', place: rank(0), says: /./ },
  { name: 'a record that is not so (round_robin_gradients)', inputs: () => [step('zero2-round-robin', 5), step('zero2-round-robin', 15)], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'zero2-round-robin/global_step', says: /round_robin_gradients/ },
  { name: 'a record that is not so in an older member', inputs: () => [step('zero2-round-robin', 5), step('zero2', 15)], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'zero2-round-robin/global_step5', says: /rounded/ },
  { name: 'weights that were not made from the masters', inputs: () => [firstValue('1', 5), step('zero1', 15)], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'element 0 of the weight', says: /not made from its masters/ },
  { name: 'weights of the newest that were not', inputs: () => [step('zero1', 5), firstValue('1', 15)], options: resume('drop'), code: 'E_LAYOUT_FORM', place: 'global_step15: embed_tokens.weight', says: /rounded/ },
  { name: 'no record of what lies where', inputs: () => [renamed('param_slice_mappings', 'param_slice_mappingz', OPTIM), renamed('param_slice_mappings', 'param_slice_mappingz', OPTIM, 15)], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'param_slice_mappings', says: /safetensors/ },
  { name: 'a record in the newest alone', inputs: () => [renamed('param_slice_mappings', 'param_slice_mappingz', OPTIM), step('zero1', 15)], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'was saved by 0', says: UNIVERSAL },
  { name: 'a record of a weight that is not there', inputs: () => [renamed('layers.0.norm.bias', 'layers.0.norm.bios', /pp_rank_0_/), renamed('layers.0.norm.bias', 'layers.0.norm.bios', /pp_rank_0_/, 15)], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'layers.0.norm.bios', says: /no weight of the model/ },
  { name: 'a record of more of a weight than it has', inputs: () => [5, 15].map((number) => byteBehind('numel', 3, (was) => was + 1, rank(0), number)), options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'embed_tokens.weight have 56 elements', says: /has 55/ },
  { name: 'a record of one rank alone', inputs: () => [5, 15].map((number) => renamed('param_slice_mappings', 'param_slice_mappingz', /pp_rank_1_/, number)), options: resume('newest'), code: 'E_TORCH_FILE', place: rank(1), says: /param_slice_mappings is not in it, as it is in the files of other ranks .*copy it again/ },
  { name: 'a record without how much there is', inputs: () => [5, 15].map((number) => renamed('numel', 'numol', /pp_rank_0_/, number)), options: resume('newest'), code: 'E_TORCH_FILE', place: rank(0), says: /param_slice_mappings\[0\] has no whole number as numel of embed_tokens\.weight .*damaged/ },
  { name: 'a record without where it begins, in an older member', inputs: () => [renamed('start', 'stort', /pp_rank_1_/), step('zero1', 15)], options: resume('drop'), code: 'E_TORCH_FILE', place: rank(1), says: /no whole number as start of/ },
  { name: "a rank's file that is another rank's", inputs: () => [5, 15].map((number) => changed((path) => cpSync(join(path, rank(0)), join(path, rank(1))), number)), options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'recorded parts', says: /damaged, or of another rank or step/ },
  { name: 'ranks that were exchanged', inputs: () => [5, 15].map((number) => changed((path) => { cpSync(join(path, rank(0)), join(path, 'x')); cpSync(join(path, rank(1)), join(path, rank(0))); cpSync(join(path, 'x'), join(path, rank(1))); rmSync(join(path, 'x')); }, number)), options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'global_step', says: /files of ranks may have been exchanged/ },
  { name: 'moments that one rank lacks, kept', inputs: () => [5, 15].map((number) => renamed('exp_avg_sq', 'exp_ovg_sq', /pp_rank_1_/, number)), options: resume('newest'), code: 'E_LAYOUT_FORM', place: rank(1), says: /has no exp_avg_sq of group 0, which files of other ranks have/ },
  { name: 'moments that one rank lacks, dropped', inputs: () => [step('zero1', 5), renamed('base_optimizer_state', 'bose_optimizer_state', /pp_rank_0_/, 15)], options: resume('drop'), code: 'E_LAYOUT_FORM', place: rank(0), says: /has no exp_avg of group 0/ },
  { name: 'a record of two weights in one place', inputs: () => [5, 15].map((number) => byteBehind('start', 3, () => 1, rank(0), number)), options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'where another weight still lies', says: /layers\.0\.norm\.weight/ },
  { name: 'a record of a place behind the end', inputs: () => [5, 15].map((number) => byteBehind('start', 3, () => 200, rank(0), number)), options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'elements 200 to 255', says: /which has 84/ },
  { name: 'a record of other weights in one member', inputs: () => [renamed('layers.0.norm.bias', 'layers.0.norm.bios', /pp_rank_0_/), step('zero1', 15)], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'layers.0.norm.bios', says: /not alike/ },
  { name: 'no masters', inputs: () => [renamed('single_partition_of_fp32_groups', 'single_partition_of_fp32_groupz', OPTIM), renamed('single_partition_of_fp32_groups', 'single_partition_of_fp32_groupz', OPTIM, 15)], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'no float32 masters', says: UNIVERSAL },
  { name: 'masters in the newest alone', inputs: () => [renamed('single_partition_of_fp32_groups', 'single_partition_of_fp32_groupz', OPTIM), step('zero1', 15)], options: resume('newest'), code: 'E_LAYOUT_FORM', place: `${MASTERS} is F32`, says: /not there in/ },
  { name: 'a member without an optimizer', inputs: () => [changed((path) => { for (const one of [0, 1]) rmSync(join(path, rank(one))); }), step('zero1', 15)], options: resume('newest'), code: 'E_NO_OPTIMIZER', place: 'global_step5', says: /Leave it out/ },
  { name: 'a rank that holds something else', inputs: () => [renamed('optimizer_state_dict', 'optimizer_state_dicd', OPTIM), step('zero1', 15)], options: resume('newest'), code: 'E_TORCH_FILE', place: 'optim_states.pt', says: /optimizer's state should stand/ },
  { name: 'a class that DeepSpeed does not save', inputs: () => [renamed('fragment_address', 'fragment_oddress', OPTIM), step('zero1', 15)], options: resume('newest'), code: 'E_PICKLE_CLASS', place: 'optim_states.pt', says: /fragment_oddress/ },
  { name: 'weights of one tensor', inputs: () => [step('zero1', 5), step('zero1', 15)], options: resume('newest', { policies: [{ name: 'norm.weight', weights: [0.2, 0.8] }] }), code: 'E_POLICY', place: 'norm.weight', says: UNIVERSAL },
  { name: 'a policy that takes one tensor from the newest', inputs: () => [step('zero1', 5), step('zero1', 15)], options: resume('average', { policies: [{ role: 'norm', use: 'newest' }] }), code: 'E_POLICY', place: 'norm', says: /Leave out the policies/ },
  { name: 'negative weights and second moments', inputs: () => [step('zero1', 5), step('zero1', 15)], options: resume('average', { weights: [-0.5, 1.5] }), code: 'E_WEIGHTS', place: 'exp_avg_sq', says: /root/ },
  { name: 'weights from the model, which the masters overwrite', inputs: () => [step('zero1', 5), step('zero1', 15)], options: resume('newest', { weightsFrom: 'model' }), code: 'E_OPTION', place: 'out', says: /overwrites/ },
  { name: 'what is not known of an optimizer, averaged', inputs: () => [renamed('exp_avg_sq', 'exp_avg_qs', OPTIM), renamed('exp_avg_sq', 'exp_avg_qs', OPTIM, 15)], options: resume('average'), code: 'E_NO_OPTIMIZER', place: 'exp_avg_qs', says: /mean of it/ },
  { name: 'what is not known of an optimizer, dropped', inputs: () => [renamed('exp_avg_sq', 'exp_avg_qs', OPTIM), renamed('exp_avg_sq', 'exp_avg_qs', OPTIM, 15)], options: resume('drop'), code: 'E_NO_OPTIMIZER', place: 'exp_avg_qs', says: /begins with/ },
  { name: 'steps that are no tensors, dropped', inputs: () => [renamed('\x04\0\0\0step', '\x04\0\0\0stap', OPTIM, 15)], options: resume('drop'), code: 'E_LAYOUT_FORM', place: 'as numbers', says: /newest/ },
  { name: 'moments that an older member lacks', inputs: () => [renamed('exp_avg_sq', 'exp_avg_qs', OPTIM), step('zero1', 15)], options: resume('average'), code: 'E_TENSOR_MISSING', place: 'exp_avg_sq', says: /newest/ },
  { name: 'stage 3', inputs: () => [join(golden('deepspeed-zero3'), 'global_step100'), join(golden('deepspeed-zero3'), 'global_step200')], options: resume('newest'), code: 'E_NO_CHECKPOINT', place: 'ZeRO-3', says: /zero_to_fp32/ },
  { name: 'stage 3 among stage 1', inputs: () => [step('zero1', 5), join(golden('deepspeed-zero3'), 'global_step200')], options: resume('newest'), code: 'E_NO_CHECKPOINT', place: 'ZeRO-3', says: /zero_to_fp32/ },
  { name: 'the files of the model alone in torch.save', inputs: () => [step('zero1', 5), step('zero1', 15)], options: { format: 'torch' }, code: 'E_OPTION', place: 'global_step15', says: /resume.* merges both/ },
  { name: 'moments averaged into safetensors', inputs: () => [step('zero1', 5), step('zero1', 15)], options: resume('average', { format: 'safetensors' }), code: 'E_OPTION', place: 'safetensors', says: /DeepSpeed's ZeRO 1 and 2/ },
];

describe('ZeRO 1 and 2 that training cannot go on from', () => {
  it.each(CASES.filter(({ name }) => /record of|record without|lacks|of another rank/.test(name)))(
    '$name: round_robin_gradients is no advice',
    async ({ inputs, options }) => {
      const error = await plan({ inputs: inputs(), output: join(folder, 'out'), ...options } as AverageOptions).catch((thrown) => thrown);
      expect(`${error.message} ${error.help}`).not.toContain('round_robin');
    },
  );

  it('is merged as the model alone all the same', async () => {
    const inputs = [5, 15].map((number) => renamed('numel', 'numol', /pp_rank_0_/, number));
    expect((await plan({ inputs, output: join(folder, 'out'), format: 'safetensors' })).outputs[0]!.kept).toBeNull();
    const moments = [5, 15].map((number) => renamed('exp_avg_sq', 'exp_ovg_sq', /pp_rank_1_/, number));
    expect((await plan({ inputs: moments, output: join(folder, 'out'), weightsFrom: 'master' })).outputs[0]!.weightsFrom).toBe('master');
  });

  it.each(CASES)('$name', async ({ inputs, options, ...refused }) => {
    const { codes } = await expectRefused(plan({ inputs: inputs(), output: join(folder, 'out'), ...options } as AverageOptions), refused);
    // Told once, and not again for each weight.
    expect(codes.length, codes.join(', ')).toBeLessThanOrEqual(4);
  });

  it('knows at least 25 of them', () => {
    expect(new Set(CASES.map(({ code, place }) => `${code} ${place}`)).size).toBeGreaterThanOrEqual(25);
  });
});
