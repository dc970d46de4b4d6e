"""What is given to `jmt step` in the golden tests, all of it by closed formulas: configuration,
weights, inputs, masks, and targets or cotangents. Shared with the generator of the stored
vectors."""
import array
import math
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VECTORS = os.path.join(HERE, "vectors")
sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))

import formulas  # noqa: E402


class Case:
    """One step. `config` is a path below the root or YAML text; `weight(number, name, shape)` and
    `batch` make the numbers; `entries` elements of each gradient are stored."""

    def __init__(self, name, config, sets, weight, batch, entries):
        self.name, self.config, self.sets = name, config, sets
        self.weight, self.batch, self.entries = weight, batch, entries

    def arguments(self, directory):
        """CONFIG [--set K=V]..., as every command takes them."""
        path = os.path.join(ROOT, self.config)
        if "\n" in self.config:
            path = os.path.join(directory, self.name + ".yaml")
            with open(path, "w") as file:
                file.write(self.config)
        return [path] + [word for pair in self.sets for word in ("--set", pair)]

    def vectors(self):
        return os.path.join(VECTORS, self.name + ".safetensors")


# --- appendix A of the method's specification: 974 parameters -------------------------------------

def _appendix_a_batch(objective):
    length, dim = 3, 4
    video = [math.sin(0.5 * i + 1.3 * (k + 1) * (i + 1)) for i in range(length) for k in range(dim)]
    audio = [math.cos(0.7 * i + 1.1 * (k + 1) * (i + 2)) for i in range(length) for k in range(dim)]
    batch = {"input/video": ((1, length, dim), array.array("d", video)),
             "input/audio": ((1, length, dim), array.array("d", audio))}
    rows = {"S": ("cotangent/", [1.0, 2.0, 3.0], [-0.7, -1.4, -2.1]),
            "ccc": ("target/", [0.1, -0.3, 0.4], [0.2, 0.0, -0.5])}
    prefix, valence, arousal = rows[objective]
    batch[prefix + "valence"] = ((1, length), array.array("d", valence))
    batch[prefix + "arousal"] = ((1, length), array.array("d", arousal))
    return batch


def appendix_a():
    return [Case(f"appendix_a_h{heads}_{objective}", f"configs/golden/h{heads}.yaml", [],
                 formulas.appendix_a_weight, _appendix_a_batch(objective), 48)
            for heads in (1, 2) for objective in ("S", "ccc")]


# --- the published size ---------------------------------------------------------------------------

FULL_SIZE_BATCH = 2


def _full_size_batch():
    shape = (FULL_SIZE_BATCH, 16, 512)
    batch = {}
    for number, name in enumerate(("video", "audio")):
        batch["input/" + name] = (shape, formulas.full_size_input(number, shape))
    for number, name in enumerate(("valence", "arousal")):
        batch["target/" + name] = (shape[:2], formulas.full_size_target(number, shape[:2]))
    return batch


def full_size():
    return [Case("full_" + model, "configs/full/jmt.yaml", ["model.name=" + model],
                 formulas.full_size_weight, _full_size_batch(), 64)
            for model in ("jmt", "mt", "concat")]


# --- masks, odd sizes, one to four modalities -----------------------------------------------------

BATCH, LENGTH, DIM, HEADS, FF, HIDDEN = 3, 5, 12, 3, 7, 5
NAMES = ("video", "audio", "text", "pulse")
DIMS = (12, 9, 12, 4) # where they differ from model.dim a linear front stands before


def _masked_config(model, count, token, layers, options=(), window=LENGTH + 4, fronts=()):
    lines = [f"batch: {BATCH}", "virtual_shards: 1",
             "model:", f"  name: {model}", f"  dim: {DIM}", f"  ff: {FF}", f"  heads: {HEADS}",
             f"  layers: {layers}", f"  head_hidden: {HIDDEN}", f"  token: {token}",
             *(f"  {key}: {value}" for key, value in options),
             "data:", f"  window: {window}", "  standardize: none", "modalities:"]
    fronts = dict(fronts)
    lines += [f"  {NAMES[m]}: {{dim: {DIMS[m]}{fronts.get(NAMES[m], '')}}}" for m in range(count)]
    lines += ["targets:", "  valence: {loss: ccc}",
              "  kind: {loss: cross_entropy, classes: 3, weight: 0.7}",
              "  level: {loss: mse, weight: 0.3}"]
    return "\n".join(lines) + "\n"


