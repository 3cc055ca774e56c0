import { expect, it } from 'vitest';
import { sectionOfName, type TensorSection } from '../../../src/checkpoints/tensors/section.ts';

/**
 * What trainers call things, by what they are: a moment that is taken for a weight would be merged as one.
 */
const NAMES: Readonly<Record<TensorSection, readonly string[]>> = {
  model: [
    'model.layers.0.mlp.up_proj.weight',
    'state_dict.model.0.weight',
    'model_state_dict.head.weight',
    'module.embed.weight',
    'decoder.layers.0.mlp.linear_fc1.weight',
    'state.layers.0.weight',
    'loader_proj.weight',
    'randomised.weight',
    'model.optimizer_head.weight',
    'optical_flow.weight',
    'loopstack.0.weight',
    'extra.0.weight',
    'meta.random_features.weight',
  ],
  optimizer: [
    'optimizer.state.exp_avg.decoder.weight', // Megatron
    'chained_0.optimizer.state.fp32_param.decoder.weight', // with experts
    'chained_1.optimizer.distributed.dp_group_idx_0.gbuf_idx_0.param',
    'optim.state.blocks.0.w1.weight.exp_avg', // OLMo-core
    'optimizers.state.0.exp_avg',
    'optimizer_states.0.state.0.exp_avg', // Lightning
    'optimizer_0.state.model.0.weight.exp_avg', // its FSDP
    'optimizer_state_dict.state.0.exp_avg_sq', // torch's tutorial
    'optimizer_state.0.exp_avg',
    'optim_state_dict.state.0.exp_avg',
    'actor_optimizer.state.0.exp_avg',
    'opt.state.0.exp_avg',
    'app.optim.state.0.exp_avg', // torch's recipe of a Stateful
    'state.optimizers.0.exp_avg', // Composer
    'trainer.optimizer.state.0.exp_avg',
  ],
  blob: [
    'lr_scheduler.last_epoch',
    'lr_schedulers.0.last_epoch',
    'scheduler_state_dict.last',
    'dataloader.dp_rank_0',
    'data_loader_states.0',
    'train_state.ntokens_seen',
    'rng_state',
    'rng_state/shard_0_2',
    'cuda_rng_state',
    'random_states.cpu',
    'grad_scaler.scale',
    'callbacks.ModelCheckpoint.kth_value',
    'loops.fit_loop.state',
    'rerun_state_machine_state/shard_0_1',
    'extra.rng',
    'extra_state.rng_state',
    'trainer.lr_scheduler.last_epoch',
  ],
};

it.each(Object.entries(NAMES).flatMap(([section, names]) => names.map((name) => [name, section] as const)))(
  '%s is of the %s',
  (name, section) => {
    expect(sectionOfName(name)).toBe(section);
  },
);
