"""The peer of tests/bench/launch: one of two PyTorch processes over gloo, from its start to the end of
its first all-reduce of gradients, of the same model on noise.

    launch_peer.py CONFIG.json RANK FILE    FILE: where the two meet; not there yet"""
import json
import os
import sys

REFERENCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "reference")
sys.path.insert(0, REFERENCE)

import torch
import torch.distributed

import models


def main():
    torch.set_num_threads(1)
    with open(sys.argv[1], encoding="utf-8") as file:
        config = json.load(file)
    torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[3]}",
                                         rank=int(sys.argv[2]), world_size=2)
    spec, batch, length = models.Spec(config), config["batch"] // 2, config["data"]["window"]
    p = {name: torch.empty(shape).normal_(0, 0.05).requires_grad_()
         for name, shape in models.shapes(spec)}
    masks = [torch.ones(batch, length, dtype=torch.bool) for _ in spec.inputs]
    inputs = [torch.randn(batch, length, spec.dims[name]) for name in spec.inputs]
    targets = {name: torch.rand(batch, length) for name in spec.targets}
    models.loss_of(spec, models.forward(p, spec, inputs, masks), targets).backward()
    flat = torch.cat([x.grad.flatten() for x in p.values()])
    torch.distributed.all_reduce(flat)
    print(len(flat), flush=True)
    os._exit(0) # what comes after is not measured


main()
