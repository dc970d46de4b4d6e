"""The models in plain PyTorch, from the formulas alone: the joint multimodal transformer of arXiv
2403.10488 and the baselines it is compared with, for any number of modalities, with masks.

Parameters live in a dictionary in order of creation, under the names `jmt export` gives them. This
file is the judge of the C program, so it computes each thing as it is defined, nothing cleverly.
"""
import json
import math

import torch
import torch.nn.functional as F

import rivals


def words(names):
    """A list of names, however it is given."""
    return names.split() if isinstance(names, str) else list(names)


class Tcn:
    """What a modality says about its temporal convolutional network."""

    def __init__(self, modality):
        self.blocks, self.kernel = modality["tcn_blocks"], modality["tcn_kernel"]
        self.causal, self.dropout = modality["tcn_causal"], modality["tcn_dropout"]


class Spec:
    """What a resolved configuration (`jmt config CONFIG --json`) says about the model."""

    def __init__(self, config):
        model = config["model"]
        self.model = model["name"]
        self.dim, self.ff = model["dim"], model["ff"]
        self.heads, self.layers = model["heads"], model["layers"]
        self.head_hidden, self.token = model["head_hidden"], model["token"]
        self.head_dropout = model["head_dropout"]
        self.fusion_dim, self.recursions = model["fusion_dim"], model["recursions"]
        self.output, self.position = model["output"], model["position"]
        self.separate = model["cross_weights"] == "separate"
        self.residual, self.cross_ffn = model["cross_residual"], model["cross_ffn"]
        self.joint, self.missing = model["joint"], model["missing"]
        self.normalize, self.attn_form = model["normalize"], model["attn_form"]
        self.token_type, self.causal = model["token_type"], model["causal"]
        self.length = config["data"]["window"]
        branches = model["branches"]
        self.branch_words = words(branches)
        chosen = words(model["modalities"])
        given = config["modalities"]
        of = {name: words(m["of"]) for name, m in given.items()}
        used = [part for parts in of.values() for part in parts]
        self.modalities = list(chosen) or [name for name in given if name not in used]
        self.parts = {name: of[name] or [name] for name in self.modalities}
        self.intra = {name: given[name]["intra"] for name in self.modalities}
        self.inputs = [part for name in self.modalities for part in self.parts[name]]
        self.dims = {name: given[name]["dim"] for name in self.inputs}
        self.streams = self.modalities + (["joint"] if self.model == "jmt" else [])
        self.fronts = {}
        for name in self.inputs:
            automatic = "linear" if self.dims[name] != self.dim else "none"
            self.fronts[name] = automatic if given[name]["front"] == "auto" else given[name]["front"]
        self.tcn = {name: Tcn(given[name]) for name in self.inputs}
        self.targets = {name: dict(t) for name, t in config["targets"].items()}
        self.ccc_unbiased = config["loss"]["ccc_unbiased"]
        self.over_samples = config["parity"]["attention_over_samples"]

    def columns(self, target):
        t = self.targets[target]
        return t["classes"] if t["loss"] == "cross_entropy" else 1


def branches(spec):
    """[(query, key)] by stream: both directions of each pair of modalities, then with J."""
    count = len(spec.modalities)
    out = [pair for i in range(count) for j in range(i + 1, count) for pair in ((i, j), (j, i))]
    if spec.model == "jmt":
        out += [pair for m in range(count) for pair in ((count, m), (m, count))]
    words = spec.branch_words
    if not words:
        return out
    names = [spec.streams[q] + "<-" + spec.streams[k] for q, k in out]
    if words[0].startswith("-"):
        return [b for b, name in zip(out, names) if "-" + name not in words]
    return [b for b, name in zip(out, names) if name in words]


def cross_name(spec, q, k):
    name = spec.streams[q] + ".cross"
    return name + "." + spec.streams[k] if spec.separate else name


