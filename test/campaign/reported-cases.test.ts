import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/checkpoints.ts';
import { BIN, type CliResult, runCli } from '../support/run-cli.ts';
import { systemTool } from '../support/system-tool.ts';
import { bf16, bytesOf, CONFIG, llama, load, notTheMean, type SaveOptions, save, type Tensors } from '../support/tiny-llama.ts';

/**
 * Situations that people reported to other tools (the issue trackers are named) and that this one got wrong
 * once: each is made on disk as it was met, tried by the command line, and judged by what is right.
 */
interface Case {
  readonly id: string;
  /** Where it was reported. */
  readonly from: string;
  readonly situation: string;
  /** Why it cannot be tried here; null where it can. */
  readonly obstacle?: () => string | null;
  readonly make: (cwd: string) => void;
  readonly right: (merge: Merge, cwd: string) => Promise<void>;
}

type Merge = (...args: string[]) => Promise<CliResult>;

const root = temporaryFolder();
afterAll(() => root.remove());

const STEPS = [100, 200, 300];
const [TWO, THREE] = [STEPS.slice(0, 2), STEPS];

function makeRun(cwd: string, steps: readonly number[], tensors = (step: number): Tensors => llama(step), options: SaveOptions = {}) {
  for (const step of steps) save(join(cwd, 'run', `checkpoint-${step}`), tensors(step), options);
}

