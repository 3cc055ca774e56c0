import { EXIT } from '../../base/errors.ts';

/**
 * Examples of each command, as `[what it is for, the arguments after the program's name]`. They are run by
 * nobody but read by everybody: keep them few.
 */
export const EXAMPLES: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  merge: [
    ['What is in a run: steps, tokens, loss, and what is incomplete', 'ls run'],
    ['The last ten checkpoints of a run, 8B tokens apart', 'average run --last 10 --every 8B -o merged'],
    ['The mean of three checkpoints of a run', 'average run/checkpoint-1000 run/checkpoint-2000 run/checkpoint-3000 -o merged'],
    ['See first what would happen', 'plan run --last 10 --every 8B -o merged'],
    ['Choose the weights by the scores of your evaluator', 'search run --last 2 --eval \'python eval.py "$MERGE_MODEL"\' -o best'],
    ['Check the result against its inputs', 'verify merged'],
    ['Try it on the run that comes with the package', 'demo'],
  ],
  average: [
    ['The last ten checkpoints of a run, 8B tokens apart', 'average run --last 10 --every 8B -o merged'],
    ['Instead of a decay phase (WSM)', 'average run --last 16 --every 5B --method wsm --decay 1-sqrt -o merged'],
    ['A restart from before a loss spike', 'average run --before-spike auto --last 3 --for resume -o restart'],
    ['Mean of three checkpoints', 'average run/checkpoint-1000 run/checkpoint-2000 run/checkpoint-3000 -o merged'],
    ['Exponential average, 20 % to each newer one', 'average run/checkpoint-*000 --method ema --alpha 0.2 -o merged'],
    ['Weights of your own', 'average a b c --weights -0.5,0.5,1 -o merged'],
    ['The same, beside the paths', 'average a:-0.5 b:0.5 c:1 -o merged'],
    ['Single files, stored as float32', 'average a.safetensors b.safetensors --dtype F32 -o merged.safetensors'],
    ['In a script: the path of the result', 'average run/checkpoint-*000 -o merged -q'],
    ['Go on after an interruption', 'average run/checkpoint-*000 -o merged --resume'],
  ],
  plan: [
    ['Members, weights, what is left out, bytes, time', 'plan run --last 10 --every 8B -o merged'],
    ['The same for a script', 'plan run --last 10 --every 8B -o merged --json'],
  ],
  run: [
    ['Every output of a recipe, from one read of its inputs', 'run recipe.yaml'],
    ['See first what it would do', 'run recipe.yaml --dry-run'],
    ['Make a merge again from the recipe that lies in it', 'run merged/merge_recipe.yaml -o merged-again'],
    ['Go on after an interruption', 'run recipe.yaml --resume'],
  ],
  grid: [
    [
      'What teams compare: three windows, two decays, two spacings, controls, every 250B tokens',
      'grid run --windows 125B,250B,500B --decay linear,minus-sqrt --strides 1,2 --controls reverse,scramble-seeds:1-3 --endpoints every:250B -o grid --dry-run',
    ],
    [
      'The same for real; again when the run has grown, it makes what is missing',
      'grid run --windows 125B,250B,500B --endpoints every:250B -o grid',
    ],
    ['Axes from a file: methods, half-lives, policies, dtypes', 'grid grid.yaml -o grid'],
    ['The recipe that it stands for', 'grid run --windows 10ckpt --method sma,wma -o grid --print-recipe'],
  ],
  convert: [
    ['A checkpoint of Megatron-core, in files of 5 GB', 'convert run/iter_0001000 -o step1000 --shard-size 5GB'],
    ['What torch.save wrote, as one file', 'convert model.pt -o model.safetensors'],
    ['The weights of a DCP checkpoint as bfloat16', 'convert run/step-1000 -o step1000 --dtype BF16'],
    ["For an evaluation harness, under Hugging Face's names", 'convert run/iter_0001000 -o step1000 --names hf'],
    ['See first what would be in it, and what is left out', 'convert run/step-1000 -o step1000 --dry-run'],
  ],
  schema: [['For an editor: begin the recipe with `# yaml-language-server: $schema=recipe.schema.json`', 'schema > recipe.schema.json']],
  names: [['The rules for Megatron-core, for a model that they do not fit', 'names megatron > own.yaml']],
  watch: [
    ['The mean of the last ten, 8B tokens apart, whenever a checkpoint is there', 'watch run --window 10 --every 8B -o merges'],
    ['Evaluate each merge: the script finds it in MERGE_OUTPUT', 'watch run -o merges --hook ./evaluate.sh'],
    ['The trainer keeps only three checkpoints', 'watch run --window 10 --pin run/.pins -o merges'],
    ['Routers of each merge as its newest member has them', 'watch run --router newest -o merges'],
    ['One float32 average of everything', 'watch run --accumulate ema --half-life 2B -o merges'],
    [
      'Which saves the trainer may delete, as lines of a shell in merges/keep-saves.sh',
      'watch run -o merges --keep-saves 40 --keep-windows 125B,500B',
    ],
    ['From cron, or of ranks that srun starts', 'watch run --once -o merges'],
  ],
  submit: [
    ['On eight nodes of Slurm', 'submit slurm --nodes 8 --time 2:00:00 -- average run --last 10 -o merged'],
    ['Look at the script first', 'submit slurm --nodes 8 --print -- average run --last 10 -o merged'],
    [
      'Every output of a recipe, and an evaluation of each on a GPU',
      'submit slurm --nodes 8 --then ./eval.sh --then-sbatch=--gres=gpu:1 -- run recipe.yaml',
    ],
    ['On Kubernetes', 'submit k8s --nodes 8 --image merge:1 --pvc runs:/data --print -- average run -o merged | kubectl apply -f -'],
    ['Recompute every element of a merge', 'submit slurm --nodes 8 -- verify merged --full'],
  ],
  ls: [
    ['What a run holds, and what of it is left out', 'ls run'],
    ['Tokens of a run whose state files do not count them', 'ls run --tokens-per-step 4M'],
    ['The newest complete checkpoint, for a script', "ls run --json | jq -r '[.checkpoints[] | select(.complete)][-1].path'"],
  ],
  inspect: [
    ['Parameters by role, layers, experts, problems', 'inspect run/checkpoint-3000'],
    ['Every tensor and what it is for', 'inspect run/checkpoint-3000 --tensors'],
    ['Where the parts of a tensor lie that several ranks saved', "inspect run/iter_0001000 --tensor '*.linear_fc1.weight'"],
    ['Names and shapes for a script', "inspect model.safetensors --json | jq -r '.tensors[] | [.name, .shape] | @json'"],
  ],
  diff: [
    ['Is anything broken, before it is merged?', 'diff run --last 4'],
    ['How far two checkpoints are apart, with every expert', 'diff run/checkpoint-1000 run/checkpoint-2000 --experts'],
    ['Routers only, as a page with maps', 'diff run --last 10 --role router --out diff.html'],
  ],
  verify: [
    ['Checksums, structure and a sample recomputed from the inputs', 'verify merged'],
    ['Recompute every element', 'verify merged --full'],
    ['Is a checkpoint of Megatron-core as it was written?', 'verify run/iter_0001000'],
    ['The inputs were moved', 'verify merged --input /archive/run/checkpoint-*'],
  ],
  routers: [
    ['Do experts keep their places, and do averaged routers choose alike?', 'routers run --last 10'],
    ['The same on hidden states of the model, as a page', 'routers run --last 10 --hidden hidden.safetensors --out routers.html'],
    ['What the choice of router does to a score', 'routers run --last 10 --eval \'./evaluate.sh "$MERGE_MODEL"\''],
  ],
  soup: [
    ['Which checkpoints of a run to average, by a score', 'soup run --last 8 --eval \'python eval.py "$MERGE_MODEL"\' -o soup'],
    ['Trainings from one start, of each its last checkpoint', 'soup seed-0 seed-1 seed-2 --eval \'python eval.py "$MERGE_MODEL"\' -o soup'],
    [
      'Judge the result on items that it was not chosen by',
      'soup run --last 8 --eval \'./eval.sh "$MERGE_MODEL"\' --validate \'./test.sh "$MERGE_MODEL"\' -o soup',
    ],
  ],
  forecast: [
    ['What merging gives along a run, by the loss', 'forecast run --window 6 --eval \'./eval.sh "$MERGE_MODEL"\' --goal minimize'],
    [
      'Two real decays, from steps 4000 and 8000, show what part of their gain merging has',
      'forecast run --eval \'./eval.sh "$MERGE_MODEL"\' --calibrate 4000=1.18 8000=1.14',
    ],
  ],
  search: [
    [
      "The paper's search between the two newest checkpoints",
      'search run --last 2 --eval \'python eval.py "$MERGE_MODEL"\' --goal maximize --trials 12 -o best',
    ],
    [
      'Window, method and decay of a schedule, by lm-eval, checked on a second task',
      'search run --metric hellaswag/acc_norm --eval \'./lm-eval.sh "$MERGE_MODEL" "$MERGE_OUT" hellaswag\' --validate \'./lm-eval.sh "$MERGE_MODEL" "$MERGE_OUT" arc_easy\' --validate-metric arc_easy/acc_norm -o best',
    ],
    [
      'Four at a time, at most six hours, a grid',
      'search run --last 2 --sampler grid --parallel 4 --gpus 0,1,2,3 --budget 6h --eval \'./evaluate.sh "$MERGE_MODEL"\' -o best',
    ],
    ['Go on after an interruption', 'search run --last 2 --eval \'./evaluate.sh "$MERGE_MODEL"\' -o best --resume'],
  ],
  report: [['The page of a search again, also while it is under way', 'report best.search/trials.jsonl']],
  serve: [
    ['The page of a search, from a notebook on the same machine', 'serve best.search --listen 127.0.0.1:8000'],
    ['All pages below a folder, to other machines, with a token', 'serve studies --listen 0.0.0.0:8000 --serve-token-file token'],
  ],
  bench: [
    ["This machine's limits and how near a merge comes to them", 'bench'],
    ['On the file system that will hold the checkpoints', 'bench --dir /scratch'],
  ],
  keep: [
    ['Which of 40 saves serve windows of 125B and 500B at every save to come', 'keep run --budget 40 --windows 125B,500B'],
    ['Windows that grow with the run, as for ema --half-life-fraction', 'keep run --budget 60 --windows 5%,20% --save-every 25B'],
    ['Delete the others, having read them', 'keep run --budget 40 --windows 125B,500B --shell'],
    [
      'Copy the models of saves that only windows need, and see what that frees',
      'keep run --budget 40 --windows 125B,500B --strip -o run-stripped',
    ],
  ],
  doctor: [
    ['Look for what could go wrong here', 'doctor'],
    ['Check the place where merges will be written', 'doctor /scratch/merges'],
  ],
  demo: [
    ['Merge the last checkpoints of a real small run, and measure what it gained', 'demo'],
    ['Search for the best merge of it, and validate what was found', 'demo search'],
  ],
  completion: [
    ['bash, in ~/.bashrc', 'completion bash > ~/.merge-completion.bash && echo "source ~/.merge-completion.bash" >> ~/.bashrc'],
    ['zsh, in a folder on $fpath', 'completion zsh > ~/.zfunc/_merge'],
    ['fish', 'completion fish > ~/.config/fish/completions/merge.fish'],
  ],
};