def shapes(spec):
    """[(name, shape)] in order of creation."""
    out, d = [], spec.dim

    def linear(name, inputs, outputs):
        out.append((name + ".weight", (outputs, inputs)))
        out.append((name + ".bias", (outputs,)))

    def norm(name, d):
        out.append((name + ".weight", (d,)))
        out.append((name + ".bias", (d,)))

    def attention(name, d=d):
        out.append((name + ".in_proj_weight", (3 * d, d)))
        out.append((name + ".in_proj_bias", (3 * d,)))
        out.append((name + ".out_proj.weight", (d, d)))
        out.append((name + ".out_proj.bias", (d,)))

    def encoder(name, layers, d=d, over_time=True):
        if over_time and spec.position == "learned":
            out.append((name + ".position.weight", (spec.length, d)))
        for i in range(layers):
            layer = f"{name}.encoder.{i}"
            attention(layer + ".attention", d)
            linear(layer + ".linear1", d, spec.ff)
            linear(layer + ".linear2", spec.ff, d)
            norm(layer + ".norm1", d)
            norm(layer + ".norm2", d)

    def cross(name):
        attention(name)
        if spec.cross_ffn:
            linear(name + ".linear1", d, spec.ff)
            linear(name + ".linear2", spec.ff, d)
        if spec.residual:
            norm(name + ".norm1", d)
        if spec.cross_ffn:
            norm(name + ".norm2", d)

    def tcn(name, tcn, inputs, outputs):
        for b in range(tcn.blocks):
            block, width = f"{name}.{b}", inputs if b == 0 else outputs
            for conv, wide in ((block + ".conv1", width), (block + ".conv2", outputs)):
                out.append((conv + ".weight_v", (outputs, wide, tcn.kernel)))
                out.append((conv + ".weight_g", (outputs, 1, 1)))
                out.append((conv + ".bias", (outputs,)))
            if width != outputs:
                out.append((block + ".downsample.weight", (outputs, width, 1)))
                out.append((block + ".downsample.bias", (outputs,)))

    def transformer():
        """Returns how wide the heads are."""
        chosen = branches(spec)
        used = {stream for branch in chosen for stream in branch}
        if spec.model == "jmt" and count in used:
            if spec.missing == "learned":
                for name in spec.modalities:
                    out.append((name + ".missing.weight", (1, d)))
            if spec.joint == "mlp":
                linear("joint.linear1", count * d, spec.ff)
                linear("joint.linear2", spec.ff, d)
            elif spec.joint == "linear":
                linear("joint.projection", count * d, d)
        for s, name in enumerate(spec.streams):
            if s in used:
                encoder(name, spec.layers)
        if spec.separate:
            for q, k in chosen:
                cross(cross_name(spec, q, k))
        else:
            for s in sorted({q for q, _ in chosen}):
                cross(spec.streams[s] + ".cross")
        tokens = len(chosen)
        if spec.model == "mt" or spec.output == "fc":
            wide = 2 * d if spec.model == "jmt" else d
            linear("fusion", tokens * d, wide)
            return wide
        if spec.output == "concat_encoder":
            encoder("fusion", 1, tokens * d, False)
            return tokens * d
        if spec.token_type:
            out.append(("token.type.weight", (tokens, d)))
        encoder("token", 1, d, False)
        attention("token.attention")
        return tokens * d if spec.token == "concat" else d

    count = len(spec.modalities)
    for stream in spec.modalities:
        for name in spec.parts[stream]:
            if spec.fronts[name] == "linear":
                linear(name + ".front", spec.dims[name], d)
            elif spec.fronts[name] == "tcn":
                tcn(name + ".front", spec.tcn[name], spec.dims[name], d)
        if len(spec.parts[stream]) == 2:
            if spec.intra[stream] == "concat_fc":
                linear(stream + ".intra", 2 * d, d)
            else:
                encoder(stream + ".intra", 1, d, False)
                attention(stream + ".intra.attention")
        if spec.normalize == "layernorm":
            norm(stream + ".norm", d)
    width = d
    if spec.model in ("jmt", "jmt_no_joint", "mt"):
        width = transformer()
    elif spec.model in ("concat", "concat_att", "concat_encoder"):
        if spec.model == "concat_att":
            linear("fusion.attention", count * d, count * d)
        linear("fusion", count * d, d)
        if spec.model == "concat_encoder":
            encoder("fusion", spec.layers)
    elif spec.model in ("jca", "rjcma"):
        k, width = spec.fusion_dim, count * d
        for name in spec.modalities:
            out.append((name + ".jca.joint.weight", (spec.length, spec.length)))
            out.append((name + ".jca.own.weight", (k, spec.length)))
            out.append((name + ".jca.cross.weight", (k, count * d)))
            out.append((name + ".jca.out.weight", (spec.length, k)))
    elif spec.model == "lfan":
        width = d + count * spec.fusion_dim
        for name in spec.modalities:
            for what in ("query", "key", "value"):
                linear(f"{name}.{what}", d, spec.fusion_dim)
        norm("fusion.norm", spec.fusion_dim)
    elif spec.model == "can":
        width = count * spec.fusion_dim
        for name in spec.modalities:
            linear(name + ".fusion", d, spec.fusion_dim)
        linear("fusion.score", width, count)
    elif spec.model == "decision":
        for name in spec.modalities:
            linear(name + ".head.0", d, spec.head_hidden)
            for target in spec.targets:
                linear(f"{name}.{target}.head.3", spec.head_hidden, spec.columns(target))
        return out
    elif spec.model != "unimodal":
        raise ValueError(f"no reference for model {spec.model}")
    shared = spec.model == "unimodal"
    for number, name in enumerate(spec.targets):
        if not shared or number == 0:
            linear("head.0" if shared else name + ".head.0", width, spec.head_hidden)
        linear(name + ".head.3", spec.head_hidden, spec.columns(name))
    return out


