"""Weights, inputs and targets by closed formulas, and the sketches by which big tensors are
compared.

Standard library alone: the generator of the stored vectors and the tests that read them share this
file, so neither has to store what goes in.
"""
import array
import math

PERIOD = 9973


def count_of(shape):
    count = 1
    for extent in shape:
        count *= extent
    return count


def is_gain(name):
    return name.endswith("norm1.weight") or name.endswith("norm2.weight")


def tile(pattern, count):
    """The first `count` values of a pattern that repeats."""
    values = array.array("d", pattern)
    values = values * (count // len(values) + 1)
    return values[:count]


def appendix_a_weight(number, name, shape):
    """jmt.md, appendix A: 1.5 sin(0.37 (e+1)^2 + 1.7 t + 0.3); gains 1 + 0.1 sin(the same)."""
    phase = [math.sin(0.37 * (e + 1) ** 2 + 1.7 * number + 0.3) for e in range(count_of(shape))]
    if is_gain(name):
        return array.array("d", [1 + 0.1 * s for s in phase])
    return array.array("d", [1.5 * s for s in phase])


def full_size_weight(number, name, shape, scale=0.05):
    """scale * sin(0.37 ((e+1)^2 mod 9973) + 1.7 t + 0.3), exact integers; gains 1 + that."""
    gain = 1.0 if is_gain(name) else 0.0
    count = count_of(shape)
    pattern = [gain + scale * math.sin(0.37 * ((e + 1) ** 2 % PERIOD) + 1.7 * number + 0.3)
               for e in range(min(PERIOD, count))]
    return tile(pattern, count)


def backbone_weight(number, name, shape):
    """Scaled so that activations neither vanish nor explode behind twenty layers: as He has it for
    convolutions; variances, gains about 1."""
    if count_of(shape) == shape[0]:
        centre = 1.0 if name.endswith((".weight", "weight_g", "running_var")) else 0.0
        if name.endswith("res_layer.4.weight"): # of 24 residual branches, none normalised behind
            centre = 0.2
        return array.array("d", [centre + v for v in full_size_weight(number, "", shape, 0.2)])
    if name.endswith("head.3.weight"):
        return full_size_weight(number, "", shape, 0.2)
    return full_size_weight(number, "", shape, 2.0 / math.sqrt(count_of(shape) // shape[0]))


def full_size_input(number, shape):
    return array.array("d", [math.sin(0.29 * ((e + 3) ** 2 % PERIOD) + 2.3 * number + 0.7)
                             for e in range(count_of(shape))])


def full_size_target(number, shape):
    return array.array("d", [0.8 * math.sin(0.53 * ((e + 5) ** 2 % 997) + 0.9 * number)
                             for e in range(count_of(shape))])


def mask_of(number, batch, length, missing):
    """About a quarter of the steps masked; sample `missing` (or None) has none valid at all."""
    state, values = 12345 + 7919 * number, array.array("B")
    for b in range(batch):
        for _ in range(length):
            state = (state * 1103515245 + 12345) % 2 ** 31
            values.append(0 if b == missing or (state >> 16) % 4 == 0 else 1)
    return values


# --- sketches -------------------------------------------------------------------------------------

def sketch_indices(count, entries):
    if count <= entries:
        return list(range(count))
    return [(613 * k * k + 7919 * k + 5) % count for k in range(entries)]


_PROJECTION = [math.cos(0.61 * (e * e % 1009) + 0.2) for e in range(1009)]


def sketch(values, entries):
    """norm, product with a fixed vector that no tensor resembles, `entries` elements (0 behind the
    last of a small tensor): 2 + entries doubles."""
    count = len(values)
    norm = math.sqrt(sum(map(float.__mul__, values, values)))
    product = sum(map(float.__mul__, values, tile(_PROJECTION, count)))
    picked = [values[i] for i in sketch_indices(count, entries)]
    return [norm, product] + picked + [0.0] * (entries - len(picked))
