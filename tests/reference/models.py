"""The models in plain PyTorch, from the formulas alone: the joint multimodal transformer of arXiv
2403.10488 and the baselines it is compared with, for any number of modalities, with masks.

Parameters live in a dictionary in order of creation, under the names `jmt export` gives them. This
file is the judge of the C program, so it computes each thing as it is defined, nothing cleverly.
"""
import json
import math

import torch
import torch.nn.functional as F


class Spec:
    """What a resolved configuration (`jmt config CONFIG --json`) says about the model."""

    def __init__(self, config):
        model = config["model"]
        self.model = model["name"]
        self.dim, self.ff = model["dim"], model["ff"]
        self.heads, self.layers = model["heads"], model["layers"]
        self.head_hidden, self.token = model["head_hidden"], model["token"]
        self.head_dropout = model["head_dropout"]
        chosen = model["modalities"]
        if isinstance(chosen, str):
            chosen = chosen.split()
        self.modalities = list(chosen) or list(config["modalities"])
        self.dims = [config["modalities"][name]["dim"] for name in self.modalities]
        self.fronts = []
        for name, dim in zip(self.modalities, self.dims):
            front = config["modalities"][name]["front"]
            self.fronts.append(front == "linear" or (front == "auto" and dim != self.dim))
        self.targets = {name: dict(t) for name, t in config["targets"].items()}
        self.ccc_unbiased = config["loss"]["ccc_unbiased"]

    def columns(self, target):
        t = self.targets[target]
        return t["classes"] if t["loss"] == "cross_entropy" else 1


def shapes(spec):
    """[(name, shape)] in order of creation."""
    out, d = [], spec.dim

    def linear(name, inputs, outputs):
        out.append((name + ".weight", (outputs, inputs)))
        out.append((name + ".bias", (outputs,)))

    def attention(name):
        out.append((name + ".in_proj_weight", (3 * d, d)))
        out.append((name + ".in_proj_bias", (3 * d,)))
        out.append((name + ".out_proj.weight", (d, d)))
        out.append((name + ".out_proj.bias", (d,)))

    def encoder(name, layers):
        for i in range(layers):
            layer = f"{name}.encoder.{i}"
            attention(layer + ".attention")
            linear(layer + ".linear1", d, spec.ff)
            linear(layer + ".linear2", spec.ff, d)
            for norm in (".norm1", ".norm2"):
                out.append((layer + norm + ".weight", (d,)))
                out.append((layer + norm + ".bias", (d,)))

    count = len(spec.modalities)
    for name, dim, front in zip(spec.modalities, spec.dims, spec.fronts):
        if front:
            linear(name + ".front", dim, d)
    if spec.model == "jmt":
        linear("joint.projection", count * d, d)
        for name in spec.modalities + ["joint"]:
            encoder(name, spec.layers)
        for name in spec.modalities + ["joint"]:
            attention(name + ".cross")
        encoder("token", 1)
        attention("token.attention")
    elif spec.model == "mt":
        for name in spec.modalities:
            encoder(name, spec.layers)
        for name in spec.modalities:
            attention(name + ".cross")
        linear("fusion", count * (count - 1) * d, d)
    elif spec.model in ("concat", "concat_encoder"):
        linear("fusion", count * d, d)
        if spec.model == "concat_encoder":
            encoder("fusion", spec.layers)
    elif spec.model != "unimodal":
        raise ValueError(f"no reference for model {spec.model}")
    shared = spec.model == "unimodal"
    for number, name in enumerate(spec.targets):
        if not shared or number == 0:
            linear("head.0" if shared else name + ".head.0", d, spec.head_hidden)
        linear(name + ".head.3", spec.head_hidden, spec.columns(name))
    return out


# --- blocks ---------------------------------------------------------------------------------------

