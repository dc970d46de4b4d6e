"""The peer of tests/bench/end_to_end: torchvision's networks, each step's clip through them, and the joint multimodal
transformer of peer_jmt.py on what they make. Channels last and contiguous, eager and compiled, fused and foreach
optimiser are tried, and the fastest is used. One round for each line of stdin."""
import argparse
import json
import sys

import torch

import peer_jmt
from peer_backbone import trunk_of


class Model(peer_jmt.Jmt):
    """Parameters are ours by name: those of a backbone as MODALITY.backbone.NAME."""

    def __init__(self, config, shapes):
        super().__init__(config)
        self.shapes = shapes
        self.trunks = {name: trunk_of(config["modalities"][name]["backbone"]).eval() for name in self.modalities}

    def place(self, x, name, memory_format):
        """[B, L, cells * columns] as ours to [B * L, columns, cells...]."""
        return x.reshape(-1, *self.shapes[name]).movedim(-1, 1).contiguous(memory_format=memory_format)

    def to(self, device, channels_last):
        for name, trunk in self.trunks.items():
            trunk.to(device=device, memory_format=self.format_of(name, channels_last))

    def format_of(self, name, channels_last):
        if not channels_last:
            return torch.contiguous_format
        return torch.channels_last if len(self.shapes[name]) == 3 else torch.channels_last_3d

    def load(self, weights):
        """All of them by our names, the backbones' own tensors among them; statistics are no parameters."""
        own = {}
        for name, trunk in self.trunks.items():
            for key, x in trunk.state_dict(keep_vars=True).items():
                if not key.endswith("num_batches_tracked"):
                    with torch.no_grad():
                        x.copy_(weights[f"{name}.backbone.{key}"].reshape(x.shape))
                    own[f"{name}.backbone.{key}"] = x
        return own

    def loss(self, p, inputs, targets):
        features = [self.trunks[name](x).unflatten(0, targets[0].shape[:2])
                    for name, x in zip(self.modalities, inputs)]
        return super().loss(p, features, targets)


class Peer(peer_jmt.Peer):
    def __init__(self, options):
        self.config = json.load(open(options.config, encoding="utf-8"))
        self.shapes = json.loads(options.shapes)
        self.channels_last = False
        super().__init__(options)
        self.model = Model(self.config, self.shapes)
        self.flat_inputs = self.inputs
        self.reset()

    def reset(self):
        if not isinstance(self.model, Model):
            return
        super().reset()
        weights = {name: x.detach() for name, x in self.p.items()}
        self.model.to(self.options.device, self.channels_last)
        own = self.model.load(weights)
        self.p = {name: own.get(name, x) for name, x in self.p.items() if own.get(name, x).requires_grad}
        self.inputs = [self.model.place(x, name, self.model.format_of(name, self.channels_last))
                       for name, x in zip(self.model.modalities, self.flat_inputs)]

    def train_setup(self):
        """Each memory format with all that the base tries; the faster stays."""
        best = {} # what is chosen compiles anew in the rounds that do not count
        for channels_last in (False, True):
            self.channels_last = channels_last
            self.reset()
            super().train_setup()
            best[channels_last] = (self.tried[self.setting], self.setting, dict(self.tried))
        self.channels_last = best[True][0] < best[False][0]
        _, setting, _ = best[self.channels_last]
        form, way = setting.split(", ")
        self.tried = {f"{name}, {'channels last' if last else 'contiguous'}": ms
                      for last in best for name, ms in best[last][2].items()}
        self.setting = f"{setting}, {'channels last' if self.channels_last else 'contiguous'}"
        self.reset()
        compiled = {"eager": self.model.loss}
        if form != "eager":
            mode = "max-autotune" if form.endswith("max-autotune") else None
            compiled[form] = torch.compile(self.model.loss, mode=mode)
        self.run = self.step_with(compiled[form], **{way.split()[0]: True})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name in ("config", "weights", "batch", "shapes"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.set_defaults(evaluate=False)
    torch.set_num_threads(1)
    peer_jmt.use_tf32(True)
    torch.backends.cudnn.benchmark = True
    options = parser.parse_args()
    peer_jmt.require(options.device)
    Peer(options).serve()


if __name__ == "__main__":
    sys.exit(main())
