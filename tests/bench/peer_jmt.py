"""The peer: the joint multimodal transformer in PyTorch, written to be fast, and a server that does
one round for each line of stdin. Run by a Python with torch; tests/bench/{step,evaluate} start it.

Every step is what a user of nn.MultiheadAttention gets at best: packed projections, one for the
queries of a stream and one for keys and values of both its branches, scaled_dot_product_attention
without masks (all steps are valid), a fused or foreach optimiser, gradients set to none. Eager and
torch.compile are both tried, and the fastest is used. With --device cuda everything lies on the GPU,
products of float32 may be rounded to TF32 as ours are, and max-autotune (CUDA graphs) is tried, too."""
import argparse
import contextlib
import json
import pathlib
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "reference"))
import safetensors # noqa: E402
from apart import apart # noqa: E402

EPSILON = 1e-12
TRIALS = 5
FEW = 64 # numbers of a tensor


def read(path):
    tensors, _ = safetensors.read(path)
    return {name: torch.from_numpy(np.array(values).reshape(shape))
            for name, (shape, values) in tensors.items()}


# --- the model ------------------------------------------------------------------------------------

class Jmt:
    def __init__(self, config):
        model = config["model"]
        self.d, self.heads, self.layers = model["dim"], model["heads"], model["layers"]
        self.modalities, self.targets = list(config["modalities"]), list(config["targets"])
        self.losses = [target["loss"] for target in config["targets"].values()]
        if not set(self.losses) <= {"ccc", "mse"}:
            raise ValueError(f"losses other than ccc and mse: {self.losses}")
        self.unbiased = config["loss"]["ccc_unbiased"]
        count, m = len(self.modalities), range(len(self.modalities))
        self.streams = self.modalities + ["joint"]
        self.pairs = [pair for i in m for j in range(i + 1, count) for pair in ((i, j), (j, i))]
        self.pairs += [pair for i in m for pair in ((count, i), (i, count))]

    def heads_of(self, x):
        return x.unflatten(-1, (self.heads, self.d // self.heads)).transpose(1, 2)

    def attend(self, q, k, v):
        out = F.scaled_dot_product_attention(self.heads_of(q), self.heads_of(k), self.heads_of(v))
        return out.transpose(1, 2).flatten(2)

    def self_attention(self, p, name, x):
        qkv = F.linear(x, p[name + ".in_proj_weight"], p[name + ".in_proj_bias"])
        return F.linear(self.attend(*qkv.chunk(3, dim=-1)), p[name + ".out_proj.weight"],
                        p[name + ".out_proj.bias"])

    def norm(self, p, name, x):
        return F.layer_norm(x, (self.d,), p[name + ".weight"], p[name + ".bias"])

    def encoder(self, p, name, layers, x):
        for i in range(layers):
            layer = f"{name}.encoder.{i}"
            x = self.norm(p, layer + ".norm1", x + self.self_attention(p, layer + ".attention", x))
            inner = torch.relu(F.linear(x, p[layer + ".linear1.weight"], p[layer + ".linear1.bias"]))
            inner = F.linear(inner, p[layer + ".linear2.weight"], p[layer + ".linear2.bias"])
            x = self.norm(p, layer + ".norm2", x + inner)
        return x

    def cross(self, p, streams):
        """Tokens [B,L,T,d]; the queries of a stream are projected once."""
        queries, tokens = {}, []
        for q, k in self.pairs:
            name = self.streams[q] + ".cross"
            weight, bias = p[name + ".in_proj_weight"], p[name + ".in_proj_bias"]
            if q not in queries:
                queries[q] = F.linear(streams[q], weight[:self.d], bias[:self.d])
            kv = F.linear(streams[k], weight[self.d:], bias[self.d:])
            out = self.attend(queries[q], *kv.chunk(2, dim=-1))
            tokens.append(F.linear(out, p[name + ".out_proj.weight"], p[name + ".out_proj.bias"]))
        return torch.stack(tokens, dim=2)

    def last_token(self, p, stack):
        """Attention of the last token alone, over all of them."""
        name, d = "token.attention", self.d
        weight, bias = p[name + ".in_proj_weight"], p[name + ".in_proj_bias"]
        q = F.linear(stack[:, -1:], weight[:d], bias[:d])
        kv = F.linear(stack, weight[d:], bias[d:])
        out = self.attend(q, *kv.chunk(2, dim=-1))
        return F.linear(out, p[name + ".out_proj.weight"], p[name + ".out_proj.bias"])

    def forward(self, p, inputs):
        streams = []
        for name, x in zip(self.modalities, inputs):
            if name + ".front.weight" in p:
                x = F.linear(x, p[name + ".front.weight"], p[name + ".front.bias"])
            streams.append(x / x.norm(dim=2, keepdim=True).clamp_min(EPSILON))
        streams.append(F.linear(torch.cat(streams, dim=2), p["joint.projection.weight"],
                                p["joint.projection.bias"]))
        streams = [self.encoder(p, name, self.layers, x) for name, x in zip(self.streams, streams)]
        tokens = self.cross(p, streams)
        stack = self.encoder(p, "token", 1, tokens.flatten(0, 1))
        fused = self.last_token(p, stack).reshape(tokens.shape[0], tokens.shape[1], self.d)
        outputs = []
        for name in self.targets:
            hidden = F.linear(fused, p[name + ".head.0.weight"], p[name + ".head.0.bias"])
            y = F.linear(torch.relu(hidden), p[name + ".head.3.weight"], p[name + ".head.3.bias"])
            outputs.append(y[:, :, 0])
        return outputs

    def loss(self, p, inputs, targets):
        return sum(ccc_loss(x.float(), y, self.unbiased) if loss == "ccc" else F.mse_loss(x.float(), y)
                   for x, y, loss in zip(self.forward(p, inputs), targets, self.losses))


def ccc_loss(x, y, unbiased):
    dx, dy = x - x.mean(), y - y.mean()
    divisor = x.numel() - 1 if unbiased else x.numel()
    covariance = (dx * dy).sum() / divisor
    spread = ((dx * dx).sum() + (dy * dy).sum()) / divisor + (x.mean() - y.mean()) ** 2
    return 1 - 2 * covariance / (spread + 1e-8)


# --- how far apart --------------------------------------------------------------------------------

def group_of(name, x):
    """Tensors of few numbers count as one: one number that is nearly nothing is wrong by any part of itself."""
    return name if x.numel() >= FEW else "all of few numbers"


def deviations(found, exact):
    """Of each tensor the norm of what is wrong beside the norm."""
    sums = {}
    for name, x in exact.items():
        of = sums.setdefault(group_of(name, x), [0.0, 0.0])
        of[0] += float((found[name] - x).double().square().sum())
        of[1] += float(x.double().square().sum())
    return {name: (wrong / max(whole, 1e-60)) ** 0.5 for name, (wrong, whole) in sums.items()}


def units(exact):
    """A unit's part of the norm of each tensor, if all have as much: a row of what makes it, or a column of what reads
    it, of which a head's last weight has more."""
    rows = {}
    for name, x in exact.items():
        rows[group_of(name, x)] = rows.get(group_of(name, x), 0) + max(x.shape[:2])
    return {name: count ** -0.5 for name, count in rows.items()}


# --- rounds ---------------------------------------------------------------------------------------

def wait():
    """For what the GPU has been told to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(run):
    """(milliseconds, milliseconds of CPU, what it returned)"""
    wait()
    cpu, begin = time.process_time(), time.perf_counter()
    result = run()
    wait()
    return 1e3 * (time.perf_counter() - begin), 1e3 * (time.process_time() - cpu), result


def say(answer):
    print(json.dumps(answer), flush=True)


def require(device):
    """Exit code 3 where PyTorch cannot compute there."""
    if device == "cuda" and not torch.cuda.is_available():
        print(f"jmt: error: PyTorch {torch.__version__} (CUDA {torch.version.cuda}) sees no GPU; set JMT_PEER_PYTHON "
              "to a Python whose PyTorch is for this driver", file=sys.stderr)
        sys.exit(3)


def use_tf32(does):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = does


class Peer:
    def __init__(self, options):
        config = json.loads(pathlib.Path(options.config).read_text(encoding="utf-8"))
        self.options, self.model = options, Jmt(config)
        batch = {name: x.to(options.device) for name, x in read(options.batch).items()}
        self.inputs = [batch["input/" + name] for name in self.model.modalities]
        self.targets = [batch["target/" + name] for name in self.model.targets]
        self.optimizer_config = config["optimizer"]
        self.reset()

    def autocast(self):
        if self.options.precision == "bf16":
            return torch.autocast(self.options.device, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def reset(self):
        self.p = {name: x.clone().to(self.options.device).requires_grad_(not self.options.evaluate)
                  for name, x in read(self.options.weights).items()}

    def choose(self, candidates):
        """The fastest of {name: run}, by the median of a few rounds; one that fails is none."""
        medians = {}
        for name, run in candidates.items():
            try:
                run()
                run()
                medians[name] = statistics.median(timed(run)[0] for _ in range(TRIALS))
            except Exception as error: # no compiler, say
                print(f"peer: {name} does not work: {str(error).splitlines()[:1]}", file=sys.stderr)
        self.setting = min(medians, key=medians.get)
        self.tried = medians
        return candidates[self.setting]

    def hello(self):
        return {"peer": "PyTorch", "peer_version": torch.__version__, "setting": self.setting,
                "tried_ms": self.tried, "threads": torch.get_num_threads()}

    # training

    def optimizer(self, **how):
        c, parameters = self.optimizer_config, list(self.p.values())
        how = {"lr": c["learning_rate"], "weight_decay": c["weight_decay"], **how}
        if c["name"] == "sgd":
            return torch.optim.SGD(parameters, momentum=c["momentum"], nesterov=c["nesterov"], **how)
        kind = torch.optim.AdamW if c["name"] == "adamw" else torch.optim.Adam
        return kind(parameters, betas=(c["beta1"], c["beta2"]), eps=c["epsilon"], **how)

    def step_with(self, loss_function, **how):
        optimizer = self.optimizer(**how)

        def step():
            with self.autocast():
                loss = loss_function(self.p, self.inputs, self.targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return loss
        return step

    def train_setup(self):
        compiled = torch.compile(self.model.loss) if self.options.compile else None
        forms = {"eager": self.model.loss}
        if compiled is not None:
            forms["torch.compile"] = compiled
        if compiled is not None and self.options.device == "cuda":
            forms["torch.compile max-autotune"] = torch.compile(self.model.loss, mode="max-autotune")
        ways = {"fused optimiser": {"fused": True}, "foreach optimiser": {"foreach": True}}
        self.choose({f"{form}, {way}": self.step_with(run, **how)
                     for form, run in forms.items() for way, how in ways.items()})
        form, way = self.setting.split(", ")
        self.reset() # the trials have trained
        self.run = self.step_with(forms[form], **ways[way])

    def gradients(self, precision):
        loss = self.model.loss
        with precision:
            value = loss(self.p, self.inputs, self.targets)
        value.backward()
        found = {name: x.grad.float() for name, x in self.p.items()}
        for x in self.p.values():
            x.grad = None
        return float(value.detach()), found

    def compare(self, path):
        """How far loss and gradients are from those of `jmt step`, relative to the largest of each
        tensor. In full floats, also where what is timed is not; bf16 beside what autocast does to the peer's own."""
        use_tf32(False)
        loss, exact = self.gradients(contextlib.nullcontext())
        use_tf32(True)
        ours = read(path)
        theirs = {name: ours["grad/" + name].reshape(x.shape).to(x.device) for name, x in exact.items()}
        worst = abs(float(ours["loss"]) / loss - 1)
        for name, x in exact.items():
            worst = max(worst, float((theirs[name] - x).abs().max() / x.abs().max().clamp_min(1e-30)))
        answer = {"loss": loss, "max_rel": worst}
        if self.options.precision == "bf16":
            rounded = self.gradients(self.autocast())[1]
            answer["apart"] = apart(deviations(theirs, exact), deviations(rounded, exact), units(exact))
        return answer

    # evaluation

    def evaluate_setup(self):
        groups = [[x[i:i + self.options.at_once] for x in self.inputs]
                  for i in range(0, len(self.inputs[0]), self.options.at_once)]

        def sweep_with(forward):
            def sweep():
                with torch.inference_mode(), self.autocast():
                    return torch.cat([forward(self.p, group)[0].float() for group in groups])
            return sweep
        candidates = {"eager": sweep_with(self.model.forward)}
        if self.options.compile:
            candidates["torch.compile"] = sweep_with(torch.compile(self.model.forward))
        self.run = self.choose(candidates)

    def serve(self):
        self.evaluate_setup() if self.options.evaluate else self.train_setup()
        for line in sys.stdin:
            words = line.split()
            if words[0] == "hello":
                say(self.hello())
            elif words[0] == "compare":
                say(self.compare(words[1]))
            elif self.options.evaluate:
                ms, cpu, outputs = timed(self.run)
                answer = {"ms": ms, "cpu_ms": cpu, "sequences": len(outputs)}
                if words[0] == "outputs":
                    answer["outputs"] = outputs.flatten().tolist()
                say(answer)
            else:
                ms, cpu, loss = timed(self.run)
                say({"ms": ms, "cpu_ms": cpu, "loss": float(loss.detach())})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name in ("config", "weights", "batch"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--evaluate", action="store_true")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    torch.set_num_threads(1)
    use_tf32(True)
    torch._logging.set_logs(inductor=40)
    options = parser.parse_args()
    require(options.device)
    Peer(options).serve()


if __name__ == "__main__":
    main()