def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def attention(p, name, heads, query, key_value, valid):
    """Multi-head attention of query [N,Q,d] over key_value [N,K,d], valid [N,K]; where no key is
    valid the attended value is 0 (the output projection's bias remains)."""
    weight, bias = p[name + ".in_proj_weight"], p[name + ".in_proj_bias"]
    n, length, d = query.shape

    def project(x, part):
        rows = slice(part * d, (part + 1) * d)
        y = F.linear(x, weight[rows], bias[rows])
        return y.reshape(n, x.shape[1], heads, d // heads).transpose(1, 2)

    q, k, v = project(query, 0), project(key_value, 1), project(key_value, 2)
    scores = q @ k.transpose(2, 3) / math.sqrt(d // heads)
    some = valid.any(dim=1)[:, None, None, None]
    scores = scores.masked_fill(~valid[:, None, None, :] & some, -math.inf)
    weights = torch.softmax(scores, dim=3) * some
    attended = (weights @ v).transpose(1, 2).reshape(n, length, d)
    return F.linear(attended, p[name + ".out_proj.weight"], p[name + ".out_proj.bias"])


def layer_norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], 1e-5)


def encoder(p, name, layers, heads, x, valid):
    for i in range(layers):
        layer = f"{name}.encoder.{i}"
        x = layer_norm(p, layer + ".norm1",
                       x + attention(p, layer + ".attention", heads, x, x, valid))
        inner = linear(p, layer + ".linear2", torch.relu(linear(p, layer + ".linear1", x)))
        x = layer_norm(p, layer + ".norm2", x + inner)
    return x


# --- models ---------------------------------------------------------------------------------------

def pairs(count):
    """Both directions of each pair i < j: i <- j, then j <- i."""
    return [pair for i in range(count) for j in range(i + 1, count) for pair in ((i, j), (j, i))]