# --- blocks ---------------------------------------------------------------------------------------

def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def keep(name, x):
    """Stands where dropout may stand."""
    return x


def attended(q, k, v, seen):
    """softmax(q k^T / sqrt(d)) v of [N,H,.,d] over the keys seen; 0 where none is. float64 judges, so
    there it is written out; float32 is for long runs."""
    some = seen.any(dim=3, keepdim=True)
    if q.dtype == torch.float32:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen | ~some) * some
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    scores = scores.masked_fill(~seen & some, -math.inf)
    return (torch.softmax(scores, dim=3) * some) @ v


def attention(p, name, heads, query, key_value, valid, causal=False, dropout=keep, label=None,
              literal=False):
    """Multi-head attention of query [N,Q,d] over key_value [N,K,d], valid [N,K]; causal: query i sees
    keys up to i; where no key is seen the attended value is 0 (the output projection's bias
    remains). literal: softmax(K Q') V, rows by key, Q = K."""
    weight, bias = p[name + ".in_proj_weight"], p[name + ".in_proj_bias"]
    n, length, d = query.shape

    def project(x, begin, end):
        rows = slice(begin * d, end * d)
        y = F.linear(x, weight[rows], bias[rows]).split(d, dim=2)
        return [part.reshape(n, x.shape[1], heads, d // heads).transpose(1, 2) for part in y]

    if query is key_value:
        q, k, v = project(query, 0, 3)
    else:
        q, k, v = project(query, 0, 1) + project(key_value, 1, 3)
    seen = valid[:, None, None, :] # by all queries alike
    if causal:
        seen = seen & torch.ones(length, valid.shape[1], dtype=torch.bool).tril()
    rows, columns = (k, q) if literal else (q, k)
    out = attended(rows, columns, v, seen).transpose(1, 2).reshape(n, length, d)
    out = F.linear(out, p[name + ".out_proj.weight"], p[name + ".out_proj.bias"])
    return dropout((label or name) + ".dropout", out)


def layer_norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], 1e-5)


def feed_forward(p, name, x, dropout, label):
    inner = dropout(label + ".dropout", torch.relu(linear(p, name + ".linear1", x)))
    inner = dropout(label + ".linear2.dropout", linear(p, name + ".linear2", inner))
    return layer_norm(p, name + ".norm2", x + inner)


def encoder(p, name, layers, heads, x, valid, causal=False, dropout=keep):
    for i in range(layers):
        layer = f"{name}.encoder.{i}"
        x = layer_norm(p, layer + ".norm1",
                       x + attention(p, layer + ".attention", heads, x, x, valid, causal, dropout))
        x = feed_forward(p, layer, x, dropout, layer)
    return x