def _masked_batch(count, cotangent):
    """Sample 0 lacks a quarter of each modality's steps; sample 1 lacks modality 0 wholly, sample 2
    the last one. At step 2 of sample 0 nothing is valid. What is masked holds NaN."""
    batch = {}
    for m in range(count):
        mask = formulas.mask_of(m, BATCH, LENGTH, {0: 1, count - 1: 2}.get(m))
        mask[2] = 0
        shape = (BATCH, LENGTH, DIMS[m])
        values = formulas.full_size_input(m, shape)
        for row, valid in enumerate(mask):
            if not valid:
                for k in range(DIMS[m]):
                    values[row * DIMS[m] + k] = math.nan
        batch["input/" + NAMES[m]] = (shape, values)
        batch["mask/" + NAMES[m]] = ((BATCH, LENGTH), mask)
    steps = (BATCH, LENGTH)
    for t, (name, columns) in enumerate((("valence", 1), ("kind", 3), ("level", 1))):
        if cotangent:
            shape = steps if columns == 1 else steps + (columns,)
            batch["cotangent/" + name] = (shape, formulas.full_size_target(t, shape))
            continue
        values = formulas.full_size_target(t, steps)
        if columns > 1:
            values = array.array("d", [float(int(abs(v) * 1e4) % columns) for v in values])
        values[3 * t + 4] = math.nan
        batch["target/" + name] = (steps, values)
    return batch


def _masked_weight(number, name, shape):
    return formulas.full_size_weight(number, name, shape, 0.5)


def masked():
    table = [("jmt", count, token, 1) for count in (1, 2, 3, 4) for token in ("last", "mean")]
    table += [("jmt", 3, "last", 2), ("mt", 2, "last", 1), ("mt", 3, "last", 2),
              ("concat", 3, "last", 1), ("concat_encoder", 3, "last", 2),
              ("unimodal", 1, "last", 1), ("mt", 4, "last", 1), ("concat", 2, "last", 1),
              ("concat", 4, "last", 1), ("concat", 1, "last", 1), ("concat_encoder", 4, "last", 1),
              ("jmt_no_joint", 4, "last", 1), ("decision", 4, "last", 1),
              ("concat_att", 4, "last", 1), ("mt", 2, "last", 2), ("mt", 3, "last", 1)]
    cases = []
    for number, (model, count, token, layers) in enumerate(table):
        name = f"masked_{model}_{count}_{token}_{layers}"
        cases.append(Case(name, _masked_config(model, count, token, layers), [], _masked_weight,
                          _masked_batch(count, number % 2 == 1), 12))
    return cases


# --- every form of the fusion ---------------------------------------------------------------------

EVERYTHING = "cross_weights: separate, cross_residual: true, cross_ffn: true, position: learned, " \
             "token_type: true, causal: true, token: max, branches: [-video<-text, -joint<-audio]"
