"""The peer of tests/bench/loader: a DataLoader over h5py, as fast as it goes: whole batches at once
into one array (no collation of samples), workers that stay.

    loader_peer.py SHARD WINDOW BATCH WORKERS MODALITY... TARGET TARGET

Reads lines: "sums" prints the sum of every batch of the epoch, anything else the milliseconds of an
epoch. The order is a fixed stride over the samples."""
import json
import sys
import time

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

STRIDE = 611


class Windows(Dataset):
    def __init__(self, path, window, modalities, targets):
        self.path, self.window, self.names = path, window, None
        self.modalities, self.targets = modalities, targets
        with h5py.File(path, "r") as file:
            index = file[f"modalities/{modalities[0]}/index"][:]
            self.dims = [file[f"modalities/{m}/values"].shape[1] for m in modalities]
        self.first = [int(o) + i * window for o, n in zip(index["offset"], index["length"])
                      for i in range(int(n) // window)]

    def __len__(self):
        return len(self.first)

    def open(self):
        """In the process that reads: HDF5 handles do not survive a fork."""
        self.names = h5py.File(self.path, "r")
        self.x = [self.names[f"modalities/{m}/values"] for m in self.modalities]
        self.mask = [self.names[f"modalities/{m}/valid"] for m in self.modalities]
        self.y = [self.names[f"targets/{t}/values"] for t in self.targets]
        self.valid = [self.names[f"targets/{t}/valid"] for t in self.targets]

    def __getitems__(self, numbers):
        if self.names is None:
            self.open()
        count, window = len(numbers), self.window
        x = [np.empty((count, window, dim), np.float32) for dim in self.dims]
        mask = [np.empty((count, window), np.uint8) for _ in self.dims]
        y = [np.empty((count, window, 1), np.float32) for _ in self.targets]
        valid = [np.empty((count, window), np.uint8) for _ in self.targets]
        for i, number in enumerate(numbers):
            rows = np.s_[self.first[number]:self.first[number] + window]
            for source, to in zip(self.x + self.mask + self.y + self.valid, x + mask + y + valid):
                source.read_direct(to, rows, np.s_[i])
        for values, there in zip(y, valid):
            values[there == 0] = np.nan
        return [torch.from_numpy(a) for a in x + mask + y]


def same(batch):
    return batch


def main():
    path, window, batch, workers = sys.argv[1], *map(int, sys.argv[2:5])
    names = sys.argv[5:]
    torch.set_num_threads(1)
    windows = Windows(path, window, names[:-2], names[-2:])
    order = [i * STRIDE % len(windows) for i in range(len(windows))]
    loader = DataLoader(windows, batch_size=batch, sampler=order, num_workers=workers,
                        collate_fn=same, persistent_workers=workers > 0)
    count = len(names) - 2
    for line in sys.stdin:
        begin = time.perf_counter()
        if line == "sums\n":
            sums = [sum(float(a.double().sum()) for a in b[:count])
                    + sum(float(a.double().nansum()) for a in b[2 * count:]) for b in loader]
            print(json.dumps(sums), flush=True)
            continue
        for _ in loader:
            pass
        print(1e3 * (time.perf_counter() - begin), flush=True)


main()