const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${'ab'.repeat(32)}\nsize 14483464192\n`;
const at = (cwd: string, ...steps: readonly number[]) => steps.map((step) => join(cwd, 'run', `checkpoint-${step}`));
const read = (cwd: string, ...path: string[]) => readFileSync(join(cwd, ...path), 'utf8');

/** A merge of these steps, and the right one. */
function expectMean({ code, stderr }: CliResult, cwd: string, steps: readonly number[], out = 'out') {
  expect([code, stderr.match(/^error.*/m)?.[0]]).toEqual([0, undefined]);
  expect(notTheMean(join(cwd, out), at(cwd, ...steps))).toEqual([]);
}

const quantised = (step: number): Tensors =>
  Object.fromEntries(
    Object.entries(llama(step)).flatMap(([name, tensor]) => {
      if (!name.includes('proj')) return [[name, tensor]];
      const count = tensor.bytes.length / 2;
      const scale = Buffer.from(Float32Array.of(0.01).buffer);
      return [
        [name, { dtype: 'F8_E4M3', shape: tensor.shape, bytes: bytesOf(count, step, 0x3f) }],
        [`${name}_scale`, { dtype: 'F32', shape: [1], bytes: scale }],
      ];
    }),
  );

const mlx = (step: number): Tensors =>
  Object.fromEntries(
    Object.entries(llama(step)).flatMap(([name, tensor]) => {
      const [rows = 1, columns = 1] = tensor.shape;
      if (!name.includes('proj')) return [[name, tensor]];
      const base = name.slice(0, -'.weight'.length);
      return [
        [name, { dtype: 'U32', shape: [rows, columns / 8], bytes: bytesOf((rows * columns) / 2, step) }],
        [`${base}.scales`, bf16(`${base}.scales`, [rows, 1], step)],
        [`${base}.biases`, bf16(`${base}.biases`, [rows, 1], step)],
      ];
    }),
  );

const peft = (step: number): Tensors => {
  const wrapped = Object.entries(llama(step)).map(([name, tensor]) => [
    `base_model.model.${name.replace(/([qv]_proj)\.weight$/, '$1.base_layer.weight')}`,
    tensor,
  ]);
  const adapters = [0, 1].flatMap((l) =>
    ['q', 'v'].flatMap((n) => {
      const p = `base_model.model.model.layers.${l}.self_attn.${n}_proj.`;
      const [a, b] = [`${p}lora_A.default.weight`, `${p}lora_B.default.weight`];
      return [
        [a, bf16(a, [4, 16], step)],
        [b, bf16(b, [16, 4], step)],
      ];
    }),
  );
  return Object.fromEntries([...wrapped, ...adapters]);
};

/** Whether this process may act as a user that has no name, with a folder that it may write to. */
function asAnother(): string | null {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') return 'only root on Linux can be somebody else';
  const tried = spawnSync(systemTool('setpriv'), [...ANOTHER, process.execPath, BIN, '--version']);
  return tried.status === 0 ? null : 'somebody else cannot read this checkout, or its Node';
}
const ANOTHER = ['--reuid', '123456', '--regid', '0', '--clear-groups'];

function another(cwd: string, args: readonly string[]) {
  const { status, stderr } = spawnSync(systemTool('setpriv'), [...ANOTHER, process.execPath, BIN, ...args], {
    cwd,
    env: { PATH: process.env.PATH },
    encoding: 'utf8',
  });
  return { code: status, stderr };
}

function shared(cwd: string) {
  chmodSync(root.path, 0o755);
  mkdirSync(join(cwd, 'w'));
  chmodSync(join(cwd, 'w'), 0o777);
}

/** A mount namespace of its own, in which /dev/shm can be another one. */
const UNSHARED = ['-m', systemTool('sh'), '-c', 'mount -t tmpfs -o ro tmpfs /dev/shm && exec "$@"', 'sh'];
const unshared = () =>
  process.platform === 'linux' && spawnSync('unshare', [...UNSHARED, 'true']).status === 0
    ? null
    : 'only who may mount can make /dev/shm read-only for a command';

const CASES: readonly Case[] = [
  {
    id: '01-config-infinity',
    from: 'huggingface/transformers#42959, ai-dynamo/dynamo#3043',
    situation: 'config.json with a bare Infinity, as transformers 4 writes it',
    make: (cwd) =>
      makeRun(cwd, TWO, llama, {
        config: `${JSON.stringify(CONFIG, null, 2).slice(0, -2)},\n  "time_step_limit": [\n    0.0,\n    Infinity\n  ]\n}\n`,
      }),
    right: async (merge, cwd) => {
      expectMean(await merge('average', 'run', '-o', 'out'), cwd, TWO);
      expect(read(cwd, 'out', 'config.json')).toBe(read(cwd, 'run', 'checkpoint-200', 'config.json'));
      expect((await merge('average', 'run', '-o', 'f32', '--dtype', 'F32')).code).toBe(0);
      const same = read(cwd, 'run', 'checkpoint-200', 'config.json').replace('"bfloat16"', '"float32"');
      expect(read(cwd, 'f32', 'config.json')).toBe(same);
    },
  },
  {
    id: '02-config-v4-then-v5',
    from: 'marin-community/marin#7146, vllm-project/vllm#42624',
    situation: 'a run that went on under transformers 5: other keys of the same model',
    make: (cwd) => {
      const { rope_theta, torch_dtype, ...rest } = CONFIG;
      save(join(cwd, 'run', 'checkpoint-100'), llama(100), { config: { ...CONFIG, rope_scaling: null } });
      const v5 = { dtype: 'bfloat16', rope_parameters: { rope_theta: 10000.0, rope_type: 'default' }, pad_token_id: null };
      save(join(cwd, 'run', 'checkpoint-200'), llama(200), { config: { ...rest, ...v5, transformers_version: '5.24.0' } });
      const other = { ...v5, rope_parameters: { rope_theta: 500000.0, rope_type: 'default' } };
      save(join(cwd, 'other'), llama(300), { config: { ...rest, ...other, transformers_version: '5.24.0' } });
    },
    right: async (merge, cwd) => {
      expectMean(await merge('average', 'run', '-o', 'out'), cwd, TWO);
      const { code, stderr } = await merge('average', ...at(cwd, 100), 'other', '-o', 'out2');
      expect(code).toBe(3);
      expect(stderr).toMatch(/E_CONFIG_DIFFERS/);
      expect(stderr).toMatch(/rope_theta/);
      expect(stderr.replaceAll(',', '')).toMatch(/10000[\s\S]*500000|500000[\s\S]*10000/);
    },
  },
  {
    id: '03-hf-quant-config-left',
    from: 'NVIDIA/Model-Optimizer#228',
    situation: 'FP8 by ModelOpt, merged to BF16: hf_quant_config.json would say FP8 of BF16 weights',
    make: (cwd) => {
      const quantization_config = { quant_method: 'modelopt', quant_algo: 'FP8', ignore: ['lm_head'] };
      makeRun(cwd, TWO, quantised, { config: { ...CONFIG, quantization_config } });
      for (const folder of at(cwd, ...TWO)) {
        const quantization = { quant_algo: 'FP8', kv_cache_quant_algo: null };
        writeFileSync(join(folder, 'hf_quant_config.json'), JSON.stringify({ producer: { name: 'modelopt' }, quantization }));
      }
    },
    right: async (merge, cwd) => {
      const { code, stdout, stderr } = await merge('average', 'run', '--dtype', 'BF16', '-o', 'out');
      expect(code).toBe(0);
      expect(readdirSync(join(cwd, 'out'))).not.toContain('hf_quant_config.json');
      expect(JSON.parse(read(cwd, 'out', 'config.json'))).not.toHaveProperty('quantization_config');
      expect(stdout + stderr + read(cwd, 'out', 'merge_provenance.json')).toMatch(/hf_quant_config\.json/);
    },
  },
  {
    id: '04-left-out-in-silence',
    from: 'RLinf/RLinf#1469, microsoft/OmniParser#34',
    situation: 'the newest checkpoint of a run is a Git LFS pointer',
    make: (cwd) => {
      makeRun(cwd, THREE);
      writeFileSync(join(cwd, 'run', 'checkpoint-300', 'model.safetensors'), POINTER);
    },
    right: async (merge, cwd) => {
      const made = await merge('average', 'run', '--last', '3', '-o', 'out', '--json');
      expectMean(made, cwd, TWO);
      expect(made.stderr).toMatch(/W_LEFT_OUT_MEMBERS[\s\S]*checkpoint-300[\s\S]*LFS/);
      expect(made.stderr).toMatch(/2 of 3/);
      expect(JSON.parse(made.stdout).warnings).toContainEqual(expect.objectContaining({ code: 'W_LEFT_OUT_MEMBERS' }));
      expect(read(cwd, 'out', 'merge_provenance.json')).toMatch(/checkpoint-300/);
      expect((await merge('average', 'run', '--last', '3', '-o', 'strict', '--strict')).code).toBe(3);
      expect(existsSync(join(cwd, 'strict'))).toBe(false);
    },
  },
  {
    id: '05-evaluator-owns-model',
    from: 'nyu-mll/jiant#19, instructlab/training#48',
    situation: 'an evaluator that removes its {model}',
    make: (cwd) => makeRun(cwd, THREE),
    right: async (merge, cwd) => {
      const whole = THREE.map((step) => load(join(cwd, 'run', `checkpoint-${step}`)));
      const command = 'stat -L -c %s {model}/model.safetensors; rm -rf {model}';
      const { code, stderr } = await merge('soup', 'run', '--goal', 'maximize', '-o', 'best', '--eval', command);
      expect([code, stderr.match(/^error.*/m)?.[0]]).toEqual([0, undefined]);
      expect(THREE.map((step) => load(join(cwd, 'run', `checkpoint-${step}`)))).toEqual(whole);
      for (const folder of at(cwd, ...THREE)) expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors']);
    },
  },
  {
    id: '06-nemo-automodel',
    from: 'NVIDIA-NeMo/Automodel#810, verl-project/verl#3318',
    situation: 'NeMo AutoModel: epoch_0_step_N/model/consolidated beside DCP optimizer state',
    make: (cwd) => {
      for (const step of [20, 40, 100]) {
        const base = join(cwd, 'run', `epoch_0_step_${step}`);
        save(join(base, 'model', 'consolidated'), llama(step), { shards: 2 });
        for (const file of [
          'config.yaml',
          'losses.json',
          'step_scheduler.pt',
          'optim/__0_0.distcp',
          'optim/.metadata',
          'rng/rng_dp_rank_0.pt',
        ]) {
          mkdirSync(join(base, file, '..'), { recursive: true });
          writeFileSync(join(base, file), '{}');
        }
      }
      symlinkSync('epoch_0_step_100', join(cwd, 'run', 'LATEST'));
    },
    right: async (merge, cwd) => {
      const { code, stdout } = await merge('ls', 'run', '--json');
      expect(code).toBe(0);
      expect(JSON.parse(stdout).checkpoints.map(({ step }: { step: number }) => step)).toEqual([20, 40, 100]);
      const inner = [100, 20, 40].map((step) => `run/epoch_0_step_${step}/model/consolidated`);
      expect((await merge('average', ...inner, '--method', 'wma', '-o', 'out')).code).toBe(0);
      const oldestFirst = [20, 40, 100].map((step) => join(cwd, `run/epoch_0_step_${step}/model/consolidated`));
      expect(notTheMean(join(cwd, 'out'), oldestFirst, [1 / 6, 2 / 6, 3 / 6])).toEqual([]);
    },
  },
  {
    id: '08-no-home',
    from: 'containers/crun#1633, openshift/origin#23369',
    situation: 'a user id without passwd entry, no HOME, --force over an existing folder',
    obstacle: asAnother,
    make: (cwd) => {
      makeRun(cwd, TWO);
      shared(cwd);
    },
    right: async (_, cwd) => {
      for (const force of [[], ['--force']]) expect(another(cwd, ['average', 'run', '-o', 'w/a', ...force])).toMatchObject({ code: 0 });
      expect(notTheMean(join(cwd, 'w', 'a'), at(cwd, ...TWO))).toEqual([]);
    },
  },
  {
    id: '09-shm-unwritable',
    from: 'apptainer/singularity#315',
    situation: '/dev/shm is there and read-only; merge search without --work',
    obstacle: unshared,
    make: (cwd) => makeRun(cwd, THREE),
    right: async (_, cwd) => {
      const words = ['search', 'run', '--last', '2', '--trials', '3', '--eval', 'echo 1 #{model}', '--goal', 'maximize', '-o', 'best'];
      const { status, stderr } = spawnSync('unshare', [...UNSHARED, process.execPath, BIN, ...words], { cwd, encoding: 'utf8' });
      expect([status, stderr.match(/^error.*/m)?.[0]]).toEqual([0, undefined]);
      expect(existsSync(join(cwd, 'best', 'model.safetensors'))).toBe(true);
    },
  },
  {
    id: '10-config-link-dangling',
    from: 'huggingface/transformers#37519',
    situation: 'config.json and tokenizer.json are links to blobs that are not there',
    make: (cwd) => {
      makeRun(cwd, TWO, llama, { config: null });
      for (const folder of at(cwd, ...TWO)) {
        symlinkSync('../../blobs/absent', join(folder, 'config.json'));
        symlinkSync('../../blobs/absent2', join(folder, 'tokenizer.json'));
      }
    },
    right: async (merge, cwd) => {
      const { code, stderr } = await merge('average', 'run', '-o', 'out');
      expect(stderr).toMatch(/config\.json/);
      expect(stderr).toMatch(/blobs\/absent/);
      if (code !== 0) expect(existsSync(join(cwd, 'out'))).toBe(false);
      else expect(stderr).toMatch(/^warning/m);
    },
  },
  {
    id: '12-lfs-pointer',
    from: 'huggingface/transformers#27923, codefuse-ai/MFTCoder#20',
    situation: 'named by hand, a Git LFS pointer instead of weights',
    make: (cwd) => {
      makeRun(cwd, TWO);
      writeFileSync(join(cwd, 'run', 'checkpoint-200', 'model.safetensors'), POINTER);
    },
    right: async (merge) => {
      const { code, stderr } = await merge('average', 'run/checkpoint-100', 'run/checkpoint-200', '-o', 'out');
      expect(code).toBe(3);
      expect(stderr).toMatch(/checkpoint-200[\s\S]*Git LFS pointer/);
      expect(stderr).toMatch(/git lfs pull/);
    },
  },
  {
    id: '13-total-parameters',
    from: 'huggingface/huggingface_hub#4221, axolotl-ai-cloud/axolotl#3758',
    situation: 'total_parameters in the index, which a policy makes wrong',
    make: (cwd) => {
      for (const step of TWO) {
        const tensors = llama(step);
        for (const [name, shape] of [
          ['eh_proj', [16, 32]],
          ['enorm', [16]],
          ['hnorm', [16]],
        ] as const)
          tensors[`model.layers.2.${name}.weight`] = bf16(name, shape, step);
        const parameters = Object.values(tensors).reduce((sum, { bytes }) => sum + bytes.length / 2, 0);
        const indexMetadata = { total_parameters: parameters, total_size: 2 * parameters };
        const config = { ...CONFIG, model_type: 'deepseek_v3', num_nextn_predict_layers: 1 };
        save(join(cwd, 'run', `checkpoint-${step}`), tensors, { shards: 2, indexMetadata, config });
      }
    },
    right: async (merge, cwd) => {
      const { code, stderr } = await merge('average', 'run', '--policy', 'role=mtp:use=drop', '-o', 'out');
      expect([code, stderr.match(/^error.*/m)?.[0]]).toEqual([0, undefined]);
      const { metadata } = JSON.parse(read(cwd, 'out', 'model.safetensors.index.json'));
      const kept = Object.values(load(join(cwd, 'out'))).reduce((sum, { bytes }) => sum + bytes.length / 2, 0);
      expect(metadata).toEqual({ total_parameters: kept, total_size: 2 * kept });
    },
  },
  {
    id: '15-te-extra-state',
    from: 'huggingface/transformers#38155, NVIDIA/TransformerEngine#458',
    situation: 'TransformerEngine: _extra_state of U8 that differs at each step',
    make: (cwd) =>
      makeRun(cwd, TWO, (step) => ({
        ...llama(step),
        ...Object.fromEntries(
          [0, 1].map((l) => [
            `model.layers.${l}.self_attn.q_proj._extra_state`,
            { dtype: 'U8', shape: [100], bytes: bytesOf(100, step + l) },
          ]),
        ),
      })),
    right: async (merge, cwd) => {
      const { code, stderr } = await merge('average', 'run', '-o', 'out');
      expect([code, stderr.match(/^error.*/m)?.[0]]).toEqual([0, undefined]);
      expect(stderr).toMatch(/^warning.*_extra_state/m);
      const [out, newest] = [load(join(cwd, 'out')), load(at(cwd, 200)[0]!)];
      const names = Object.keys(out).filter((name) => name.endsWith('_extra_state'));
      expect(names).toHaveLength(2);
      for (const name of names) expect(out[name]).toEqual(newest[name]);
    },
  },
  {
    id: '17-mlx-quantised',
    from: 'huggingface/hub-docs#2704',
    situation: 'MLX 4-bit: U32 weights with scales and biases',
    make: (cwd) =>
      makeRun(cwd, TWO, mlx, { config: { ...CONFIG, quantization: { group_size: 64, bits: 4 } }, metadata: { format: 'mlx' } }),
    right: async (merge) => {
      const { code, stderr } = await merge('average', 'run', '-o', 'out');
      expect(code).toBe(3);
      expect(stderr).toMatch(/E_QUANTISED_UNSUPPORTED/);
      expect(stderr).toMatch(/MLX/);
      expect(stderr).toMatch(/dequanti[sz]e/);
    },
  },
  {
    id: '18-peft-wrapped',
    from: 'johnsmith0031/alpaca_lora_4bit#135, huggingface/transformers#41844',
    situation: 'a full save of a PEFT model, base layers and adapters',
    make: (cwd) => makeRun(cwd, TWO, peft),
    right: async (merge) => {
      const { code, stderr } = await merge('average', 'run/checkpoint-100', 'run/checkpoint-200', '-o', 'out');
      expect(code).toBe(3);
      expect(stderr).toMatch(/PEFT/);
      expect(stderr).toMatch(/merge_and_unload\(\)/);
    },
  },
  {
    id: '20-no-head',
    from: 'QwenLM/Qwen3-VL-Embedding#89, NVIDIA-NeMo/Automodel#2511',
    situation: 'an untied ForCausalLM without a head in any member',
    make: (cwd) => makeRun(cwd, TWO, (step) => llama(step, { head: false })),
    right: async (merge, cwd) => {
      const inspected = await merge('inspect', 'run/checkpoint-100');
      expect(inspected.code).toBe(0);
      expect(inspected.stdout + inspected.stderr).toMatch(/head/);
      const made = await merge('average', 'run', '-o', 'out');
      expectMean(made, cwd, TWO);
      expect(made.stderr).toMatch(/^warning.*head/m);
    },
  },
  {
    id: '24-names-of-steps',
    from: 'OpenRLHF/OpenRLHF#687, mosaicml/llm-foundry#594',
    situation: 'step folders with a suffix of their converter, and of other trainers',
    make: (cwd) => {
      for (const name of NAMES)
        for (const step of [20, 40, 100]) save(join(cwd, name.replace('@', 'N'), name.replace('@', String(step))), llama(step));
    },
    right: async (merge, cwd) => {
      for (const name of NAMES) {
        const run = name.replace('@', 'N');
        const { stdout } = await merge('ls', run, '--json');
        expect([name, JSON.parse(stdout).checkpoints.map(({ step }: { step: number }) => step)]).toEqual([name, [20, 40, 100]]);
        // As a shell writes a glob: 100 before 20.
        const members = [100, 20, 40].map((step) => `${run}/${name.replace('@', String(step))}`);
        expect((await merge('average', ...members, '--method', 'wma', '-o', `out-${run}`)).code).toBe(0);
        const oldestFirst = [members[1]!, members[2]!, members[0]!].map((member) => join(cwd, member));
        expect(notTheMean(join(cwd, `out-${run}`), oldestFirst, [1 / 6, 2 / 6, 3 / 6])).toEqual([]);
      }
    },
  },
  {
    id: '25-evaluator-prints',
    from: 'mlcommons/inference#1763',
    situation: 'the last line is np.float64(0.61), has colours, or is JSON over several lines',
    make: (cwd) => makeRun(cwd, THREE),
    right: async (merge, cwd) => {
      const search = (text: string, n: number) =>
        merge('search', 'run', '--last', '2', '--trials', '3', '--goal', 'maximize', '-o', `best${n}`, '--eval', `${text} #{model}`);
      const json = `printf '{\\n  "score": 0.61,\\n  "stderr": 0.01\\n}\\n'`;
      for (const [n, text] of [json, `printf '\\033[32m0.61\\033[0m\\n'`].entries()) {
        const { code, stdout } = await search(text, n);
        expect([text, code, /0\.61/.test(stdout)]).toEqual([text, 0, true]);
      }
      const count = join(cwd, 'count');
      const { code, stderr } = await search(`echo x >> ${count}; echo 'np.float64(0.61)'`, 9);
      expect(code).toBe(1);
      expect(stderr).toContain('np.float64(0.61)');
      expect(readFileSync(count, 'utf8')).toBe('x\n');
    },
  },
  {
    id: '26-abandoned-branch',
    from: 'marin-community/marin#8890, google/flax#1120',
    situation: 'the trainer went back to step 200: checkpoint-300 is of the abandoned branch',
    make: (cwd) => {
      makeRun(cwd, [100, 200, 250, 300]);
      // Written: 100, 300, then 200 and 250 of the branch that lives.
      for (const [step, written] of [
        [100, 0],
        [300, 3600],
        [200, 90_000],
        [250, 93_600],
      ] as const)
        for (const folder of at(cwd, step))
          for (const file of readdirSync(folder)) utimesSync(join(folder, file), 1.7e9 + written, 1.7e9 + written);
    },
    right: async (merge, cwd) => {
      const made = await merge('average', 'run', '--last', '3', '-o', 'out');
      expectMean(made, cwd, [200, 250, 300]);
      expect(made.stderr).toMatch(/^warning\[W_ABANDONED_BRANCH\]: step 300 /m);
    },
  },
  {
    id: '27-side-file-unreadable',
    from: 'own probe',
    situation: 'config.json of the newest member is not readable by the user who merges',
    obstacle: asAnother,
    make: (cwd) => {
      makeRun(cwd, THREE);
      shared(cwd);
      chmodSync(join(cwd, 'run', 'checkpoint-300', 'config.json'), 0o600);
    },
    right: async (_, cwd) => {
      for (const dry of [['--dry-run'], []]) {
        const { code, stderr } = another(cwd, ['average', 'run', '-o', 'w/out', ...dry]);
        expect(code).toBe(3);
        expect(stderr).toMatch(/checkpoint-300\/config\.json: permission denied/);
        expect(stderr).not.toMatch(/put the config\.json/);
      }
      expect(readdirSync(join(cwd, 'w'))).toEqual([]);
    },
  },
  {
    id: '31-dot-slash-index',
    from: 'own probe',
    situation: 'weight_map with ./model-00001-of-00002.safetensors',
    make: (cwd) => makeRun(cwd, TWO, llama, { shards: 2, filePrefix: './' }),
    right: async (merge, cwd) => {
      expectMean(await merge('average', 'run/checkpoint-100', 'run/checkpoint-200', '-o', 'out'), cwd, TWO);
      expect(lstatSync(join(cwd, 'out', 'model.safetensors.index.json')).isFile()).toBe(true);
    },
  },
  {
    id: '35-learned-scale',
    from: 'transformers 5.24 inkling2',
    situation: 'a learned matrix X.scale without X.weight in an unquantised model',
    make: (cwd) =>
      makeRun(
        cwd,
        TWO,
        (step) => ({
          ...llama(step),
          ...Object.fromEntries([0, 1].map((l) => [`model.layers.${l}.self_attn.q_l2_clip.scale`, bf16(`clip${l}`, [4, 16], step, 1)])),
        }),
        { config: { model_type: 'mine', num_hidden_layers: 2, hidden_size: 16 } },
      ),
    right: async (merge, cwd) => expectMean(await merge('average', 'run/checkpoint-100', 'run/checkpoint-200', '-o', 'out'), cwd, TWO),
  },
  {
    id: '36-layers-swapped-false',
    from: 'own probe; Gemma 4 and OpenELM have layers of two sizes',
    situation: 'layers whose q_proj have other shapes, early in training',
    make: (cwd) => {
      const early = (step: number): Tensors => ({
        'model.layers.0.self_attn.q_proj.weight': bf16('q0', [16, 32], step, 0, 0.3),
        'model.layers.1.self_attn.q_proj.weight': bf16('q1', [8, 32], step, 0, 0.3),
        'model.embed_tokens.weight': bf16('e', [20, 32], step, 0, 0.3),
      });
      makeRun(cwd, TWO, early, { config: { model_type: 'openelm', num_hidden_layers: 2, hidden_size: 32 } });
    },
    right: async (merge, cwd) => expectMean(await merge('average', 'run/checkpoint-100', 'run/checkpoint-200', '-o', 'out'), cwd, TWO),
  },
];

const NAMES = ['global_step@_hf', 'step@-hf', 'iter_00000@_hf', 'ba@', 'epoch_0_step_@'];

describe('what was reported of other tools, and was wrong here', () => {
  for (const row of CASES) {
    it(`${row.id}: ${row.situation} (${row.from})`, { timeout: 120_000 }, async (context) => {
      const why = row.obstacle?.() ?? null;
      if (why !== null) context.skip(why);
      const cwd = join(root.path, row.id);
      mkdirSync(cwd);
      row.make(cwd);
      await row.right((...args) => runCli(args, { cwd }), cwd);
    });
  }
});
