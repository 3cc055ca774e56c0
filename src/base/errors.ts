import { inReadersWords } from './option-words.ts';

/**
 * Every error and warning code of the project, in one table: the exit code of the CLI, a one-line meaning and
 * the first thing to try. `docs/troubleshooting.md` is generated from it.
 */

/** Exit codes of the CLI; `docs/cli.md` lists them for scripts. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  input: 3,
  exists: 4,
  mismatch: 5,
  space: 6,
  temporary: 75,
} as const;

interface CodeRow {
  readonly exit: number;
  readonly title: string;
  readonly help: string;
}

// biome-ignore format: a table, a code a line.
export const ERROR_CODES = {
  // Usage
  E_USAGE: { exit: 2, title: 'The command line is not valid', help: 'See `merge COMMAND --help`.' },
  E_OPTION: { exit: 2, title: 'An option has a value that it cannot take', help: 'The message names the option and the values it takes.' },
  E_WEIGHTS: { exit: 2, title: 'The weights do not fit the inputs, are not finite, or are all zero', help: 'Give one finite weight per input, not all of them 0.' },
  E_ORDER: { exit: 2, title: 'The inputs have no usable order for a schedule that depends on it', help: 'Give each step once, or use sma or explicit weights.' },
  E_NO_POSITION: { exit: 2, title: 'Steps or tokens are asked for and not every checkpoint has them', help: 'Say what a step has with --tokens-per-step, or use a unit that the checkpoints have.' },
  E_SIBLINGS: { exit: 2, title: 'Several trainings from one start are asked for as if they were moments of one', help: 'Take one member of each with --each-ingredient last.' },
  E_NO_TOKENS: { exit: 2, title: 'Tokens are needed and no name or state file of the run has them', help: 'Give --tokens-per-step, --batch-schedule or --tokens-file.' },
  E_DECAY: { exit: 2, title: 'A list of decay factors or a learning-rate curve cannot be used', help: 'Factors fall from at most 1 to at least 0; a curve has lines of step,lr with rising steps.' },
  E_RECIPE: { exit: 2, title: 'The recipe is not valid', help: 'Mend what the message shows; `merge schema` prints the form that editors can complete from.' },
  E_GRID: { exit: 2, title: 'The grid file is not valid', help: 'Mend what the message shows; docs/grid.md has the form, and `merge schema --grid` prints it for editors.' },
  E_GRID_SIZE: { exit: 2, title: 'A grid has more outputs than anybody is taken to want', help: 'Leave out values of some axes; --yes-all makes them all the same.' },
  E_SPACE: { exit: 2, title: 'The search space is not valid for these checkpoints', help: 'Mend what the message shows; docs/search.md lists the parameters of each space.' },
  E_NAMES: { exit: 2, title: 'The names file is not valid', help: 'Mend what the message shows; docs/names.md has the form, and `merge names` prints files to begin with.' },
  E_PARAMS: { exit: 2, title: 'Parameters of a trial are not those of the search space', help: 'Give each parameter of the space once, by its name, with a value of its kind.' },
  E_POLICY: { exit: 2, title: 'A policy asks for what cannot be done with the tensors that it is about', help: 'The message names the policy and the tensors: see docs/policies.md for what each kind of tensor allows.' },
  E_POLICY_UNUSED: { exit: 2, title: 'A policy fits no tensor of the checkpoints', help: '`merge inspect CKPT --tensors` shows roles, layers, experts and names; leave the policy out if it is not for this model.' },
  E_POLICY_SHADOWED: { exit: 2, title: 'A policy never applies, because policies before it take all its tensors', help: 'The first policy that fits decides: put the narrower one first.' },
  E_OUTPUT_OVERLAPS_INPUT: { exit: 2, title: 'The output is, contains or lies inside an input', help: 'Write the merge beside the run, not into it.' },
  E_OUTPUTS_OVERLAP: { exit: 2, title: 'Two outputs are the same place, or one lies inside the other', help: 'Give each output a folder of its own.' },
  E_OUTPUT_KIND: { exit: 2, title: 'The output is a device, a pipe, a socket or another thing that a checkpoint cannot replace', help: 'Name a folder, or a file ending in .safetensors.' },
  E_ISA: { exit: 2, title: 'CKPT_MERGE_ISA names an instruction set that is unknown or not available here', help: 'Unset it, or use one of the sets the message lists.' },
  E_BOARD: { exit: 3, title: 'Ranks of one merge, or what ranks before them left, do not agree on what is to be made', help: 'Let all ranks run the same version on the same files. To begin anew remove the folder that the message names, when no rank is at work.' },
  E_WATCH_STATE: { exit: 2, title: 'The state of a watch cannot be read, or is about another run', help: 'Watch into another folder.' },
  E_CALIBRATE: { exit: 2, title: 'The decays given do not fit the run, so that no recovered fraction can be had from them', help: 'Each --calibrate STEP=SCORE names a step near one of the windows, and the score of a real decay on the same evaluation.' },
  // Inputs
  E_NOT_FOUND: { exit: 3, title: 'There is nothing at this path', help: 'Check the path.' },
  E_NOT_READABLE: { exit: 3, title: 'The path is there but cannot be read', help: 'Check permissions, and that it is a regular file, or a link to one: a download may be incomplete.' },
  E_NO_CHECKPOINT: { exit: 3, title: 'The folder holds no checkpoint that can be read', help: 'Point at the folder of a step, or at a file of weights; docs/containers.md lists the forms that are read.' },
  E_NO_RUN: { exit: 3, title: 'The folder holds no run, or none of its checkpoints can be used', help: 'Name the folder that holds the step folders, as checkpoint-1000, step1000 or iter_0001000.' },
  E_AMBIGUOUS: { exit: 3, title: 'The folder can be meant in two ways: it holds both a single file and an index, or is a checkpoint and a run', help: 'Remove what is left over, or name the file itself; for a run say which checkpoints, as --last 10.' },
  E_NO_TENSORS: { exit: 3, title: 'The checkpoint holds no tensors at all, or empty ones', help: 'The save was probably interrupted; use another checkpoint.' },
  E_NO_WEIGHTS: { exit: 3, title: 'The checkpoint holds adapters or optimizer states and no weights', help: 'Merge adapters into their base model first, or name the checkpoint that holds the weights: for the folder of an optimizer (optimizer_0) that is the folder of the step around it.' },
  E_NO_MEMBERS: { exit: 3, title: 'The selection fits no checkpoint of the run', help: '`merge ls RUN` shows what there is; the message names what is nearest.' },
  E_TOO_FEW_MEMBERS: { exit: 3, title: 'The selection finds fewer checkpoints than --min-members asks for', help: 'Wait for more checkpoints, or widen the selection.' },
  E_NO_SPIKE: { exit: 3, title: 'No loss spike is in the log', help: 'Name the step at which the loss rose, as --before-spike 12000.' },
  E_FILE_TRUNCATED: { exit: 3, title: 'The file is shorter than its header says', help: 'The save or the copy was interrupted; copy it again.' },
  E_TRAILING_BYTES: { exit: 3, title: 'The file is longer than its header says', help: 'The file was not written by a safetensors writer, or two writers collided; save it again.' },
  E_HEADER_TRUNCATED: { exit: 3, title: 'The file ends inside its header', help: 'The save or the copy was interrupted; copy it again.' },
  E_HEADER_TOO_LARGE: { exit: 3, title: 'The header length is beyond the limit', help: 'The file is probably not safetensors.' },
  E_OTHER_CONTENT: { exit: 3, title: 'A file holds something else than its name says: a Git LFS pointer, a web page, another format, a tokenizer cut off', help: 'Do as the message says, or get the file itself.' },
  E_HEADER_JSON: { exit: 3, title: 'The header is not the JSON the format asks for', help: 'Save the file again with a safetensors writer.' },
  E_HEADER_START: { exit: 3, title: 'The header does not begin with an opening brace', help: 'The file is probably not safetensors.' },
  E_HEADER_TYPE: { exit: 3, title: 'A header value has a JSON type that the format does not allow there', help: 'Save the file again with a safetensors writer.' },
  E_HEADER_UTF8: { exit: 3, title: 'The header is not valid UTF-8', help: 'Save the file again with a safetensors writer.' },
  E_DUPLICATE_KEY: { exit: 3, title: 'A JSON object names the same key twice', help: 'Save the file again: readers disagree on which entry counts.' },
  E_SURROGATE: { exit: 3, title: 'A JSON string holds half of a surrogate pair', help: 'Rename the tensor and save the file again.' },
  E_HEADER_NUMBER: { exit: 3, title: 'A header number is not a plain non-negative integer', help: 'Save the file again with a safetensors writer.' },
  E_HEADER_FIELD: { exit: 3, title: 'A tensor entry lacks a field, or has one that the format does not know', help: 'Each entry has exactly dtype, shape and data_offsets.' },
  E_METADATA: { exit: 3, title: '__metadata__ is not an object of strings', help: 'Only string values are allowed there.' },
  E_DTYPE: { exit: 3, title: 'A tensor has a dtype that the format does not know', help: 'Save the file again, or report the dtype if it is new.' },
  E_SHAPE_OVERFLOW: { exit: 3, title: 'A shape is too large to be real', help: 'The header is damaged; use another copy.' },
  E_SIZE_MISMATCH: { exit: 3, title: 'A tensor has more or fewer bytes than its dtype and shape need', help: 'The header is damaged; use another copy.' },
  E_OFFSETS: { exit: 3, title: 'Data offsets run backwards or beyond the file', help: 'The header is damaged; use another copy.' },
  E_OVERLAP: { exit: 3, title: 'Two tensors share bytes', help: 'Save the file again: safetensors does not allow shared storage.' },
  E_HOLE: { exit: 3, title: 'There are bytes that belong to no tensor', help: 'Save the file again with a safetensors writer.' },
  E_INDEX_JSON: { exit: 3, title: 'The index is not the JSON it should be', help: 'Save the checkpoint again, or copy the index again.' },
  E_INDEX_UTF8: { exit: 3, title: 'The index is not valid UTF-8', help: 'Save the checkpoint again, or copy the index again.' },
  E_INDEX_TOO_LARGE: { exit: 3, title: 'The index is larger than any real one', help: 'The file is probably not an index.' },
  E_INDEX_PATH: { exit: 3, title: 'The index names a file outside its folder', help: 'Only plain names inside the folder are read.' },
  E_SHARD_MISSING: { exit: 3, title: 'The index names a shard that is not there', help: 'The save or the copy is incomplete.' },
  E_TENSOR_MISPLACED: { exit: 3, title: 'A tensor is not in the shard that the index names', help: 'Index and shards come from different saves; copy the folder again.' },
  E_TENSOR_UNINDEXED: { exit: 3, title: 'A shard holds a tensor that the index does not name', help: 'Index and shards come from different saves; copy the folder again.' },
  E_TENSOR_TWICE: { exit: 3, title: 'The same tensor is in two shards', help: 'Index and shards come from different saves; copy the folder again.' },
  E_PICKLE: { exit: 3, title: 'A pickle is damaged, or holds what no writer of checkpoints puts there', help: 'The save or the copy was interrupted, or the file is no checkpoint; use another copy.' },
  E_PICKLE_CLASS: { exit: 3, title: 'A pickle names a class or function that checkpoints of weights do not have', help: 'Nothing of it was run. Save the weights alone: torch.save(model.state_dict(), PATH), or as safetensors.' },
  E_ZIP: { exit: 3, title: 'An archive of torch.save is damaged, or is made otherwise than torch makes it', help: 'The save or the copy was interrupted; use another copy, or save the file again with torch.save.' },
  E_TORCH_FILE: { exit: 3, title: 'A file of torch.save holds something else than weights', help: 'Save the weights alone: torch.save(model.state_dict(), PATH), or as safetensors.' },
  E_DCP: { exit: 3, title: 'The metadata of a checkpoint of torch.distributed does not fit its files, or describes no whole tensors', help: 'The save or the copy is incomplete, or files of two saves were mixed; use another copy.' },
  E_CONFLICTS: { exit: 3, title: 'The inputs do not fit each other', help: 'Merge checkpoints of one run and one architecture.' },
  E_TENSOR_MISSING: { exit: 3, title: 'A tensor of the layout is missing from an input', help: 'Merge checkpoints of one architecture.' },
  E_TENSOR_EXTRA: { exit: 3, title: 'An input holds a tensor that the layout does not', help: 'Merge checkpoints of one architecture.' },
  E_SHAPE: { exit: 3, title: 'A tensor has different shapes in different inputs', help: 'Merge checkpoints of one architecture.' },
  E_EXPERT_MISSING: { exit: 3, title: 'A mixture of experts lacks an expert, or an expert lacks a tensor that the others have', help: 'The save or the conversion was incomplete; use another copy of the checkpoint. Where names mislead: --allow-unknown.' },
  E_EXPERT_EXTRA: { exit: 3, title: 'A mixture of experts has more experts than its router or the configuration', help: 'Tensors of two models were probably put together; use another copy of the checkpoint. Where names mislead: --allow-unknown.' },
  E_EXPERT_SHAPE: { exit: 3, title: 'An expert has another shape than the others of its layer', help: 'Tensors of two models were probably put together; use another copy of the checkpoint. Where names mislead: --allow-unknown.' },
  E_ROUTER_SHAPE: { exit: 3, title: 'A router, or its bias, is not of the size that the number of experts asks for', help: 'Router and experts come from different models; use another copy of the checkpoint. Where names mislead: --allow-unknown.' },
  E_ROUTER_MISSING: { exit: 3, title: 'A layer has experts and no router, and other layers have one', help: 'The save or the conversion was incomplete; use another copy of the checkpoint. Where names mislead: --allow-unknown.' },
  E_HALF_FUSED: { exit: 3, title: 'A layer holds its experts both one by one and in one tensor', help: 'A conversion stopped half-way, or two saves were mixed; use another copy of the checkpoint. Where names mislead: --allow-unknown.' },
  E_LAYER_MISSING: { exit: 3, title: 'Layers of the model are not in the checkpoint', help: 'The save or the copy was incomplete, or config.json belongs to another model. Where names mislead: --allow-unknown.' },
  E_CONFIG_TENSORS: { exit: 3, title: 'config.json says another number of layers or experts than the tensors', help: 'Put the config.json of this model beside its tensors. Where names mislead: --allow-unknown.' },
  E_CONFIG_UNREADABLE: { exit: 3, title: 'config.json of a checkpoint is no JSON object', help: 'Nothing can load a model with it: put the config.json of this model there, that of another checkpoint of the run if it has one.' },
  E_MIXED_DTYPES: { exit: 3, title: 'A tensor has different float dtypes in different inputs', help: 'Add --allow-mixed-dtypes to store it as in the newest input, or as in the one that --like names.' },
  E_LAYOUTS_DIFFER: { exit: 3, title: 'Outputs of one run would follow checkpoints with different tensors, tensor files or dtypes', help: 'Name one checkpoint for all to follow with --like, or make the outputs one by one.' },
  E_LAYOUT_FORM: { exit: 3, title: 'An input holds a tensor in a form that is more than other byte ranges', help: 'Convert the checkpoints to one layout first, with the tool that wrote them.' },
  E_NAMES_UNFIT: { exit: 3, title: 'The checkpoint cannot have the names that were asked for', help: 'Leave out --names: its tensors keep their names. Or write a names file that fits it: see docs/names.md.' },
  E_MTP_DIFFERS: { exit: 3, title: 'Layers of multi-token prediction are in some inputs only', help: 'Drop them (--policy role=mtp:use=drop), or take those of the newest where it has them (--policy role=mtp:use=newest).' },
  E_TIED: { exit: 3, title: 'Policies treat two tied embeddings differently', help: 'Treat embedding and head alike (role=embedding|lm_head), or add --allow-unknown where config.json is wrong about them.' },
  E_STAGES: { exit: 3, title: 'Checkpoints of different stages of a training are to be merged', help: 'Select one with --stage, or add --allow-stages.' },
  E_CONFIG_DIFFERS: { exit: 3, title: 'The configurations (config.json) of the checkpoints differ', help: 'Merge checkpoints of one model, or add --allow-configs to publish the newest configuration.' },
  E_INTEGERS_DIFFER: { exit: 3, title: 'An integer tensor differs between inputs', help: "Integers are never averaged: merge checkpoints in which they agree, or take those of one (--policy 'name=NAME:use=newest')." },
  E_BUFFERS_DIFFER: { exit: 3, title: 'A constant buffer (RoPE frequencies, a mask, a decay) differs between inputs', help: "Merge checkpoints of one configuration; --policy 'name=NAME:use=newest' takes the newest one, and use=average averages what is learned." },
  E_UNKNOWN_TENSOR: { exit: 3, title: 'A float tensor that no naming rule knows differs between inputs, and its name, its values or what lies beside it say that it is no weight', help: "Say what it is with a policy (--policy 'name=NAME:use=average'), or add --allow-unknown to average all of these." },
  E_NOT_EQUAL: { exit: 3, title: 'A tensor that a policy wants equal in all inputs differs', help: 'Leave out the checkpoint in which it differs, or change the policy.' },
  E_UNSUPPORTED_DTYPE: { exit: 3, title: 'A tensor has a dtype that is never averaged: codes, or complex numbers', help: 'Codes: merge the checkpoints before they are quantised. Complex numbers: take those of one checkpoint with a policy (use=newest).' },
  E_QUANTISED_UNSUPPORTED: { exit: 3, title: 'A checkpoint is quantised in a form that cannot be averaged', help: 'Merge the checkpoints before they are quantised, or dequantise them first.' },
  E_QUANTISATION_CONFIG: { exit: 3, title: 'config.json says that the weights are quantised, but no tensor is', help: 'Remove quantization_config from config.json where the weights are plain floats. Where names mislead: --allow-unknown.' },
  E_SCALE_MISSING: { exit: 3, title: 'A quantised weight has no scale', help: 'The save or the conversion was incomplete; without its scale the weight has no values.' },
  E_SCALE_SHAPE: { exit: 3, title: 'The scales of a quantised weight have a shape or dtype that does not fit it', help: 'Compare weight_block_size in config.json with the tensors; convert the checkpoint again.' },
  E_SCALE_ORPHAN: { exit: 3, title: 'A scale belongs to no quantised weight', help: 'The conversion was incomplete: its weight is missing, or is stored as plain floats. Where names mislead: --allow-unknown.' },
  E_SCALE_VALUE: { exit: 3, title: 'A scale is zero, negative, infinite or NaN', help: 'The checkpoint that the message names is damaged; leave it out or quantise it again.' },
  E_MIXED_QUANTISATION: { exit: 3, title: 'A weight is quantised in different ways in different inputs', help: 'With --allow-mixed-dtypes FP8 and plain floats are averaged by their values and stored as in the newest input.' },
  E_DTYPE_NEEDED: { exit: 2, title: 'MXFP4 weights are averaged only with a --dtype', help: 'Add --dtype BF16 to keep what the average gains, or --dtype same to round it to 4 bits again.' },
  E_NONFINITE_BLOCK: { exit: 3, title: 'A block of a quantised weight holds NaN or infinity', help: 'No scale fits such a block: leave out the checkpoint that the message names, or use --dtype BF16.' },
  E_STRICT: { exit: 3, title: 'There is a warning about the members, and --strict was given', help: 'Mend or leave out what the message names; without --strict it is a warning.' },
  E_INPUT_CHANGED: { exit: 3, title: 'An input changed while it was read', help: 'Wait until the checkpoint is complete, then run again.' },
  E_NONFINITE: { exit: 3, title: 'NaN or infinity was found and --fail-nonfinite was given', help: 'Leave out the checkpoint that the message names.' },
  E_MODEL: { exit: 3, title: "The checkpoint is not a model that the demo's forward pass can run", help: 'It runs the two models of demo/runs: a Llama and an OLMoE as transformers saves them.' },
  E_HIDDEN_STATES: { exit: 3, title: 'The file of hidden states does not fit the model', help: 'Write it from one of these checkpoints with the script in docs/hidden-states.md.' },
  E_NO_ROUTERS: { exit: 3, title: 'The checkpoints have no router to look at', help: 'The report is for mixture-of-experts models; `merge inspect` shows what each tensor is taken for.' },
  E_LAYERS_SWAPPED: { exit: 3, title: 'Layers stand in another order in the next checkpoint', help: 'Averaging them would mix different layers: look at `merge diff` of the two; leave the wrong one out. --allow-permuted merges all the same.' },
  E_PERMUTED: { exit: 3, title: 'Experts of a layer stand in another order in the next checkpoint', help: 'Averaging them would mix different experts: see `merge routers`; add --allow-permuted to merge all the same.' },
  E_NO_OPTIMIZER: { exit: 3, title: 'The newest member has no optimizer state to copy', help: 'Use --optimizer drop and have the trainer start without an optimizer, or merge members that were saved with it.' },
  E_SOURCE_CHANGED: { exit: 3, title: 'An input is not the checkpoint that was merged', help: 'Name the checkpoints that were merged with --input, or check CRCs only with --sample 0.' },
  E_PROVENANCE: { exit: 3, title: 'The merge has no provenance that can be read', help: '`verify` checks folders and files that this tool wrote.' },
  E_ACCUMULATOR: { exit: 3, title: 'The accumulator is not the one that the watch left', help: 'Put the old one back, or watch into another folder to start anew.' },
  // Output
  E_OUTPUT_EXISTS: { exit: 4, title: 'The output exists', help: 'Choose another output or add --force.' },
  E_OTHER_USER: { exit: 4, title: "What an earlier run left there is another user's, or can be changed by others", help: 'Name a folder of your own, be it one inside this one, or run it as that user. Where it is yours: chmod go-w.' },
  E_VERIFY: { exit: 5, title: 'The merge is not what its provenance says', help: 'Merge again; look at the disk if it happens twice.' },
  E_NO_SPACE: { exit: 6, title: 'There is not enough free space, quota or file size allowance', help: 'Free the space the message names, or write elsewhere.' },
  E_NO_MEMORY: { exit: 6, title: 'The work does not fit in the memory allowed', help: 'Raise --memory, or lower --threads.' },
  // Machine
  E_IO: { exit: 1, title: 'The operating system refused a read or a write', help: 'The message holds the system call and its errno.' },
  E_READ_ONLY: { exit: 1, title: 'The place of the output cannot be written', help: 'Check permissions and mount options.' },
  E_TOO_MANY_FILES: { exit: 1, title: 'The process may not open that many files', help: 'Raise `ulimit -n`, or make fewer outputs at a time; --io map keeps no input open.' },
  E_LISTEN: { exit: 1, title: 'Pages cannot be served at this address', help: 'Name another port, or 0 for any that is free.' },
  E_NATIVE_LOAD: { exit: 1, title: 'The native addon could not be loaded', help: 'The message lists what was tried and what to do.' },
  E_BUSY: { exit: 75, title: 'Another process is writing this output', help: 'Wait for it, or choose another output.' },
  E_TEMPORARY: { exit: 75, title: 'The file system or the machine asked to try again', help: 'Run the same command again, with --resume where it was printed.' },
  E_RESUME: { exit: 2, title: 'Not given any more: where there is nothing to resume, the merge begins', help: 'Run the command again.' },
  E_TRIALS: { exit: 2, title: 'The file of trials cannot be read as one', help: 'Restore it from a copy, or begin anew with --force.' },
  E_SEARCH_STATE: { exit: 2, title: 'The trials in the folder are of a search with other settings', help: 'Go on with the settings that the search was begun with, name another folder with --dir, or begin anew with --force.' },
  E_SEARCH_BUSY: { exit: 4, title: 'Another search works in this folder', help: 'Wait for it, or name another folder with --dir.' },
  E_NO_TRIAL: { exit: 1, title: 'Not one trial gave a score', help: 'Look at the log of a trial, and try the evaluator on a checkpoint by hand.' },
  E_EVALUATOR: { exit: 1, title: 'The command given with --eval failed, or printed no score', help: 'Its last line must be a number, or JSON with a score: {"score": 1.23, "stderr": 0.01}. Try it on a checkpoint by hand.' },
  E_PROTOCOL: { exit: 2, title: 'A message of `merge search --ask-tell` cannot be heeded', help: 'One JSON object a line: {"ask":1}, {"tell":7,"score":0.61}, {"best":1} or {"stop":1}; see docs/search.md.' },
  E_METRIC: { exit: 2, title: 'The metrics of --metric do not say which number of the evaluator is the score', help: 'Add one of those listed as --metric; repeat it with =WEIGHT for a weighted sum.' },
  E_GOAL: { exit: 2, title: 'Nothing says whether larger or smaller scores are better', help: 'Add --goal maximize (an accuracy) or --goal minimize (a loss, a perplexity).' },
  E_METRICS_FILE: { exit: 3, title: 'The file of --metrics cannot be read as metrics by step', help: 'A CSV with a column `step` and columns of numbers, or what Megatron-LM or torchtitan printed.' },
  E_SCORES: { exit: 3, title: 'The scores of checkpoints cannot be read, or are not of the checkpoints that are there', help: 'A CSV of step,score, JSON of scores by step, or a folder with one entry a step that holds results of lm-eval or lighteval.' },
  E_LOG: { exit: 1, title: 'Scores could not be logged to a dashboard', help: 'They are in trials.jsonl: `merge export` logs them later. The message has what the hook said last.' },
  E_SAMPLER: { exit: 1, title: 'The command given with --sampler-cmd broke its protocol, gave no answer in time, or ended', help: 'It answers each {"ask":1} with one line, {"params":{…}} or {"stop":true}, and prints everything else on stderr; see docs/search.md.' },
  E_STALE_WEIGHTS: { exit: 1, title: 'The server given with --eval-server answers with the weights of the model before', help: 'Scores of this server are of another model than they say. Restart it, and try POST /update_weights_from_disk by hand; an evaluator that loads {model} itself cannot go stale.' },
  E_SCHEDULER: { exit: 1, title: 'The scheduler took no job, or could not be asked', help: 'See what it said; `merge submit … --print` shows the script, to be submitted by hand.' },
  E_LAUNCHER: { exit: 1, title: 'The command given with --launcher failed, or started no rank of the merge', help: 'See what it said, and try it by hand: the same words before `hostname` must print the names of the machines.' },
  E_INTERRUPTED: { exit: 130, title: 'A signal ended the work', help: 'Run the command again; with --resume where the message offers it.' },
  E_INTERNAL: { exit: 1, title: 'Something that cannot happen happened', help: 'Please report it with --debug output.' },
} as const satisfies Record<string, CodeRow>;

export type ErrorCode = keyof typeof ERROR_CODES;

export const WARNING_CODES = {
  W_REORDERED: 'The inputs were sorted by step, which is neither the order they were given in nor that of a pattern.',
  W_ORDER_ASSUMED: 'Not every input has a step of its own, so the given order, or that of a number in the names, is taken as oldest first.',
  W_WEIGHT_SUM: 'Explicit weights do not sum to 1: those of a merge, or of a policy or an entry of a weights file.',
  W_OLDEST_HEAVIEST: 'The schedule gives the oldest checkpoint over twice the weight of the newest.',
  W_WINDOW_SHORT: 'The average goes further back than the members: the oldest stands for over a tenth of it.',
  W_SELECTED_BY_SCORE: 'Members were chosen by their scores: the same evaluation flatters the merge.',
  W_LOG: 'Scores could not be logged to a file or a dashboard; they are in trials.jsonl, and it is tried again.',
  W_SCORES: 'The scores given do not cover all checkpoints, or are of others too.',
  W_NO_EFFECT: 'An option that was given changes nothing here.',
  W_UNEVEN_SPACING: 'The members are unevenly spaced and the schedule counts them instead of measuring.',
  W_SPACING_ASSUMED: 'No member positions are known, so the schedule takes the members as evenly spaced.',
  W_LR_PHASE:
    'The learning rate rises or falls over the members, or has fallen before them, so a mean may be worse than the newest alone, and a decay that a schedule stands for is another one.',
  W_TOKENS: 'Some token counts are unknown, or another source says something else.',
  W_LEFT_OUT_MEMBERS: 'Checkpoints that would be members are left out because they cannot be used, or there are fewer than asked for.',
  W_ONE_MEMBER: 'One checkpoint takes part, so that a merge of it is a copy; of a grid, in some of its windows.',
  W_ABANDONED_BRANCH: 'Checkpoints are of two branches of a training, by their logs or by the times at which they were saved.',
  W_WINDOW_CROSSES: 'Windows of a grid cross a change of data, batch or learning rate.',
  W_GRID_GONE: 'Merges of a grid are not there, and their members are not there any more either.',
  W_LOSS_NAN: 'The training log has a loss that is NaN or infinite before or among the members.',
  W_DOWNLOADING: 'A file beside the weights says that a download is in progress, or was interrupted.',
  W_ZEROS: 'Weights of some members are zero where those of the others are not, as in a file that was not written to its end.',
  W_SAME_BYTES: 'Two members are the same checkpoint, byte for byte.',
  W_WINDOW_WIDE: 'The members span a large part of the run so far, where the PMA paper saw merging do harm.',
  W_OPTIMIZER_NEWEST: 'Optimizer state was copied from the newest member, and belongs to its weights and not to the merged ones.',
  W_COPY_NEWEST: "The newest member of a start of training is a copy of the model alone, so that the start has no trainer's state.",
  W_SEVERAL_CONTAINERS: 'The newest members of outputs are in several containers, so that all outputs are safetensors.',
  W_UNKNOWN_NAMES: 'Float tensors whose names no rule knows are averaged, as nothing speaks against it.',
  W_DOUBTS:
    'Names and config.json say something else of layers, experts or scales than the tensors, and --allow-unknown merges them all the same.',
  W_TIED: 'config.json says that embedding and output head are one, and the file holds two that differ.',
  W_LEFT_OUT: 'Adapters or optimizer states lie among the weights, or constant buffers are in some inputs only; they are left out.',
  W_SOME_RANKS: 'Tensors that a rank has whole are not in the files of all ranks; they are taken from those that have them.',
  W_UNREACHED: 'Tensors lie in a saved state where no plain name reaches them, or are arrays of numpy; they are left out.',
  W_NO_CONFIG:
    'The newest member has no config.json, which an older one has, or the merge has the names of transformers and not all of its config.json is known: it has none.',
  W_CONFIG_KEYS:
    'Configurations (config.json) of different versions of transformers differ in keys that one of them lacks, or in where generation ends.',
  W_TOKENIZER:
    'The newest member has no tokenizer, which an older one has, or the tokenizers of the members have different tokens or merges.',
  W_LINK_LEFT: 'A side file is a link that leads outside the checkpoint and its run, and is left out.',
  W_CONFIG_QUANTISED: 'The weights are quantised as those of the layout, and the config.json of the newest member does not say so.',
  W_FILE_LEFT: 'A side file says of the weights what is not so of the merge, and is left out.',
  W_DROPPED: 'A policy drops tensors that the model needs, or that its configuration still counts.',
  W_OTHER_LAYOUT: 'An input holds the same tensors under other names, or experts fused where the layout has them apart.',
  W_NONFINITE: 'An input tensor holds NaN or infinity.',
  W_OVERFLOW: 'A finite sum became infinite in the output dtype.',
  W_ROUTER: 'A router could not be looked at, holds NaN or infinity, or belongs to a checkpoint whose tensors or configuration do not fit.',
  W_EXPERT_ORDER:
    'Router rows alone look exchanged between two checkpoints, or --allow-permuted merges experts or layers that changed places.',
  W_RANK_FILE: 'The last rank has no file of a part of the model of which others have one: it may be lost, and tensors then end too early.',
  W_UNINDEXED_FILE: 'The folder holds safetensors files that its checkpoint does not include.',
  W_TRAINER_STATE: 'A state file (trainer_state.json and the like) cannot be read, or names another step than the folder.',
  W_SAVE_ASIDE: 'A save is hidden because a script that puts its copy in its place was cut short.',
  W_SAME_STEP: 'Two checkpoints of a run stand at the same step; one is left out.',
  W_DEQUANTISED: 'Quantised weights are stored as plain floats.',
  W_WRAPPED_NAMES:
    'Names of tensors carry what a wrapper in training put there (torch.compile, DDP, PEFT), and libraries do not find them so.',
  W_SEVERAL_MODELS: 'A checkpoint holds another model (an average, a teacher) beside the one that is trained, and the output does, too.',
  W_NO_HEAD: 'A language model whose head is not tied has none.',
  W_PART_MISSING: 'A language model has no input embedding, or no norm after its last layer.',
  W_ACTIVATION_SCALES: 'Scales of activations were copied from the newest member, and belong to its weights and not to the merged ones.',
  W_SATURATED: 'Finite values were too large for FP8 or the quantised form and became its largest value.',
  W_MOSTLY_ROUNDING: 'Quantising the merge anew moved it by more than half of what merging did.',
  W_DTYPE_CHANGED: 'The output dtype differs from the one in the newest input, or is narrower than the one that most members have.',
  W_OUTSIDE_RECIPE: 'A recipe file names outputs outside the folder that it lies in, and not beside that.',
  W_LONE_RANK: 'A rank of several has met no other one for half a minute.',
  W_LAUNCHER: 'Of the ranks that --launcher was to start some ended early, or there was one alone; the others made the merge.',
  W_RANKS_GO_ON: 'Ranks go on with a merge that was begun before, whose members were chosen then.',
  W_MADE_BEFORE: 'The output is there and was made by this very command; the run may have grown since.',
  W_STALE_PARTIAL: 'An unfinished merge to the same output is lying beside it.',
  W_PART_CHANGED: 'Finished parts of an interrupted merge had changed since, and were made anew.',
  W_RESTORED: 'The output of an earlier merge was restored after an interrupted replacement.',
  W_GOES_WITH_IT: 'The output that --force replaces holds results of evaluations, or files that no library has.',
  W_OLD_OUTPUT: 'The output was replaced, and a part of the old one could not be removed.',
  W_CALIBRATION: 'A decay is compared with the window of another step, or the merge scores better than the decay itself.',
  W_EVAL_CANCEL: 'The command given with --eval-cancel failed, so that an evaluation which was to be ended may still run.',
  W_NOT_REMOVED: 'What an evaluation wrote into its model cannot be removed by this user.',
  W_SOURCE_GONE: 'An input named in the provenance is not there any more.',
} as const satisfies Record<string, string>;

export type WarningCode = keyof typeof WARNING_CODES;

export interface Warning {
  readonly code: WarningCode;
  readonly message: string;
}

/** One disagreement between inputs, or one broken thing; a plan collects all of them before it fails. */
export interface Conflict {
  readonly code: ErrorCode;
  readonly message: string;
  /** What to do about it, where that is more than the code says. */
  readonly help?: string;
  readonly file?: string;
  readonly tensor?: string;
}

export interface ErrorDetails {
  /** The file at fault. */
  readonly file?: string;
  /** The tensor at fault. */
  readonly tensor?: string;
  /** All conflicts of a plan (the CLI prints the first ten and counts the rest). */
  readonly conflicts?: readonly Conflict[];
  /** Node's names for what the operating system said. */
  readonly errno?: string;
  readonly syscall?: string;
  readonly [key: string]: unknown;
}

export interface MergeErrorOptions {
  readonly details?: ErrorDetails;
  /**
   * What to do next; the code's general advice when absent. Options are named as on the command line
   * (`--allow-stages`): whoever reads {@link MergeError.help} gets them as they write them.
   */
  readonly help?: string;
  readonly cause?: unknown;
}

/**
 * What every operation of the library throws, except `signal.reason` on an abort, which passes through
 * untouched.
 */
export class MergeError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  /** What to do next, with options as whoever reads it writes them. */
  readonly help: string;

  constructor(code: ErrorCode, message: string, options: MergeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MergeError';
    this.code = code;
    this.details = options.details ?? {};
    this.help = inReadersWords(options.help ?? ERROR_CODES[code].help);
  }

  /** The exit code the CLI ends with for this error. */
  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }
}