def select(tokens, valid, rule):
    """tokens [N,T,d] -> [N,d]: the last valid one or the mean of the valid; none valid: the
    last."""
    some = valid.any(dim=1)
    last_only = torch.zeros_like(valid)
    last_only[:, -1] = True
    valid = torch.where(some[:, None], valid, last_only)
    if rule == "mean":
        weights = valid.to(tokens.dtype)
        return (tokens * weights[:, :, None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)
    numbers = torch.arange(valid.shape[1])
    last = torch.where(valid, numbers, -1).max(dim=1).values
    return tokens[torch.arange(len(tokens)), last]


def joint_multimodal_transformer(p, spec, streams, masks):
    count, heads = len(streams), spec.heads
    batch, length, d = streams[0].shape
    names = spec.modalities + ["joint"]
    joint = linear(p, "joint.projection", torch.cat(streams, dim=2))
    streams = streams + [joint]
    masks = masks + [torch.stack(masks).any(dim=0)]
    streams = [encoder(p, name, spec.layers, heads, x, mask)
               for name, x, mask in zip(names, streams, masks)]
    branches = pairs(count)
    for m in range(count):
        branches += [(count, m), (m, count)]
    tokens, valid = [], []
    for q, k in branches:
        tokens.append(attention(p, names[q] + ".cross", heads, streams[q], streams[k], masks[k]))
        valid.append(masks[q] & masks[k].any(dim=1, keepdim=True))
    stack = torch.stack(tokens, dim=2).reshape(batch * length, len(branches), d)
    valid = torch.stack(valid, dim=2).reshape(batch * length, len(branches))
    stack = encoder(p, "token", 1, heads, stack, valid)
    stack = attention(p, "token.attention", heads, stack, stack, valid)
    return select(stack, valid, spec.token).reshape(batch, length, d)


def multimodal_transformer(p, spec, streams, masks):
    streams = [encoder(p, name, spec.layers, spec.heads, x, mask)
               for name, x, mask in zip(spec.modalities, streams, masks)]
    crossed = []
    for q, k in pairs(len(streams)):
        y = attention(p, spec.modalities[q] + ".cross", spec.heads, streams[q], streams[k], masks[k])
        crossed.append(y * (masks[q] & masks[k].any(dim=1, keepdim=True))[:, :, None])
    return linear(p, "fusion", torch.cat(crossed, dim=2))


def fuse(p, spec, streams, masks):
    if spec.model == "jmt":
        return joint_multimodal_transformer(p, spec, streams, masks)
    if spec.model == "mt":
        return multimodal_transformer(p, spec, streams, masks)
    if spec.model == "unimodal":
        return streams[0]
    fused = linear(p, "fusion", torch.cat(streams, dim=2))
    if spec.model == "concat":
        return fused
    valid = torch.stack(masks).any(dim=0)
    return encoder(p, "fusion", spec.layers, spec.heads, fused, valid)


def forward(p, spec, inputs, masks, dropout=None):
    """inputs [B,L,D] and masks [B,L] (bool) by modality, in the order of spec.modalities -> outputs
    by target, [B,L] or [B,L,C]. dropout(name, x): what stands between the head's layers."""
    streams = []
    for name, x, mask, front in zip(spec.modalities, inputs, masks, spec.fronts):
        x = torch.where(mask[:, :, None], x, torch.zeros((), dtype=x.dtype))
        if front:
            x = linear(p, name + ".front", x)
        if spec.model != "unimodal":
            x = x / x.norm(dim=2, keepdim=True).clamp_min(1e-12)
        streams.append(torch.where(mask[:, :, None], x, torch.zeros((), dtype=x.dtype)))
    fused = fuse(p, spec, streams, list(masks))
    outputs = {}
    for name in spec.targets:
        head = "head" if spec.model == "unimodal" else name + ".head"
        hidden = torch.relu(linear(p, head + ".0", fused))
        hidden = hidden if dropout is None else dropout(head, hidden)
        y = linear(p, name + ".head.3", hidden)
        outputs[name] = y if spec.columns(name) > 1 else y[:, :, 0]
    return outputs


# --- losses ---------------------------------------------------------------------------------------

def ccc_loss(x, y, unbiased):
    n = len(x)
    if n < 2:
        return x.sum() * 0.0
    dx, dy = x - x.mean(), y - y.mean()
    divisor = n - 1 if unbiased else n
    numerator = 2 * (dx * dy).sum() / divisor
    denominator = ((dx * dx).sum() + (dy * dy).sum()) / divisor + (x.mean() - y.mean()) ** 2
    return 1 - numerator / (denominator + 1e-8)


def loss_of(spec, outputs, targets):
    """Sum over targets of weight * loss over all labels that are not NaN."""
    total = 0.0
    for name, target in spec.targets.items():
        valid = ~torch.isnan(targets[name])
        x, y = outputs[name][valid], targets[name][valid]
        if len(y) == 0:
            continue
        if target["loss"] == "ccc":
            loss = ccc_loss(x, y, spec.ccc_unbiased)
        elif target["loss"] == "mse":
            loss = ((x - y) ** 2).mean()
        else:
            loss = F.cross_entropy(x, y.long())
        total = total + target["weight"] * loss
    return total


# --- the reference judged by PyTorch's own modules ------------------------------------------------

def self_check():
    """Attention and encoder layer against torch.nn, so that a slip here is not blamed on others."""
    torch.manual_seed(3)
    d, heads, ff = 12, 3, 7
    theirs = torch.nn.TransformerEncoderLayer(d, heads, ff, dropout=0.0, batch_first=True).double()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    state = theirs.state_dict()
    p = {"x.encoder.0." + name.replace("self_attn", "attention"): value
         for name, value in state.items()}
    x = torch.randn(4, 5, d, dtype=torch.float64)
    valid = torch.rand(4, 5) > 0.3
    valid[:, 0] = True
    want = theirs(x, src_key_padding_mask=~valid)
    got = encoder(p, "x", 1, heads, x, valid)
    error = float(((want - got).norm() / want.norm()).detach())
    if error > 1e-13:
        raise AssertionError(f"encoder differs from torch.nn by {error}")
    return error


if __name__ == "__main__":
    print(json.dumps({"encoder_against_torch_nn": self_check()}))