VARIANTS = (
    ("no_joint_2", "jmt_no_joint", 2, 1, ""),
    ("no_joint_3_mean", "jmt_no_joint", 3, 1, "token: mean"),
    ("concat_att_1", "concat_att", 1, 1, ""),
    ("concat_att_3", "concat_att", 3, 1, ""),
    ("decision_1", "decision", 1, 1, ""),
    ("decision_3", "decision", 3, 1, ""),
    ("separate_3", "jmt", 3, 1, "cross_weights: separate"),
    ("separate_mt_3", "mt", 3, 1, "cross_weights: separate"),
    ("keep_3", "jmt", 3, 1, "branches: [text<-joint, video<-audio, joint<-text]"),
    ("drop_3", "jmt", 3, 1, "branches: [-joint<-text, -audio<-text]"),
    ("keep_two_streams", "jmt", 2, 1, "branches: [video<-audio, audio<-video]"),
    ("keep_one", "mt", 2, 1, "branches: [audio<-video]"),
    ("fc_2", "jmt", 2, 1, "output: fc"),
    ("fc_no_joint_3", "jmt_no_joint", 3, 1, "output: fc"),
    ("concat_encoder_2", "jmt", 2, 1, "output: concat_encoder"),
    ("max_3", "jmt", 3, 1, "token: max"),
    ("concat_2", "jmt", 2, 1, "token: concat"),
    ("residual_2", "jmt", 2, 1, "cross_residual: true"),
    ("residual_separate_mt_3", "mt", 3, 1, "cross_residual: true, cross_weights: separate"),
    ("ffn_2", "jmt", 2, 1, "cross_ffn: true"),
    ("residual_ffn_3", "jmt", 3, 2, "cross_residual: true, cross_ffn: true"),
    ("sinusoidal_2", "jmt", 2, 2, "position: sinusoidal"),
    ("learned_3", "jmt", 3, 1, "position: learned"),
    ("learned_encoder_2", "concat_encoder", 2, 1, "position: learned"),
    ("type_2", "jmt", 2, 1, "token_type: true"),
    ("causal_2", "jmt", 2, 1, "causal: true"),
    ("causal_mt_3", "mt", 3, 1, "causal: true"),
    ("causal_concat_encoder_2", "concat_encoder", 2, 2, "causal: true"),
    ("causal_output_encoder_2", "jmt", 2, 1, "causal: true, output: concat_encoder"),
    ("everything_3", "jmt", 3, 2, EVERYTHING),
    ("joint_mlp_3", "jmt", 3, 1, "joint: mlp"),
    ("joint_mlp_1", "jmt", 1, 1, "joint: mlp"),
    ("joint_sum_2", "jmt", 2, 1, "joint: sum"),
    ("joint_sum_1", "jmt", 1, 1, "joint: sum"),
    ("missing_2", "jmt", 2, 1, "missing: learned"),
    ("missing_mlp_4", "jmt", 4, 1, "missing: learned, joint: mlp"),
    ("missing_sum_causal_3", "jmt", 3, 1, "missing: learned, joint: sum, causal: true"),
    ("unnormalized_2", "jmt", 2, 1, "normalize: none"),
    ("unnormalized_concat_3", "concat", 3, 1, "normalize: none"),
    ("layernorm_3", "jmt", 3, 1, "normalize: layernorm"),
    ("layernorm_mt_2", "mt", 2, 1, "normalize: layernorm"),
    ("layernorm_concat_att_2", "concat_att", 2, 1, "normalize: layernorm"),
    ("literal_2", "jmt", 2, 1, "attn_form: paper_literal"),
    ("literal_no_joint_3", "jmt_no_joint", 3, 1, "attn_form: paper_literal"),
    ("literal_causal_mt_2", "mt", 2, 1, "attn_form: paper_literal, causal: true"),
    ("literal_everything_3", "jmt", 3, 2, "attn_form: paper_literal, cross_weights: separate, "
     "cross_residual: true, cross_ffn: true, joint: mlp, missing: learned, normalize: layernorm"),
) + tuple((f"{model}_{count}", model, count, 1, text) for model, text in
          (("jca", "fusion_dim: 7"), ("rjcma", "fusion_dim: 4, recursions: 3"),
           ("lfan", "fusion_dim: 6"), ("can", "fusion_dim: 5")) for count in (1, 2, 3, 4))


def _options(text):
    """"a: b, c: [d, e]" -> [(a, b), (c, "[d, e]")]"""
    pairs = []
    for part in text.split(", ") if text else []:
        if ": " in part:
            pairs.append(part.split(": ", 1))
        else:
            pairs[-1][1] += ", " + part
    return pairs


def losses():
    """Weights of classes, smoothed labels, yes and no, CCC beside MSE; masks and absent labels too."""
    cases = []
    for name, model, settings in LOSSES:
        lines = _masked_config(model, 2, "last", 1).splitlines()
        lines = lines[:lines.index("targets:") + 1]
        lines += [f"  {target}: {{{text}}}" for target, text in
                  zip(("valence", "kind", "level"), settings)]
        batch = _masked_batch(2, False)
        shape, values = batch["target/level"]
        values = [v if math.isnan(v) else float(int(abs(v) * 1e4) % 2) for v in values]
        assert {v for v in values if v == v} == {0.0, 1.0}
        batch["target/level"] = (shape, array.array("d", values))
        cases.append(Case("losses_" + name, "\n".join(lines) + "\n", [], _masked_weight, batch, 12))
    return cases


