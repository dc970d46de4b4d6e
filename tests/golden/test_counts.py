"""Parameters and multiply-accumulates as `jmt plan` counts them, against the method's tables
(jmt.md 7.2, 7.3) and their formulas: MHA(Lq, Lk) = 2 Lq d^2 + 2 Lk d^2 + 2 Lq Lk d."""
import golden
import cases
import os

D, FF, L, HIDDEN, TOKENS = 512, 512, 16, 128, 6
FULL = os.path.join(cases.ROOT, "configs", "full", "jmt.yaml")
PARAMETERS = {"jmt": 11170818, "mt": 5913602, "concat": 656386}
FORMS = ((["name=jmt_no_joint"], 8017410), (["output=fc"], 11820034),
         (["cross_weights=separate"], 14322690), (["name=jmt_no_joint", "output=fc"], 5913602),
         (["name=decision"], 2 * 65922))
# jmt.md 7.1: TCN 1024->512x4, k5, at 7 steps; a unimodal head follows
TCN = ["--set", "modalities.i3d.front=tcn", "--set", "modalities.i3d.dim=1024", "--set",
       "model.modalities=i3d", "--set", "model.name=unimodal", "--set", "data.window=7"]
PAIR = ["--set", "modalities.first.dim=512", "--set", "modalities.second.dim=512", "--set",
        "modalities.pair.of=[first, second]", "--set", "model.modalities=pair", "--set",
        "model.name=unimodal"]
THREE = ["--set", "modalities.pulse.dim=512"]
FOUR = THREE + ["--set", "modalities.text.dim=512"]


# By hand: of each modality 16 x 16, k x 16, k x 1,024, 16 x k (jca); three linear layers, one norm (lfan); a
# linear layer, and the scores (can); and heads. lfan and can stand behind TCNs.
def heads_of(width):
    return 2 * (width * HIDDEN + HIDDEN + HIDDEN + 1)


TCN_128 = (512 + 7 * 128) * 128 * 5 + 8 * 2 * 128 + (512 + 1) * 128
RIVALS = {"jca": 2 * (16 * 16 + 32 * 16 + 32 * 1024 + 16 * 32) + heads_of(1024),
          "rjcma": 2 * (16 * 16 + 32 * 16 + 32 * 1024 + 16 * 32) + heads_of(1024),
          "lfan": 2 * TCN_128 + 2 * 3 * (128 + 1) * 32 + 2 * 32 + heads_of(128 + 2 * 32),
          "can": 2 * TCN_128 + 2 * (128 + 1) * 128 + (256 + 1) * 2 + heads_of(256)}


def head_macs(width):
    return 2 * L * (width * HIDDEN + HIDDEN)


# At the published size, by hand: of a modality X [16, d], J [16, 2 d]: W J, tanh(X' W J), W_x X, W_c C', W_h H (jca;
# rjcma twice); query, key, value of 32 columns, 2 x 2 scores and what they weigh at each step (lfan); a linear layer
# of 32 columns each, and the scores (can).
JCA = 2 * (16 * 16 * D + D * 2 * D * 16 + 32 * 16 * D + 32 * 2 * D * D + 16 * 32 * D)
RIVAL_MACS = {"jca": JCA + head_macs(2 * D), "rjcma": 2 * JCA + head_macs(2 * D),
              "lfan": 2 * L * 3 * D * 32 + L * 2 * 2 * 32 * 2 + head_macs(D + 2 * 32),
              "can": 2 * L * D * 32 + L * 64 * 2 + head_macs(64)}


def mha(queries, keys):
    return 2 * queries * D * D + 2 * keys * D * D + 2 * queries * keys * D


def encoder(length):
    return mha(length, length) + 2 * length * D * FF


HEADS = 2 * L * (D * HIDDEN + HIDDEN)
AS_WRITTEN = (L * 2 * D * D + 3 * encoder(L) + 6 * mha(L, L) + L * encoder(TOKENS)
              + L * mha(TOKENS, TOKENS) + HEADS)
