"""Whether two programs make the same of a step. Full floats are near each other. Of two ways to round to bf16 each is
beside what full floats give: how much rounding does to a gradient is the model's, not the program's, so ours is
measured by the peer's. Standard library only."""
import statistics

F32_APART = 0.03 # of the largest number of each tensor, TF32 allowed
F32_APART_CPU = 5e-3
# bf16: times what the peer's own rounding does to a tensor. Between our backends and seeds it is up to 1.4. A gradient
# that is 0 or twice itself is off by 1.
BF16_RATIO, BF16_APART = 3, 0.75


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


def same_results(answer, f32_apart=F32_APART):
    """(exit code, why) of what a peer and we make of the same step."""
    found = answer.get("apart")
    if found is None:
        return int(not answer["max_rel"] < f32_apart), f"largest difference {answer['max_rel']:.3g}"
    if found["peer_usual"] == 0:
        return 3, "the peer's own bf16 is wrong: nothing to compare with"
    right = found["ratio"] < BF16_RATIO and found["ours_worst"] < BF16_APART
    return int(not right), (
        f"{found['tensor']}: {found['ours']:.3g} from full floats, the peer {found['peer']:.3g} (usually "
        f"{found['peer_usual']:.3g}): {found['ratio']:.3g} times as far, less than {BF16_RATIO} is asked; at worst "
        f"{found['ours_worst']:.3g} of {BF16_APART}")
