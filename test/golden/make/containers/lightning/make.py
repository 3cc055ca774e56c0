"""Lightning: .ckpt files of a Trainer, and the folder that its FSDP strategy makes of one (state_dict_type="sharded").
torchrun --nproc-per-node 2 make.py --out DIR     Needs lightning (2.6.6 tried, torch 2.15.0). The strategy wants a GPU; what it calls to save is called here.
The names of optimizers and of what else a trainer keeps are those of Lightning; plain-S.pt has the ones of torch's own tutorial.
"""
import os, sys, warnings
warnings.filterwarnings("ignore")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from common import *
import torch.distributed as dist
import lightning as L
from lightning.fabric.strategies.fsdp import _distributed_checkpoint_save
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.callbacks import ModelCheckpoint

a = options(steps="10,20")
rank = int(os.environ["RANK"])


class Model(L.LightningModule):
    def __init__(self, lr=1e-2):
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def training_step(self, batch, i):
        return self.model(batch[0]).pow(2).mean()

    def configure_optimizers(self):
        o = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return [o], [torch.optim.lr_scheduler.StepLR(o, 1)]


torch.manual_seed(0)
m = Model()
if rank == 0:
    t = L.Trainer(max_steps=20, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, plugins=[LightningEnvironment()],
                  callbacks=[ModelCheckpoint(dirpath=f"{a.out}/run", every_n_train_steps=10, save_top_k=-1)])
    t.fit(m, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(40, 4)), batch_size=2))
dist.init_process_group("gloo")
dist.barrier()
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP, StateDictType
for step in a.steps:
    saved = torch.load(f"{a.out}/run/epoch=0-step={step}.ckpt", weights_only=False)
    if rank == 0:
        oracle(f"{a.out}/run", step, {f"state_dict.{k}": v for k, v in saved["state_dict"].items()})
        oracle(f"{a.out}/sharded", step, {f"model.{k}": v for k, v in saved["state_dict"].items()})
        torch.save({"epoch": 0, "model_state_dict": saved["state_dict"], "optimizer_state_dict": saved["optimizer_states"][0], "scheduler_state_dict": {"last": torch.ones(2)}}, f"{a.out}/plain-{step}.pt")
    net = Model()
    net.load_state_dict(saved["state_dict"])
    net.model = FSDP(net.model, device_id=torch.device("cpu"), use_orig_params=True)
    opt = torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=0.0)
    net.training_step([torch.ones(2, 4)], 0).backward()
    opt.step()
    with FSDP.state_dict_type(net, StateDictType.SHARDED_STATE_DICT):
        state = {"model": net.state_dict(), "optimizer_0": FSDP.optim_state_dict(net, opt)}
        path = f"{a.out}/sharded/epoch=0-step={step}.ckpt"
        os.makedirs(path, exist_ok=True)
        _distributed_checkpoint_save(state, path)
    if rank == 0:
        torch.save({k: v for k, v in saved.items() if k not in ("state_dict", "optimizer_states")}, f"{path}/meta.pt")
    dist.barrier()
dist.destroy_process_group()