def temporal_conv(p, name, tcn, dilation, x, mask):
    """x [B,L,D]: weight-normed convolution over time; steps outside and steps masked out are 0."""
    v, g = p[name + ".weight_v"], p[name + ".weight_g"]
    w = g * v / v.flatten(1).norm(dim=1).reshape(-1, 1, 1)
    x = torch.where(mask[:, :, None], x, torch.zeros((), dtype=x.dtype)).transpose(1, 2)
    span = (tcn.kernel - 1) * dilation
    before = span if tcn.causal else span // 2
    x = F.pad(x, (before, span - before))
    return F.conv1d(x, w, p[name + ".bias"], dilation=dilation).transpose(1, 2)


def tcn_front(p, name, tcn, x, mask, dropout=keep):
    for b in range(tcn.blocks):
        block, y = f"{name}.{b}", x
        for c in ("1", "2"):
            y = temporal_conv(p, f"{block}.conv{c}", tcn, 2 ** b, y, mask)
            y = F.leaky_relu(y, 0.01)
            if tcn.dropout > 0: # whole channels: one number for all steps
                ones = torch.ones(y.shape[0], y.shape[2], dtype=y.dtype)
                y = y * dropout(f"{block}.dropout{c}", ones)[:, None, :]
        if block + ".downsample.weight" in p:
            x = F.linear(x, p[block + ".downsample.weight"][:, :, 0], p[block + ".downsample.bias"])
        x = F.leaky_relu(x + y, 0.01)
    return x


def waves(length, d, dtype):
    """The sinusoidal encoding (Vaswani et al., 2017) over sqrt(d)."""
    table = torch.zeros(length, d, dtype=dtype)
    for t in range(length):
        for c in range(d):
            angle = t / 10000 ** ((c - c % 2) / d)
            table[t, c] = (math.cos(angle) if c % 2 else math.sin(angle)) / math.sqrt(d)
    return table


def encoder_over_time(p, spec, name, x, valid, dropout):
    if spec.position == "learned":
        x = x + p[name + ".position.weight"]
    elif spec.position == "sinusoidal":
        x = x + waves(x.shape[1], x.shape[2], x.dtype)
    if spec.over_samples and spec.model in ("jmt", "jmt_no_joint", "mt"):
        over = encoder(p, name, spec.layers, spec.heads, x.transpose(0, 1), valid.T, False, dropout)
        return over.transpose(0, 1)
    return encoder(p, name, spec.layers, spec.heads, x, valid, spec.causal, dropout)


# --- models ---------------------------------------------------------------------------------------

