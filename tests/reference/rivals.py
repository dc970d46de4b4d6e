"""The fusions that the joint multimodal transformer is compared with, in plain PyTorch, from the formulas of
their papers: parameters by name, streams [B,L,d] and masks [B,L] by modality."""
import math

import torch
import torch.nn.functional as F


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def there(x, valid):
    """0 where not valid."""
    return torch.where(valid, x, torch.zeros((), dtype=x.dtype))


def softmax(scores, valid):
    """Over those of the last axis that are valid; all 0 where none is."""
    some = valid.any(dim=-1, keepdim=True)
    return there(torch.softmax(scores.masked_fill(~valid & some, -math.inf), dim=-1), some)


def joint_cross_attention(p, names, streams, masks, times):
    """arXiv 2203.14779; `times` over, each on what the last gave: arXiv 2403.13659. Matrices by features, as
    printed: X' W_j J is [d, M d], H is [d, k]."""
    joint = torch.cat(streams, dim=2)
    for _ in range(times):
        attended = []
        for name, x, mask in zip(names, streams, masks):
            w = {what: p[f"{name}.jca.{what}.weight"] for what in ("joint", "own", "cross", "out")}
            turned = x.transpose(1, 2)
            c = torch.tanh(F.linear(turned, w["joint"]) @ joint / math.sqrt(joint.shape[2]))
            h = torch.relu(F.linear(turned, w["own"]) + F.linear(c, w["cross"]))
            y = F.linear(h, w["out"]).transpose(1, 2) + x
            attended.append(there(y, mask[:, :, None]))
        streams, joint = attended, torch.cat(attended, dim=2)
    return joint


def leader_follower(p, names, streams, masks, heads):
    """arXiv 2107.01175: at each step softmax(K Q' / sqrt(d)) V over the modalities, LN(it + V), beside the
    first modality; one that is not there is no query, and its token 0."""
    q, k, v = (torch.stack([linear(p, f"{name}.{what}", x) for name, x in zip(names, streams)], dim=2)
               for what in ("query", "key", "value"))
    valid = torch.stack(masks, dim=2)
    mixed = []
    for q_head, k_head, v_head in zip(*(x.chunk(heads, dim=3) for x in (q, k, v))):
        scores = k_head @ q_head.transpose(2, 3) / math.sqrt(q_head.shape[3])
        mixed.append(softmax(scores, valid[:, :, None, :].expand(scores.shape)) @ v_head)
    y = F.layer_norm(torch.cat(mixed, dim=3) + v, v.shape[3:], p["fusion.norm.weight"],
                     p["fusion.norm.bias"], 1e-5)
    return torch.cat([streams[0], there(y, valid[:, :, :, None]).flatten(2)], dim=2)


def channel_attention(p, names, streams, masks):
    """arXiv 2303.10335: a weight for each modality of a step, over those that are there."""
    parts = [there(linear(p, name + ".fusion", x), mask[:, :, None])
             for name, x, mask in zip(names, streams, masks)]
    scores = linear(p, "fusion.score", torch.cat(parts, dim=2))
    weights = softmax(scores, torch.stack(masks, dim=2))
    return torch.cat([part * weights[:, :, m:m + 1] for m, part in enumerate(parts)], dim=2)
