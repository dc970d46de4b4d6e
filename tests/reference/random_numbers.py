"""The program's random numbers: Philox4x32-10 (Salmon et al., SC 2011), keyed by what they are for."""
import numpy as np


def philox(counter, key):
    """counter: four uint32 arrays, key: two integers -> four uint32 arrays"""
    c = [np.asarray(x, np.uint64) for x in counter]
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def check_philox():
    """The paper's own test vector for counter and key 0."""
    zero = np.zeros(1, np.uint64)
    got = [int(x[0]) for x in philox((zero, zero, zero, zero), (0, 0))]
    assert got == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8], got


def fnv1a(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) % 2 ** 64
    return value


def blocks(seed, name, turn, indexes):
    """[indexes, 4] words, keyed by (seed, name, turn)"""
    upper = (fnv1a(name) + turn * 0x9E3779B97F4A7C15) % 2 ** 64
    indexes = np.asarray(indexes, np.uint64)
    zero = np.zeros_like(indexes)
    words = philox((indexes & np.uint64(0xFFFFFFFF), indexes >> np.uint64(32),
                    zero + np.uint64(upper & 0xFFFFFFFF), zero + np.uint64(upper >> 32)),
                   (seed & 0xFFFFFFFF, seed >> 32))
    return np.stack(words, axis=1)


def uniforms(seed, name, step, count):
    """count numbers in [0, 1) of 24 bits"""
    words = blocks(seed, name, step, np.arange((count + 3) // 4))
    return (words.reshape(-1)[:count] >> np.uint64(8)) / 2.0 ** 24


def permutation(seed, name, count, turn=0):
    """Fisher-Yates from the end; place i is exchanged with floor(word_i (i + 1) / 2^32)."""
    words = blocks(seed, name, turn, np.arange(count))[:, 0]
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = (int(words[i]) * (i + 1)) >> 32
        order[i], order[j] = order[j], order[i]
    return order
