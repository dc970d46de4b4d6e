"""The peer of tests/bench/memory: steps of the same training in PyTorch on one batch of noise.

    memory_peer.py CONFIG.json STEPS    CONFIG.json: a resolved configuration (jmt config CONFIG --json)

Prints the process's high-water mark in bytes."""
import json
import os
import re
import sys

REFERENCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "reference")
sys.path.insert(0, REFERENCE)

import torch

import models


def optimizer_of(parameters, o):
    if o["name"] == "sgd":
        return torch.optim.SGD(parameters, lr=o["learning_rate"], momentum=o["momentum"],
                               nesterov=o["nesterov"], weight_decay=o["weight_decay"], fused=True)
    return torch.optim.AdamW(parameters, lr=o["learning_rate"], weight_decay=o["weight_decay"],
                             betas=(o["beta1"], o["beta2"]), eps=o["epsilon"], fused=True)


def main():
    torch.set_num_threads(1)
    with open(sys.argv[1], encoding="utf-8") as file:
        config = json.load(file)
    spec, batch, length = models.Spec(config), config["batch"], config["data"]["window"]
    p = {name: torch.empty(shape).normal_(0, 0.05).requires_grad_()
         for name, shape in models.shapes(spec)}
    optimizer = optimizer_of(list(p.values()), config["optimizer"])
    masks = [torch.ones(batch, length, dtype=torch.bool) for _ in spec.inputs]
    for _ in range(int(sys.argv[2])):
        inputs = [torch.randn(batch, length, spec.dims[name]) for name in spec.inputs]
        targets = {name: torch.rand(batch, length) for name in spec.targets}
        loss = models.loss_of(spec, models.forward(p, spec, inputs, masks), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    with open("/proc/self/status", encoding="utf-8") as file:
        print(1024 * int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)))


main()
