import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lossOf } from '../../../src/merge/output/replaceable.ts';
import { temporaryFolder } from '../../support/publication.ts';

const HF = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'README.md'];
const SHARDED = ['config.json', 'model.safetensors.index.json', 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
const OURS = [...HF, 'merge_provenance.json', 'merge_recipe.yaml', 'special_tokens_map.json', 'LICENSE'];
const TRAINER = ['trainer_state.json', 'training_args.bin', 'optimizer.pt', 'scheduler.pt', 'rng_state.pth', 'all_results.json'];

/** A folder with such files; a name that ends in `/` is an empty folder. */
function folderOf(names: readonly string[]): string {
  const folder = temporaryFolder();
  for (const name of names) {
    mkdirSync(join(folder, name.endsWith('/') ? name : dirname(name)), { recursive: true });
    if (!name.endsWith('/')) writeFileSync(join(folder, name), '');
  }
  return folder;
}

describe('a folder that looks like a checkpoint', () => {
  it.each<[what: string, files: string[]]>([
    ['of transformers', HF],
    ['in shards', SHARDED],
    ['that this program made', OURS],
    ['of torch', ['config.json', 'pytorch_model-00001-of-00002.bin', 'pytorch_model.bin.index.json']],
    ['of a Trainer', [...HF, ...TRAINER, 'runs/Nov29_a100/events.out.tfevents.1.a100.2.0']],
    ['of DeepSpeed', [...HF, ...TRAINER, 'latest', 'zero_to_fp32.py', 'global_step500/mp_rank_00_model_states.pt', 'rng_state_7.pth']],
    ['of FSDP', [...TRAINER, 'pytorch_model_fsdp_0/__0_0.distcp', 'pytorch_model_fsdp_0/.metadata', 'optimizer_0/__0_0.distcp', 'm.bin']],
    ['of torch.distributed', ['.metadata', '__0_0.distcp', '__1_0.distcp']],
    [
      'of nanotron',
      [
        'checkpoint_metadata.json',
        'config.yaml',
        'model_config.json',
        'model/model/decoder/0/pp_block/attn/model_weight.safetensors',
        'optimizer/optimizer_pp-0-of-1_tp-0-of-1.pt',
        'random/tp-0-of-1_dp-0-of-1_pp-0-of-1_cp-0-of-1.pt',
        'lr_scheduler/lr_scheduler_pp-0_tp-0.pt',
      ],
    ],
    ['of Meta, from the Hub', [...HF, 'original/consolidated.00.pth', 'original/params.json', 'original/tokenizer.model', 'USE_POLICY.md']],
    [
      'downloaded from the Hub',
      [...HF, '.gitattributes', '.cache/huggingface/.gitignore', '.cache/huggingface/download/config.json.metadata'],
    ],
    ['with code of its own', [...HF, 'modeling_x.py', 'configuration_x.py', '__pycache__/modeling_x.cpython-312.pyc']],
    ['of mergekit', [...HF, 'mergekit_config.yml']],
    ['seen by a desktop', [...HF, '.DS_Store', '._config.json', 'Thumbs.db']],
    ['on NFS', [...HF, '.nfs000000000abc0001']],
    ['with an empty folder', [...HF, 'runs/', 'new/']],
  ])('%s is replaced without a word', async (_, files) => {
    expect(await lossOf(folderOf(files), 'folder')).toEqual({ foreign: [], noted: [] });
  });

  it.each<[what: string, files: string[], noted: string[]]>([
    ['lm-eval', ['results_2026-11-29T10-00-00.123456.json', 'samples_gsm8k_2026.jsonl'], ['results_2026', 'samples_gsm8k']],
    ['lm-eval, in a folder', ['__data__out/results_2026.json', '__data__out/samples_arc_2026.jsonl'], ['__data__out']],
    ['lighteval', ['results/data/out/results_2026.json', 'details/data/out/2026/details_gsm8k_2026.parquet'], ['details', 'results']],
    ['examples of transformers', ['eval_results.txt', 'generated_predictions.txt'], ['eval_results.txt', 'generated_predictions.txt']],
    ['nobody knows whom: JSON', ['notes.json'], ['notes.json']],
    ['nobody knows whom: Python', ['plot.py'], ['plot.py']],
  ])('with what %s left there is replaced, and that is said', async (_, files, noted) => {
    const loss = await lossOf(folderOf([...OURS, ...files]), 'folder');
    expect(loss.foreign).toEqual([]);
    expect(loss.noted).toEqual(noted.map((start) => expect.stringContaining(start)));
    expect(loss.noted).toHaveLength(noted.length);
  });

  it.each<[what: string, files: string[], foreign: string[]]>([
    ['a thesis', ['thesis.tex'], ['thesis.tex']],
    ['notes', ['notes.md'], ['notes.md']],
    ['a notebook', ['look.ipynb'], ['look.ipynb']],
    ['arrays', ['embeddings.npy', 'features.npz', 'df.pkl'], ['df.pkl', 'embeddings.npy', 'features.npz']],
    ['a clone', ['.git/HEAD', '.git/config'], ['.git']],
    ['another checkpoint', ['checkpoint-500/model.safetensors', 'checkpoint-500/config.json'], ['checkpoint-500']],
    ['a folder of weights that no index names', ['old/model.safetensors'], ['old']],
    ['notes among the logs', ['runs/notes.md', 'runs/a/events.out.tfevents.1'], ['runs']],
    ['notes in a cache', ['.cache/thesis.tex'], ['.cache']],
    ['notes in a state', ['global_step5/notes.md'], ['global_step5']],
    ['results among other things', ['eval/results_1.json', 'eval/analysis.ipynb'], ['eval']],
    ['settings of a shell', ['.bashrc', '.ssh/id_ed25519'], ['.bashrc', '.ssh']],
    ['a very deep folder', [`runs/${'d/'.repeat(20)}events.out.tfevents.1`], ['runs']],
  ])('with %s is not replaced', async (_, files, foreign) => {
    expect((await lossOf(folderOf([...HF, ...files]), 'folder')).foreign).toEqual(foreign);
  });

  it.each<[what: string, files: string[]]>([
    ['a home', ['.bashrc', 'Documents/thesis.tex']],
    ['JSON alone', ['config.json', 'data.json']],
    ['a run', ['checkpoint-500/model.safetensors', 'checkpoint-1000/model.safetensors']],
    ['a run with its index', ['a.index.json', 'checkpoint-500/config.json', 'checkpoint-500/model.safetensors']],
    ['an empty folder in it', ['model.safetensors.index.json', 'new/']],
  ])('but holds no weights of its own is not replaced: %s', async (_, files) => {
    expect((await lossOf(folderOf(files), 'folder')).foreign).not.toEqual([]);
  });

  it('half removed is known by what is left', async () => {
    expect((await lossOf(folderOf(['config.json', 'README.md']), 'rest')).foreign).toEqual([]);
    expect((await lossOf(folderOf(['config.json', 'thesis.tex']), 'rest')).foreign).toEqual(['thesis.tex']);
  });
});

describe('a file', () => {
  const header = (text: string) => Buffer.concat([Buffer.from([text.length, 0, 0, 0, 0, 0, 0, 0]), Buffer.from(text)]);
  it.each<[what: string, kind: 'file' | 'page', content: Buffer | string, replaced: boolean]>([
    ['empty', 'file', '', true],
    ['of tensors', 'file', header('{}'), true],
    ['with a text', 'file', 'a thesis, and a long one', false],
    ['that is short', 'file', 'x', false],
    ['with a header that none has', 'file', Buffer.from([255, 255, 255, 255, 255, 0, 0, 0, 0x7b]), false],
    ['of this program', 'page', '<!doctype html><meta name="generator" content="ckpt-merge 0.1.0">', true],
    ['of another', 'page', '<!doctype html><title>thesis</title>', false],
    ['that says it late', 'page', `${' '.repeat(2000)}<meta name="generator" content="ckpt-merge 0.1.0">`, false],
  ])('%s, where a %s is to be: %#', async (_, kind, content, replaced) => {
    const path = join(temporaryFolder(), 'file');
    writeFileSync(path, content);
    expect((await lossOf(path, kind)).foreign).toEqual(replaced ? [] : [path]);
  });
});
