"""The reference judged by PyTorch's own modules, so that a slip in it is not blamed on others."""
import json
import types

import torch
import torch.nn.functional as F

import models


def encoder_check():
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
    got = models.encoder(p, "x", 1, heads, x, valid)
    error = float(((want - got).norm() / want.norm()).detach())
    if error > 1e-13:
        raise AssertionError(f"encoder differs from torch.nn by {error}")
    return max(error, over_samples_check(theirs, state, p, x))


def over_samples_check(theirs, state, p, x):
    """As the published code for BioVid calls it: a layer whose first axis is time, on [batch, steps, d]."""
    published = torch.nn.TransformerEncoderLayer(x.shape[2], theirs.self_attn.num_heads,
                                                 theirs.linear1.out_features, dropout=0.0).double()
    published.load_state_dict(state)
    want = published(x)
    spec = types.SimpleNamespace(position="none", over_samples=True, model="jmt", layers=1,
                                 heads=theirs.self_attn.num_heads)
    got = models.encoder_over_time(p, spec, "x", x, torch.ones(x.shape[:2], dtype=torch.bool), models.keep)
    error = float(((want - got).norm() / want.norm()).detach())
    if error > 1e-13:
        raise AssertionError(f"an encoder over samples differs from torch.nn by {error}")
    return error


class TcnBlock(torch.nn.Module):
    """Bai, Kolter and Koltun (2018) with leaky ReLU, from PyTorch's own parts."""

    def __init__(self, tcn, inputs, outputs, dilation):
        super().__init__()
        span = (tcn.kernel - 1) * dilation
        self.before, self.after = (span, 0) if tcn.causal else (span // 2, span - span // 2)

        def conv(width):
            return torch.nn.utils.weight_norm( # the parametrised one names its tensors otherwise
                torch.nn.Conv1d(width, outputs, tcn.kernel, dilation=dilation, dtype=torch.float64))

        self.conv1, self.conv2 = conv(inputs), conv(outputs)
        self.downsample = torch.nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x):
        y = x
        for conv in (self.conv1, self.conv2):
            y = F.leaky_relu(conv(F.pad(y, (self.before, self.after))))
        return F.leaky_relu(y + (x if self.downsample is None else self.downsample(x)))


def tcn_check():
    """Front, parameter names and shapes, gradients, and that g begins as |v|, against torch.nn; and a
    masked step, which all layers see as 0, against a sample that ends before it."""
    torch.manual_seed(4)
    worst = 0.0
    for causal, kernel in ((True, 5), (False, 3), (False, 4)):
        tcn = models.Tcn({"tcn_blocks": 3, "tcn_kernel": kernel, "tcn_causal": causal, "tcn_dropout": 0.0})
        theirs = torch.nn.Sequential(*(TcnBlock(tcn, 6 if b == 0 else 4, 4, 2 ** b)
                                       for b in range(3))).double()
        for block in theirs:
            norm = block.conv1.weight_v.flatten(1).norm(dim=1).reshape(-1, 1, 1)
            worst = max(worst, float((block.conv1.weight_g - norm).detach().abs().max()))
        for parameter in theirs.parameters():
            torch.nn.init.normal_(parameter)
        names = dict(theirs.named_parameters())
        p = {"x." + name: value.detach().clone().requires_grad_() for name, value in names.items()}
        x = torch.randn(3, 7, 6, dtype=torch.float64)
        mask = torch.ones(3, 7, dtype=torch.bool)
        want = theirs(x.transpose(1, 2)).transpose(1, 2)
        got = models.tcn_front(p, "x", tcn, x, mask)
        want.cos().sum().backward()
        got.cos().sum().backward()
        pairs = [(want, got)] + [(value.grad, p["x." + name].grad) for name, value in names.items()]
        mask[:, 5:] = False
        pairs.append((models.tcn_front(p, "x", tcn, x[:, :5], mask[:, :5]),
                      models.tcn_front(p, "x", tcn, x, mask)[:, :5]))
        worst = max([worst] + [float(((a - b).norm() / a.norm()).detach()) for a, b in pairs])
    if worst > 1e-12:
        raise AssertionError(f"the TCN differs from torch.nn by {worst}")
    return worst


if __name__ == "__main__":
    print(json.dumps({"encoder_against_torch_nn": encoder_check(), "tcn_against_torch_nn": tcn_check()}))