def select(tokens, valid, rule):
    """tokens [N,T,d] -> [N,d]: the last valid one, or mean, sum or largest of the valid; none valid:
    the last. concat: [N,T*d], 0 where not valid."""
    some = valid.any(dim=1)
    if rule == "concat":
        return torch.where(valid[:, :, None], tokens, torch.zeros_like(tokens)).flatten(1)
    last_only = torch.zeros_like(valid)
    last_only[:, -1] = True
    valid = torch.where(some[:, None], valid, last_only)
    if rule == "mean":
        weights = valid.to(tokens.dtype)
        return (tokens * weights[:, :, None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)
    if rule == "sum":
        return (tokens * valid[:, :, None]).sum(dim=1)
    if rule == "max":
        return tokens.masked_fill(~valid[:, :, None], -math.inf).max(dim=1).values
    numbers = torch.arange(valid.shape[1])
    last = torch.where(valid, numbers, -1).max(dim=1).values
    return tokens[torch.arange(len(tokens)), last]


def cross_attention(p, spec, q, k, streams, mask, dropout):
    name, label = cross_name(spec, q, k), f"{spec.streams[q]}.cross.{spec.streams[k]}"
    t = attention(p, name, spec.heads, streams[q], streams[k], mask, spec.causal, dropout, label,
                  spec.attn_form == "paper_literal")
    if spec.residual:
        t = layer_norm(p, name + ".norm1", streams[q] + t)
    if spec.cross_ffn:
        t = feed_forward(p, name, t, dropout, label + ".ffn")
    return t


def joint_stream(p, spec, streams, masks):
    if spec.missing == "learned":
        streams = [torch.where(mask[:, :, None], x, p[name + ".missing.weight"])
                   for name, x, mask in zip(spec.modalities, streams, masks)]
    if spec.joint == "sum":
        return torch.stack(streams).sum(dim=0)
    joint = torch.cat(streams, dim=2)
    if spec.joint == "mlp":
        return linear(p, "joint.linear2", torch.relu(linear(p, "joint.linear1", joint)))
    return linear(p, "joint.projection", joint)


def transformer(p, spec, streams, masks, dropout):
    """The joint multimodal transformer, without J, and the vanilla one."""
    batch, length, d = streams[0].shape
    chosen = branches(spec)
    used = {stream for branch in chosen for stream in branch}
    if spec.model == "jmt":
        masks = masks + [torch.stack(masks).any(dim=0)]
        joint = joint_stream(p, spec, streams, masks) if len(streams) in used else None
        streams = streams + [joint]
    streams = [encoder_over_time(p, spec, name, streams[s], masks[s], dropout) if s in used else None
               for s, name in enumerate(spec.streams)]
    tokens, valid = [], []
    for q, k in chosen:
        queries, keys = masks[q], masks[k]
        if spec.attn_form == "paper_literal":
            queries = keys = masks[q] & masks[k]
        tokens.append(cross_attention(p, spec, q, k, streams, keys, dropout))
        some = keys.cummax(dim=1).values if spec.causal else keys.any(dim=1, keepdim=True)
        valid.append(queries & some)
    if spec.model == "mt" or spec.output != "self_attention":
        beside = torch.cat([t * v[:, :, None] for t, v in zip(tokens, valid)], dim=2)
        if spec.model == "mt" or spec.output == "fc":
            return linear(p, "fusion", beside)
        some = torch.stack(valid).any(dim=0)
        return encoder(p, "fusion", 1, spec.heads, beside, some, spec.causal, dropout)
    stack = torch.stack(tokens, dim=2)
    if spec.token_type:
        stack = stack + p["token.type.weight"]
    stack = stack.reshape(batch * length, len(chosen), d)
    valid = torch.stack(valid, dim=2).reshape(batch * length, len(chosen))
    stack = encoder(p, "token", 1, spec.heads, stack, valid, False, dropout)
    if spec.token == "last": # dropout's numbers are those of the token that is kept
        last = select(stack, valid, "last")[:, None]
        fused = attention(p, "token.attention", spec.heads, last, stack, valid, False, dropout)
        return fused.reshape(batch, length, d)
    stack = attention(p, "token.attention", spec.heads, stack, stack, valid, False, dropout)
    return select(stack, valid, spec.token).reshape(batch, length, -1)


def intra(p, spec, name, parts, masks, dropout):
    """One stream of a modality's two: beside one another through a linear layer, what is missing as
    0; or two tokens at each step, encoder layer, attention, and of that the last token valid."""
    label = name + ".intra"
    if spec.intra[name] == "concat_fc":
        both = [x * mask[:, :, None] for x, mask in zip(parts, masks)]
        return linear(p, label, torch.cat(both, dim=2))
    batch, length, d = parts[0].shape
    tokens = torch.stack(parts, dim=2).reshape(batch * length, 2, d)
    valid = torch.stack(masks, dim=2).reshape(batch * length, 2)
    tokens = encoder(p, label, 1, spec.heads, tokens, valid, False, dropout)
    last = select(tokens, valid, "last")[:, None] # dropout's numbers are those of this token
    fused = attention(p, label + ".attention", spec.heads, last, tokens, valid, False, dropout)
    return fused.reshape(batch, length, d)


def fuse(p, spec, streams, masks, dropout):
    if spec.model in ("jca", "rjcma"):
        times = spec.recursions if spec.model == "rjcma" else 1
        return rivals.joint_cross_attention(p, spec.modalities, streams, masks, times)
    if spec.model == "lfan":
        return rivals.leader_follower(p, spec.modalities, streams, masks, spec.heads)
    if spec.model == "can":
        return rivals.channel_attention(p, spec.modalities, streams, masks)
    if spec.model in ("jmt", "jmt_no_joint", "mt"):
        return transformer(p, spec, streams, masks, dropout)
    if spec.model == "unimodal":
        return streams[0]
    beside = torch.cat(streams, dim=2)
    if spec.model == "concat_att":
        scores = linear(p, "fusion.attention", torch.tanh(beside))
        beside = beside * torch.softmax(scores, dim=2)
    fused = linear(p, "fusion", beside)
    if spec.model != "concat_encoder":
        return fused
    valid = torch.stack(masks).any(dim=0)
    return encoder_over_time(p, spec, "fusion", fused, valid, dropout)


def decide(p, spec, streams, masks, dropout):
    """Decision fusion: mean of predictions, sum of logits, over the modalities that are there."""
    hidden = [dropout(name + ".head.2", torch.relu(linear(p, name + ".head.0", x)))
              for name, x in zip(spec.modalities, streams)]
    valid = torch.stack(masks, dim=2).flatten(0, 1)
    outputs = {}
    for target in spec.targets:
        each = torch.stack([linear(p, f"{name}.{target}.head.3", x)
                            for name, x in zip(spec.modalities, hidden)], dim=2)
        columns = spec.columns(target)
        logits = spec.targets[target]["loss"].endswith("cross_entropy")
        y = select(each.flatten(0, 1), valid, "sum" if logits else "mean")
        y = y.reshape(each.shape[0], each.shape[1], columns)
        outputs[target] = y if columns > 1 else y[:, :, 0]
    return outputs


def forward(p, spec, inputs, masks, dropout=None):
    """inputs [B,L,D] and masks [B,L] (bool) by modality, in the order of spec.inputs -> outputs by
    target, [B,L] or [B,L,C]. dropout(name, x): what stands where dropout may stand."""
    keep_or_drop = keep if dropout is None else dropout
    zero = torch.zeros((), dtype=inputs[0].dtype)
    streams, valid, rest = [], [], iter(zip(inputs, masks))
    for stream in spec.modalities:
        parts, there = [], []
        for name in spec.parts[stream]:
            x, mask = next(rest)
            x = torch.where(mask[:, :, None], x, zero)
            if spec.fronts[name] == "linear":
                x = linear(p, name + ".front", x)
            elif spec.fronts[name] == "tcn":
                x = tcn_front(p, name + ".front", spec.tcn[name], x, mask, keep_or_drop)
            parts.append(x)
            there.append(mask)
        x, mask = parts[0], torch.stack(there).any(dim=0)
        if len(parts) == 2:
            x = intra(p, spec, stream, parts, there, keep_or_drop)
        if spec.model not in ("unimodal", "decision"):
            if spec.normalize == "l2":
                x = x / x.norm(dim=2, keepdim=True).clamp_min(1e-12)
            elif spec.normalize == "layernorm":
                x = layer_norm(p, stream + ".norm", x)
        streams.append(torch.where(mask[:, :, None], x, zero))
        valid.append(mask)
    masks = valid
    if spec.model == "decision":
        return decide(p, spec, streams, masks, keep_or_drop)
    fused = fuse(p, spec, streams, masks, keep_or_drop)
    outputs = {}
    for name in spec.targets:
        head = "head" if spec.model == "unimodal" else name + ".head"
        hidden = torch.relu(linear(p, head + ".0", fused))
        hidden = keep_or_drop(head + ".2", hidden)
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


def weights_of(target, like):
    """Of the classes, or of the label 1; None: all the same. `balanced`: the caller has put numbers."""
    weights = target["class_weights"]
    if weights == "none":
        return None
    return torch.tensor(weights if isinstance(weights, list) else [weights], dtype=like.dtype)


def loss_of(spec, outputs, targets):
    """Sum over targets of weight * loss over all labels that are not NaN."""
    total = 0.0
    for name, target in spec.targets.items():
        valid = ~torch.isnan(targets[name])
        x, y = outputs[name][valid], targets[name][valid]
        if len(y) == 0:
            continue
        if target["loss"] == "ccc":
            loss = ccc_loss(x, y, spec.ccc_unbiased) + target["mse_weight"] * ((x - y) ** 2).mean()
        elif target["loss"] == "mse":
            loss = ((x - y) ** 2).mean()
        elif target["loss"] == "binary_cross_entropy":
            loss = F.binary_cross_entropy_with_logits(x, y, pos_weight=weights_of(target, x))
        else:
            loss = F.cross_entropy(x, y.long(), weight=weights_of(target, x),
                                   label_smoothing=target["label_smoothing"])
        total = total + target["weight"] * loss
    return total
