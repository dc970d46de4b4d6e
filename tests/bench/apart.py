"""Two ways to round to bf16, beside what full floats give. How much that does to a gradient is the model's, not the
program's, so ours is measured by the peer's. Standard library only."""
import statistics


def size(error):
    """One that is no number is the largest."""
    return error if error == error else float("inf")


def apart(ours, peers, units):
    """Of each tensor's relative error. units: what one unit that only one side switches on (ReLU of what is nearly 0)
    can make of it, which is not counted. ratio: the worst tensor's error by the peer's of that tensor or, where that
    happens to be small, of half of all tensors. Where the peer's is no error but a mistake (PyTorch's CPU makes some
    in bf16) there is no ratio: peer_mistakes. peer_usual 0: more than half are. ours_worst:
    of those that are not the peer's worst, too."""
    known = {name: error for name, error in peers.items() if error < 1}
    usual = statistics.median(known.values()) if 2 * len(known) > len(peers) else 0.0
    ratios = {name: (ours[name] - units[name]) / max(error, usual, 1e-30) for name, error in known.items()}
    name = max(ratios, default=next(iter(peers)), key=lambda key: size(ratios[key]))
    return {"ratio": ratios.get(name, 0.0), "tensor": name, "ours": ours[name], "peer": peers[name],
            "peer_usual": usual, "ours_usual": statistics.median(ours.values()),
            "ours_worst": max((size(error) for key, error in ours.items()
                               if not error <= 1.5 * known.get(key, 0.0)), default=0.0),
            "peer_worst": max(known.values(), default=0.0), "peer_mistakes": len(peers) - len(known)}