LOSSES = (
    ("weights", "jmt", ("loss: ccc, mse_weight: 0.4",
                        "loss: cross_entropy, classes: 3, class_weights: [0.5, 2, 1.25]",
                        "loss: binary_cross_entropy, class_weights: 3")),
    ("smoothing", "jmt", ("loss: ccc, mse_weight: 2, weight: 0.5",
                          "loss: cross_entropy, classes: 3, label_smoothing: 0.3",
                          "loss: binary_cross_entropy, weight: 0.3")),
    ("both", "jmt", ("loss: mse",
                     "loss: cross_entropy, classes: 3, label_smoothing: 0.1, weight: 0.7, "
                     "class_weights: [2, 0.25, 1]",
                     "loss: binary_cross_entropy, class_weights: 0.2")),
    ("decision", "decision", ("loss: mse", "loss: cross_entropy, classes: 3",
                              "loss: binary_cross_entropy")),
)


def variants():
    """The odd sizes and masks above, with what can be set about the fusion."""
    cases = []
    for number, (name, model, count, layers, text) in enumerate(VARIANTS):
        options = dict(_options(text))
        token = options.pop("token", "last")
        cases.append(Case("variant_" + name,
                          _masked_config(model, count, token, layers, options.items(),
                                         LENGTH), [],
                          _masked_weight, _masked_batch(count, number % 2 == 1), 12))
    return cases


# --- the published mistake: encoders that attend over samples --------------------------------------

OVER_SAMPLES = (("jmt_3", "jmt", 3, 2, ""), ("mt_2", "mt", 2, 1, ""),
                ("no_joint_2", "jmt_no_joint", 2, 1, "position: learned"),
                ("concat_encoder_2", "jmt", 2, 1, "output: concat_encoder, normalize: none"))


def over_samples():
    """The odd sizes and masks above; some steps are valid in one sample alone, in two, or in none."""
    return [Case("over_samples_" + name,
                 _masked_config(model, count, "last", layers, _options(text), LENGTH),
                 ["parity.attention_over_samples=true"], _masked_weight,
                 _masked_batch(count, number % 2 == 1), 12)
            for number, (name, model, count, layers, text) in enumerate(OVER_SAMPLES)]


# --- convolutions over time before the fusion -----------------------------------------------------

TCN = ", front: tcn, tcn_blocks: {}, tcn_kernel: {}, tcn_causal: {}"
FRONTS = (
    ("tcn_causal_2", "jmt", 2,
     {"video": TCN.format(3, 3, "true"), "audio": TCN.format(2, 2, "true")}),
    ("tcn_centred_3", "jmt", 3,
     {"audio": TCN.format(2, 3, "false"), "text": TCN.format(1, 4, "false")}),
    ("tcn_default_mt_2", "mt", 2, {"audio": ", front: tcn"}),
    ("tcn_unimodal_1", "unimodal", 1, {"video": TCN.format(2, 5, "false")}),
    ("tcn_decision_2", "decision", 2,
     {"video": TCN.format(1, 1, "true"), "audio": TCN.format(1, 3, "true")}),
)


def fronts():
    """The odd sizes and masks above behind a TCN of one modality or more."""
    return [Case("front_" + name, _masked_config(model, count, "last", 1, (), LENGTH, rows), [],
                 _masked_weight, _masked_batch(count, number % 2 == 0), 12)
            for number, (name, model, count, rows) in enumerate(FRONTS)]


# --- a modality made of two feature streams -------------------------------------------------------

PAIR = "  pair: {{of: [{}, {}], intra: {}}}\n"
ENCODER, CONCAT = "encoder_plus_self_attention", "concat_fc"
ORDER = (("modalities", "[text, pair, video]"),)
PAIRS = (
    ("encoder_2", "unimodal", 2, PAIR.format("video", "audio", ENCODER), {}, ()),
    ("encoder_3", "jmt", 3, PAIR.format("video", "audio", ENCODER), {}, ()),
    ("encoder_turned_3", "mt", 3, PAIR.format("text", "video", ENCODER),
     {"text": TCN.format(2, 3, "true")}, ()),
    ("concat_3", "jmt", 3, PAIR.format("audio", "video", CONCAT),
     {"audio": TCN.format(1, 2, "false")}, ()),
    ("concat_decision_4", "decision", 4, PAIR.format("pulse", "text", CONCAT), {}, ()),
    ("chosen_4", "concat", 4, PAIR.format("audio", "pulse", ENCODER), {}, ORDER),
)