# Queries are projected once per stream, not per branch, and ask K' q of the two streams that they meet, so that
# K is applied once, too; of the last attention only the token that
# is kept is projected, attends, and is projected out. One query asks K' q of the tokens themselves, and V is
# applied to their mean.
SHARED_QUERIES = 3 * L * D * D
SHARED_KEYS = 3 * L * D * D
ONE_TOKEN = L * (mha(TOKENS, TOKENS) - mha(1, TOKENS))
KEYS_OF_ONE = L * 2 * (TOKENS - 1) * D * D
MACS = {"jmt": AS_WRITTEN - SHARED_QUERIES - SHARED_KEYS - ONE_TOKEN - KEYS_OF_ONE,
        "mt": 2 * encoder(L) + 2 * mha(L, L) + L * 2 * D * D + HEADS,
        "concat": L * 2 * D * D + HEADS}


def main():
    report = golden.Report()
    report.check("JMT as written", "the formula against the table, million", abs(AS_WRITTEN / 1e6
                                                                            - 441.85), 0.005)
    report.check("JMT, one token", "the formula against the table, million",
                 abs((AS_WRITTEN - SHARED_QUERIES - ONE_TOKEN) / 1e6 - 386.8), 0.05)
    for model in PARAMETERS:
        plan = golden.plan([FULL, "--set", "model.name=" + model])
        report.equal(model + ": parameters", plan["parameters"], PARAMETERS[model])
        report.equal(model + ": multiply-accumulates", plan["macs"], MACS[model])
        report.equal(model + ": sum over layers", sum(x["macs"] for x in plan["layers"]),
                     MACS[model])
    for sets, count in FORMS:
        words = [word for pair in sets for word in ("--set", "model." + pair)]
        report.equal(" ".join(sets), golden.plan([FULL] + words)["parameters"], count)
    report.equal("JMT, 3 modalities", golden.plan([FULL] + THREE)["parameters"], 14061570)
    report.equal("JMT, 4 modalities", golden.plan([FULL] + FOUR)["parameters"], 16952322)
    tcn = golden.plan([FULL] + TCN)
    report.equal("TCN 1024->512x4, k5", tcn["parameters"] - 65922, 12329472)
    report.check("TCN 1024->512x4, k5, T=7, million",
                 "the formula against the table, million",
                 abs((tcn["macs"] - 7 * (D * HIDDEN + 2 * HIDDEN)) / 1e6 - 86.2), 0.05)
    for sets, count in (([], 2628608), (["modalities.second.dim=768"], 3022336),
                        (["modalities.pair.intra=concat_fc"], 1024 * 512 + 512)):
        words = [word for pair in sets for word in ("--set", pair)]
        report.equal("intra-modal " + " ".join(sets),
                     golden.plan([FULL] + PAIR + words)["parameters"] - 65922, count)
    alone = PAIR + ["--set", "model.modalities=second"]
    report.equal("a part alone", golden.plan([FULL] + alone)["parameters"], 65922)
    report.equal("JMT mean token", golden.plan([FULL, "--set", "model.token=mean"])["macs"],
                 AS_WRITTEN - SHARED_QUERIES - SHARED_KEYS)
    report.equal("JMT, weights of each branch",
                 golden.plan([FULL, "--set", "model.cross_weights=separate"])["macs"],
                 AS_WRITTEN - ONE_TOKEN - KEYS_OF_ONE)
    for model, count in RIVALS.items():
        config = os.path.join(os.path.dirname(FULL), model + ".yaml")
        report.equal(model + ": parameters", golden.plan([config])["parameters"], count)
        report.equal(model + ": multiply-accumulates", golden.plan([FULL, "--set", "model.name=" + model])["macs"],
                     RIVAL_MACS[model])
    report.exit()


if __name__ == "__main__":
    main()