/** What each exit code means, for the top-level help and docs/cli.md. */
export const EXIT_CODES: readonly (readonly [string, string])[] = [
  [String(EXIT.ok), 'done'],
  [String(EXIT.failed), 'failed: I/O errors, read-only file system'],
  [String(EXIT.usage), 'usage: command line, output overlapping an input, CKPT_MERGE_ISA'],
  [String(EXIT.input), 'an input is missing, unreadable, invalid or incompatible'],
  [String(EXIT.exists), 'the output exists'],
  [String(EXIT.mismatch), 'verification found a mismatch'],
  [String(EXIT.space), 'not enough space or memory'],
  [String(EXIT.temporary), 'temporary: retrying helps'],
  ['129, 130, 143', 'ended by SIGHUP, SIGINT, SIGTERM'],
];

/** The examples as help prints them: what for, then the command indented below. */
export function examplesText(command: string, program: string): string {
  const examples = EXAMPLES[command] ?? [];
  if (examples.length === 0) return '';
  return examples.map(([what, args]) => `  ${what}\n    ${program} ${args}`).join('\n');
}

export function exitCodesText(): string {
  const width = Math.max(...EXIT_CODES.map(([code]) => code.length));
  return EXIT_CODES.map(([code, meaning]) => `  ${code.padEnd(width)}  ${meaning}`).join('\n');
}
