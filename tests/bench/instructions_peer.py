"""The peer of tests/bench/instructions: steps of the same training in PyTorch.

    instructions_peer.py prepare CONFIG_ARGUMENTS... --jmt JMT --steps N --out DIR
    instructions_peer.py run DIR STEPS [--compile]

prepare (not measured) writes the configuration, the program's initial weights and its first N
batches. run is what is measured: it imports torch and nothing else that is large, reads those
files, and prints the losses of STEPS steps."""
import json
import os
import sys

REFERENCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "reference")
sys.path.insert(0, REFERENCE)


def prepare(arguments, jmt, steps, out):
    import array

    import safetensors
    import torch
    from twin import Twin
    twin = Twin(jmt, arguments, torch.float32)
    size = twin.config["batch"]
    for i in range(steps):
        numbers = twin.order(0)[i * size:(i + 1) * size]
        inputs, masks, targets = twin.batch("train", numbers)
        parts = {f"input/{i}": x for i, x in enumerate(inputs)}
        parts.update({f"target/{name}": x for name, x in targets.items()})
        tensors = {name: (tuple(x.shape), array.array("f", x.flatten().tolist()))
                   for name, x in parts.items()}
        tensors.update({f"mask/{i}": (tuple(x.shape), array.array("B", x.flatten().tolist()))
                        for i, x in enumerate(masks)})
        safetensors.write(os.path.join(out, f"batch-{i}.safetensors"), tensors)
    safetensors.write(os.path.join(out, "weights.safetensors"), twin.initial)
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as file:
        json.dump(twin.config, file)


def run(directory, steps, compiled):
    import safetensors
    import torch

    import models
    torch.set_num_threads(1)

    def load(name):
        tensors, _ = safetensors.read(os.path.join(directory, name))
        types = {"f": torch.float32, "B": torch.bool}
        return {name: torch.frombuffer(values, dtype=types[values.typecode]).reshape(shape)
                for name, (shape, values) in tensors.items()}

    with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    spec, o = models.Spec(config), config["optimizer"]
    p = {name: x.requires_grad_() for name, x in load("weights.safetensors").items()}
    optimizer = torch.optim.AdamW(p.values(), lr=o["learning_rate"], betas=(o["beta1"], o["beta2"]),
                                  eps=o["epsilon"], weight_decay=o["weight_decay"], fused=True)
    forward = torch.compile(models.forward, dynamic=False) if compiled else models.forward
    for i in range(steps):
        batch = load(f"batch-{i}.safetensors")
        inputs = [batch[f"input/{m}"] for m in range(len(spec.inputs))]
        masks = [batch[f"mask/{m}"] for m in range(len(spec.inputs))]
        outputs = forward(p, spec, inputs, masks)
        loss = models.loss_of(spec, outputs, {name: batch[f"target/{name}"] for name in spec.targets})
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        print(float(loss.detach()), flush=True)


def main():
    words = sys.argv[1:]
    if words[0] == "run":
        run(words[1], int(words[2]), "--compile" in words)
        return
    at = {name: words.index(name) for name in ("--jmt", "--steps", "--out")}
    value = {name: words[i + 1] for name, i in at.items()}
    prepare(words[1:min(at.values())], value["--jmt"], int(value["--steps"]), value["--out"])


main()
