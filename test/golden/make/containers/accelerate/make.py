"""accelerate's FSDP checkpoints in the folders that transformers' Trainer makes around them, in all three forms.
torchrun --nproc-per-node W make.py --out DIR     Needs accelerate (1.15.0 tried, torch 2.15.0).

sharded/checkpoint-N: SHARDED_STATE_DICT, DCP in pytorch_model_fsdp_0/ and optimizer_0/. full/: FULL_STATE_DICT, pytorch_model_fsdp.bin. ranks/: the same as sharded
with use_dcp=False, a .bin a rank. save_state itself wants a GPU to call itself FSDP; what it calls is called here.
"""
import json, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from common import *
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import save_fsdp_model, save_fsdp_optimizer
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

a = options(layers=1, hidden=8, ffn=12, vocab=11)
os.environ.update(ACCELERATE_USE_CPU="true", ACCELERATE_USE_FSDP="true", FSDP_VERSION="2")
acc = Accelerator(cpu=True)
rank = acc.process_index
acc.state.distributed_type = DistributedType.FSDP
# Steps 100 and 200; the latter not in every form.
for step in a.steps:
    for form, kind, more in (("sharded", "SHARDED_STATE_DICT", {}), ("full", "FULL_STATE_DICT", {}), ("ranks", "SHARDED_STATE_DICT", {"use_dcp": False})):
        if step != a.steps[0] and form != "sharded":
            continue
        acc.state.fsdp_plugin = plugin = FullyShardedDataParallelPlugin(fsdp_version=2, state_dict_type=kind, cpu_offload=False)
        m = tiny(a, step)
        whole = {k: v.detach().clone() for k, v in m.state_dict().items()}
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        for b in core(m).layers.values():
            fully_shard(b, mesh=mesh)
        fully_shard(m, mesh=mesh)
        opt = torch.optim.AdamW(m.parameters(), lr=0.0, weight_decay=0.0)
        for p in m.parameters():
            p.grad = torch.ones_like(p)
        opt.step()
        where = f"{a.out}/{form}/checkpoint-{step}"
        save_fsdp_model(plugin, acc, m, where, **more)
        save_fsdp_optimizer(plugin, acc, opt, m, where)
        if rank == 0:
            json.dump({"global_step": step, "epoch": 0.1, "max_steps": 1000, "num_input_tokens_seen": step * 4096, "log_history": []}, open(f"{where}/trainer_state.json", "w"))
            torch.save({"last_epoch": step}, f"{where}/scheduler.pt")
            oracle(f"{a.out}/{form}", step, {("model." if form == "sharded" else "") + k: v for k, v in whole.items()})
        torch.save({"cpu": torch.get_rng_state()[:16]}, f"{where}/rng_state_{rank}.pth")
        dist.barrier()