def pairs():
    """The odd sizes and masks above, two modalities made one: at some steps only the first is valid,
    only the second, or none."""
    cases = []
    for number, (name, model, count, made, rows, options) in enumerate(PAIRS):
        config = _masked_config(model, count, "last", 1, options, LENGTH, rows)
        cases.append(Case("pair_" + name, config.replace("targets:\n", made + "targets:\n"), [],
                          _masked_weight, _masked_batch(count, number % 2 == 0), 12))
    return cases


# --- backbones ------------------------------------------------------------------------------------

# backbone, clip, size, channels of a signal, settings
BACKBONES = (
    ("r2plus1d_18", 3, 20, 3, ""),
    ("r2plus1d_18", 3, 33, 3, "batch_norm: shard, reduce: average"),
    ("r2plus1d_18", 2, 18, 3, "frozen: true, reduce: flatten"),
    ("r3d_18", 3, 20, 3, "reduce: average"),
    ("r3d_18", 2, 33, 3, "batch_norm: shard"),
    ("r3d_18", 2, 18, 3, "frozen: true"),
    ("i3d", 3, 20, 3, ""),
    ("i3d", 2, 33, 3, "batch_norm: shard"),
    ("i3d", 4, 17, 3, "frozen: true"),
    ("ir_resnet_50", 1, 40, 3, ""),
    ("ir_resnet_50", 1, 33, 3, "batch_norm: shard"),
    ("ir_resnet_50", 1, 20, 3, "frozen: true"),
    ("resnet_50", 1, 40, 3, "reduce: average"),
    ("resnet_50", 1, 36, 3, "batch_norm: shard"),
    ("vggish", 32, 0, 1, ""),
    ("resnet_18", 11, 0, 1, "reduce: average"),
    ("resnet_18", 11, 0, 1, "batch_norm: shard, reduce: flatten"),
    ("resnet_18", 11, 0, 1, "batch_norm: global"),
    ("r2plus1d_18", 2, 33, 3, "batch_norm: global, reduce: average"),
    ("cnn_1d", 41, 0, 1, ""),
    ("cnn_1d", 52, 0, 3, "fc_relu: true"),
)
MEL_BANDS = 64


def backbone_shape(row):
    """Of a step, as it is laid out: channels last."""
    name, clip, size, channels, _ = row
    if name == "cnn_1d":
        return (clip, channels)
    if name in ("ir_resnet_50", "resnet_50"):
        return (size, size, channels)
    if name == "vggish":
        return (clip, MEL_BANDS, 1)
    return (MEL_BANDS, clip, 1) if name == "resnet_18" else (clip, size, size, channels)


def backbone_name(row):
    name, clip, _, channels, text = row
    words = [value for _, value in _options(text)]
    return "_".join([name, str(clip), str(channels)] + words)


def backbones():
    """One modality behind a backbone and a head; two samples of two steps, one of them masked."""
    cases = []
    for row in BACKBONES:
        name, clip, size, _, text = row
        dim = formulas.count_of(backbone_shape(row))
        settings = [f"backbone: {name}", f"clip: {clip}", f"dim: {dim // clip}"]
        settings += [f"size: {size}"] if size else []
        settings += [text] if text else []
        lines = ["batch: 2", "virtual_shards: 1", "model: {name: unimodal, dim: 512}",
                 "data: {window: 2, standardize: none}", "modalities:",
                 f"  stream: {{{', '.join(settings)}}}", "targets:", "  valence: {loss: ccc}",
                 "  level: {loss: mse, weight: 0.3}"]
        values = formulas.full_size_input(0, (2, 2, dim))
        values[3 * dim:] = array.array("d", [math.nan]) * dim
        batch = {"input/stream": ((2, 2, dim), values),
                 "mask/stream": ((2, 2), array.array("B", [1, 1, 1, 0]))}
        for number, target in enumerate(("valence", "level")):
            batch["target/" + target] = ((2, 2), formulas.full_size_target(number, (2, 2)))
        cases.append(Case("backbone_" + backbone_name(row), "\n".join(lines) + "\n", [],
                          formulas.backbone_weight, batch, 64))
    return list(zip(BACKBONES, cases))
