"""What tests/gpu/run found, as report.md: what is next, benchmarks beside what is asked of them, tests, and where a
step's time goes.
Plain functions of the dictionary that is report.json; what was not measured is said to be."""

NOT_MEASURED = "not measured"
# Of `jmt bench kernels`: what must reach this part of the GPU's own memory bandwidth.
BANDWIDTH_AIM = 0.8
BANDWIDTH_ROWS = {"attention": ("attention.",), "layer norm": ("add_layernorm.",), "batch norm": ("batch_norm.",),
                  "AdamW": ("optimizer_adam",)}
HOST_AIM_US = 50
RATIO_AIMS = {"step": 1.3, "end_to_end": 1.15}


def table(head, rows):
    """head: names of columns, those that begin with > to the right."""
    lines = ["| " + " | ".join(name.lstrip(">") for name in head) + " |",
             "|" + "|".join("---:" if name.startswith(">") else "---" for name in head) + "|"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def verdict(value, aim, higher=True):
    reached = value >= aim if higher else value <= aim
    return "reached" if reached else "**missed**"


def bandwidths(report):
    """(what, fraction of the measured bandwidth at the slowest row, that row) or None for each kind: rows long enough
    that a launch is not most of it, else the longest that there is."""
    found = {}
    for what, begins in BANDWIDTH_ROWS.items():
        rows = [row for row in report["kernels"] if row["name"].startswith(begins) and row.get("limit_ratio")
                and row.get("limit") == "memory"]
        long = [row for row in rows if row["ms_median"] >= 0.02] or sorted(rows, key=lambda r: -r["ms_median"])[:1]
        worst = min(long, key=lambda row: row["limit_ratio"], default=None)
        found[what] = worst
    return found


def aims(report):
    """Rows (what is asked, aim, measured, what is missing, verdict); nothing is reached on a simulated GPU."""
    rows = []

    def add(what, aim, text, missing, said):
        if report["simulated"] and text != NOT_MEASURED:
            missing, said = "", "simulated: says nothing"
        rows.append((what, aim, text, missing, said))
    for name, aim in RATIO_AIMS.items():
        for run in [r for r in report["peers"] if r["name"] == name] or [None]:
            what = name if run is None else run["title"]
            if run is None or run.get("ratio_median") is None:
                add(what, f"{aim} x", NOT_MEASURED, "", "" if run is None else run.get("why", ""))
            else:
                ratio = run["ratio_median"]
                add(what, f"{aim} x {run['setting']}", f"{ratio:.3g} ({run['ratio_range'][0]:.3g} to "
                    f"{run['ratio_range'][1]:.3g})", "" if ratio >= aim else f"{aim / ratio:.3g} x",
                    verdict(ratio, aim))
    for what, row in bandwidths(report).items():
        if row is None:
            add(f"{what}: of the measured bandwidth", f"{BANDWIDTH_AIM:.0%}", NOT_MEASURED, "", "")
        else:
            part = row["limit_ratio"]
            add(f"{what}: of the measured bandwidth ({row['name']}, {row['shape']})", f"{BANDWIDTH_AIM:.0%}",
                f"{part:.0%}", "" if part >= BANDWIDTH_AIM else f"{BANDWIDTH_AIM / part:.3g} x",
                verdict(part, BANDWIDTH_AIM))
    for run in report["host"] or [{"title": "host time of a step"}]:
        us = run.get("host_us")
        add(run["title"], f"< {HOST_AIM_US} us", NOT_MEASURED if us is None else f"{us:.0f} us",
            "" if us is None or us <= HOST_AIM_US else f"{us / HOST_AIM_US:.3g} x",
            "" if us is None else verdict(us, HOST_AIM_US, higher=False))
    for what in ("run to run", "resume"):
        rows_of = [row for row in report["tests"] if row["name"].startswith(f"bits, {what}")]
        counted = [row for row in rows_of if row["passed"] or row["failed"]]
        rows.append((f"bits, {what}", "identical", "identical" if counted and not any(r["failed"] for r in counted)
                     else "**different, or failed**" if counted else NOT_MEASURED, "", ""))
    return rows


def next_lines(report):
    """What to do about it, the first first: what failed, what is missed, where the time is, what is not known."""
    steps = [f"{row['name']} failed: {row.get('why') or 'see logs/'}" for row in report["tests"] if row["failed"]]
    rows = aims(report)
    steps += [f"{what}: {text}, {aim} is asked ({missing} is missing)" for what, aim, text, missing, said in rows
              if said == "**missed**"]
    if not report["simulated"]:
        steps += [f"{name}: {gap:.3g} ms a step above its limit" for name, _, _, gap in roofline(report)[:3]]
    unknown = [what for what, _, text, _, _ in rows if text == NOT_MEASURED]
    steps += [f"not measured: {'; '.join(unknown)}"] * bool(unknown)
    steps += ["a run on a GPU: a simulated one has no speed"] * report["simulated"]
    return ["", "## What is next", ""] + ([f"{i}. {step}" for i, step in enumerate(steps, 1)] or ["Nothing."])


def roofline(report):
    """Where a step's time goes: (kind of operation, ms a step, ms at the limits, ms between), longest gap first."""
    kinds = {}
    for row in report["kernels"]:
        uses = row.get("uses", 1 if row["name"] in ("optimizer_adam", "sum_squares") else 0)
        if row["bench"] != report.get("kernels_of_step") or not uses:
            continue
        ms = uses * row["ms_median"]
        least = ms * row["limit_ratio"] if row.get("limit_ratio") else 0.0
        spent = kinds.setdefault(row["name"], [0.0, 0.0])
        spent[0] += ms
        spent[1] += min(ms, least)
    return sorted(((name, ms, least, ms - least) for name, (ms, least) in kinds.items()), key=lambda row: -row[3])


def roofline_lines(report):
    rows, step = roofline(report), report.get("step_ms")
    lines = ["", "## The gap to the roofline", ""]
    if not rows or step is None:
        return lines + [f"{NOT_MEASURED}: it takes `jmt bench kernels` and `jmt bench model` of one configuration."]
    spent, least = sum(row[1] for row in rows), sum(row[2] for row in rows)
    lines += [f"A step of {report['kernels_of_step']} takes {step:.4g} ms. Its operations one by one take {spent:.4g} "
              f"ms, and would take {least:.4g} ms at this GPU's measured limits (products at the speed of the largest "
              "product, the rest at that of copying). What is between:", ""]
    cells = [(name, f"{ms:.4g}", f"{low:.4g}", f"{gap:.4g}", f"{gap / max(spent - least, 1e-9):.0%}")
             for name, ms, low, gap in rows[:20]]
    rest = rows[20:]
    if rest:
        cells.append((f"{len(rest)} more", *(f"{sum(row[i] for row in rest):.4g}" for i in (1, 2, 3)), ""))
    lines += table(("operation", ">ms a step", ">at the limit", ">gap", ">of the gap"), cells)
    more = step - spent
    return lines + ["", f"Beside them: {more:.4g} ms (data, launches, waits; below 0 where operations alone wait for "
                    "the host and in a step do not)."]


def difference(run):
    """bf16: beside what rounding does to the peer (tests/bench/apart.py)."""
    if not run.get("apart"):
        return f"{run['max_rel']:.2g}"
    if run["apart"].get("peer_usual") == 0:
        return "not compared"
    return f"{max(run['apart']['ratio'], 0):.2g} x the peer's"


def peer_lines(report):
    lines = ["", "## Beside PyTorch", ""]
    if not report["peers"]:
        return lines + [f"{NOT_MEASURED}."]
    rows = []
    for run in report["peers"]:
        if run.get("ratio_median") is None:
            rows.append((run["title"], NOT_MEASURED, "", "", "", run.get("why", "")))
        else:
            rows.append((run["title"], f"{run['ours_median_ms']:.4g}", f"{run['peer_median_ms']:.4g}",
                         f"{run['ratio_median']:.3g}", difference(run),
                         f"{run['peer']} {run['peer_version']}, {run['setting']}"))
    return lines + table(("what", ">ours, ms", ">peer, ms", ">ratio", ">largest difference",
                          "the peer's fastest setting"), rows)


def test_lines(report):
    counts = f"{report['passed']} passed, {report['failed']} failed, {report['skipped']} skipped"
    lines = ["", "## Tests", "", counts, ""]
    lines += table(("test", ">passed", ">failed", ">skipped", ">s", "why"),
                   [(row["name"], row["passed"], row["failed"], row["skipped"], row["time_s"], row.get("why", ""))
                    for row in report["tests"]])
    return lines


def parts_lines(report):
    lines = []
    if report["running"]:
        lines += ["", f"**Not complete: {report['running']} was running when this was written.**"]
    missing = [f"{name} ({'not asked for' if name in report['not_asked'] else 'not reached'})"
               for name in report["not_run"]]
    return lines + (["", f"Not run: {', '.join(missing)}."] if missing else [])


def markdown(report):
    machine = report["machine"]
    lines = ["# GPU report", "", f"{machine['device']}, {machine['versions']}, commit {machine['commit']}, "
             f"{report['date']}."]
    if report["simulated"]:
        lines += ["", "**A simulated GPU: times say nothing.**"]
    lines += parts_lines(report)
    if machine["nvidia_smi"]:
        lines += ["", *(f"- {line}" for line in machine["nvidia_smi"])]
    lines += next_lines(report)
    lines += ["", "## What is asked", ""] + table(("what", "aim", "measured", "to go", "verdict"), aims(report))
    lines += peer_lines(report)
    limits = report.get("limits")
    lines += ["", "## This GPU's limits", "", NOT_MEASURED + "." if not limits else
              f"Products {1e-3 * limits['gflop_s']:.4g} TFLOP/s, copying {limits['memory'][-1]['copy_gb_s']:.4g} GB/s, "
              "measured by the same process."]
    lines += test_lines(report)
    if report["kernels"] or report["model"]:
        lines += ["", "## Times", ""] + table(
            ("benchmark", "shape", ">ms, best", ">ms, median", ">of the limit"),
            [(f"{b['bench']}: {b['name']}", b.get("shape", ""), f"{b['ms_min']:.4g}", f"{b['ms_median']:.4g}",
              f"{b['limit_ratio']:.0%}" if b.get("limit_ratio") else "") for b in report["model"] + report["kernels"]])
    return "\n".join(lines + roofline_lines(report)) + "\n"
