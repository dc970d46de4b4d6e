"""Writes tests/golden/vectors/log_mel_*.npy by torch.stft in float64.

    python3 tests/reference/write_log_mel.py

The samples are integers by a formula, which tests/unit/test_log_mel.c repeats."""
import os
import struct

import torch

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "vectors")
RATE, SIZE, WINDOW, HOP, BANDS, CLIP_MIN = 44100, 1024, 882, 441, 64, 45599


def samples(count):
    """A sweep of a triangle wave and noise."""
    state, out = 1, []
    for i in range(count):
        state = (state * 1103515245 + 12345) % 2 ** 31
        sweep = abs(i * i % 65536 - 32768) - 16384
        out.append(sweep + (state >> 16) % 2048 - 1024)
    return torch.tensor(out, dtype=torch.float64) / 32768


def filters():
    hz = torch.arange(SIZE // 2 + 1, dtype=torch.float64) * RATE / SIZE
    top = 2595 * torch.log10(torch.tensor(1 + RATE / 2 / 700, dtype=torch.float64))
    points = 700 * (10 ** (top * torch.arange(BANDS + 2) / (BANDS + 1) / 2595) - 1)
    low, centre, high = points[:-2, None], points[1:-1, None], points[2:, None]
    bank = torch.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)).clamp(min=0)
    assert int((bank > 0).sum()) == 996 and bool((bank.sum(1) > 0).all())
    return bank


def log_mel(x):
    x = torch.nn.functional.pad(x, (max(0, CLIP_MIN - len(x)), 0))
    spectrum = torch.stft(x, SIZE, HOP, WINDOW, torch.hann_window(WINDOW, dtype=torch.float64),
                          center=True, pad_mode="reflect", return_complex=True)
    decibels = 10 * torch.log10((filters() @ spectrum.abs() ** 2).clamp(min=1e-10))
    decibels = decibels.clamp(min=float(decibels.max()) - 80)
    return ((decibels + 14.8) / 19.895).T


def save(name, x):
    text = repr({"descr": "<f4", "fortran_order": False, "shape": tuple(x.shape)}).encode()
    text += b" " * (-(11 + len(text)) % 64) + b"\n"
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text)
        file.write(struct.pack("<%df" % x.numel(), *x.reshape(-1).tolist()))


save("log_mel_clip.npy", log_mel(samples(47040)))
save("log_mel_short.npy", log_mel(samples(5000)))
