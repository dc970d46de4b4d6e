"""What a person sees on a terminal, and what files and pipes get: the progress bar, its numbers, colours,
the line of a failure. Terminals are pseudo-terminals, read by a small emulator of one."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time

jmt = sys.argv[1]
number = failures = 0
CONFIG = "configs/tiny/jmt.yaml"
LANGUAGE = {"LC_ALL": "C.UTF-8", "TERM": "xterm"}
work = pathlib.Path(tempfile.mkdtemp())


def report(good, text, shown=None):
    global number, failures
    number += 1
    failures += not good
    print("%sok %d - %s" % ("" if good else "not ", number, text))
    if not good and shown is not None:
        for line in repr(shown)[:4000].split("\\n"):
            print("# " + line)


def set_columns(fd, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))


class Run:
    """stderr on a terminal; stdout too with `out`, else a pipe. resize: (columns, once so
    many bars were drawn)."""

    def __init__(self, words, columns=100, out=False, resize=None, limit_s=120, **environment):
        master, slave = pty.openpty()
        set_columns(master, columns)
        variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LANG")}
        variables.update(LANGUAGE, **environment)
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=slave, env=variables,
                                   stdout=slave if out else subprocess.PIPE, start_new_session=True)
        os.close(slave)
        streams = {master: b""}
        if not out:
            streams[process.stdout.fileno()] = b""
        self.resized_at = None
        begin = time.monotonic()
        open_streams = set(streams)
        while open_streams and time.monotonic() - begin < limit_s:
            if resize and self.resized_at is None and streams[master].count(b"\r") > resize[1]:
                set_columns(master, resize[0])
                self.resized_at = len(streams[master])
            for fd in select.select(open_streams, [], [], 0.05)[0]:
                try:
                    data = os.read(fd, 65536)
                except OSError: # a terminal that nobody holds open any more
                    data = b""
                streams[fd] += data
                if not data:
                    open_streams.discard(fd)
        self.code = process.wait(10)
        self.raw = streams[master].decode("utf-8", "replace")
        self.stdout = "" if out else streams[process.stdout.fileno()].decode()
        os.close(master)


def screen(raw, columns):
    """The lines that stay: of carriage return, line feed and what is printed."""
    lines, row, column = [[]], 0, 0
    raw = re.sub("\x1b\\[[0-9;]*m", "", raw)
    for letter in raw:
        if letter == "\r":
            column = 0
        elif letter == "\n":
            row += 1
            if row == len(lines):
                lines.append([])
        else:
            if column == columns:
                row, column = row + 1, 0
                if row == len(lines):
                    lines.append([])
            line = lines[row]
            line.extend(" " * (column + 1 - len(line)))
            line[column] = letter
            column += 1
    return ["".join(line).rstrip() for line in lines]


def redraws(raw):
    return raw.replace("\r\n", "\n").count("\r")


def bars(raw):
    """Every state of the bar."""
    return [part for part in re.split("[\r\n]", raw) if re.search(r"\d %( |$)", part)]


def events(run, kind):
    lines = (work / run / "metrics.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == kind]


def train(name, *more, launch=0):
    head = [jmt] + (["launch", "-n", str(launch)] if launch else [])
    return head + ["train", CONFIG, "--run", str(work / name), "--set", "data.path=%s" % data, *more]


data = work / "data"
subprocess.run([jmt, "shard", "synthetic", "--out", str(data)], check=True, stderr=subprocess.DEVNULL)

# --- the bar ---------------------------------------------------------------------------------------

shown = Run(train("one"))
last = [line for line in screen(shown.raw, 100) if line]
report(shown.code == 0 and len(bars(shown.raw)) > 2, "a terminal gets a bar", shown.raw)
report("\x1b" not in shown.raw, "the bar needs no escape sequences", shown.raw)
report(len(last) >= 2 and "100 %" in last[-2] and "loss" in last[-2] and "finished" in last[-1]
       and sum("%" in line for line in last) == 1, "its last state stays, above the line of the end", last)
losses = {e["step"]: e["loss"] for e in events("one", "step")}
total = len(losses)
numbers = [re.search(r"(\d+)/%d .*loss (\d+\.\d+)" % total, bar) for bar in bars(shown.raw)]
good = [abs(losses[int(m[1])] - float(m[2])) <= 5e-5 for m in numbers if m]
report(len(good) > 2 and all(good), "each step's loss is the one in metrics.jsonl", bars(shown.raw))
best = max(events("one", "valid"), key=lambda e: e["selected"])
report("best valid ccc %.4f at step %d" % (best["selected"], best["step"]) in last[-1],
       "so is the best value", last)
seen = {float(v) for bar in bars(shown.raw) for v in re.findall(r" ccc (\d\.\d{4})", bar)}
report(seen and seen <= {round(e["selected"], 4) for e in events("one", "valid")},
       "and every value of the metric", seen)

for columns in (120, 80, 40, 20):
    shown = Run(train("wide-%d" % columns, "--set", "early_stopping.patience=9"), columns)
    widths = {len(bar) for bar in bars(shown.raw)}
    report(shown.code == 0 and widths and max(widths) <= columns - 1,
           "%d columns: no bar is wider" % columns, bars(shown.raw)[-3:])
shown = Run(train("resized", "--set", "epochs=100"), 100, resize=(50, 3))
later = bars(shown.raw[shown.resized_at:])[2:]
report(later and max(map(len, later)) <= 49, "a terminal made narrower gets a narrower bar", later[:3])

shown = Run(train("ascii"), LC_ALL="C")
report(shown.raw.isascii() and "[==" in shown.raw, "without UTF-8 it is plain ASCII", shown.raw[-300:])
shown = Run(train("plain"), NO_COLOR="1")
report("\x1b" not in shown.raw and redraws(shown.raw) > 2, "NO_COLOR: a bar, and no escape sequence")
shown = Run(train("dumb"), TERM="dumb")
report(shown.code == 0 and redraws(shown.raw) == 0 and "\x1b" not in shown.raw,
       "TERM=dumb: lines as in a log", shown.raw)
piped = subprocess.run(train("log"), capture_output=True, text=True, env={**os.environ, **LANGUAGE})
lines = piped.stderr.splitlines()
report(piped.returncode == 0 and "\r" not in piped.stderr and "\x1b" not in piped.stderr
       and len(lines) <= 6 and all(line.startswith("jmt: ") for line in lines) and piped.stdout == "",
       "a log gets a few plain lines", piped.stderr)

# --- failures --------------------------------------------------------------------------------------

for launch in (0, 2):
    shown = Run(train("nan-%d" % launch, "--set", "epochs=30", launch=launch), 100,
                JMT_FAULT="nan:0:40")
    stays = [line for line in screen(shown.raw, 100) if line]
    errors = [line for line in stays if "jmt: error:" in line]
    where = "on two ranks" if launch else "alone"
    report(shown.code == 1 and len(errors) == 1 and errors[0].startswith("jmt: error: ")
           and "not finite" in " ".join(stays), "a failure %s: one clean line" % where, stays)
    report(not any(re.search(r"\d %", line) for line in stays), "... and the bar is gone", stays)
report("\x1b[31mjmt: error: \x1b[0m" in shown.raw, "its head is red")
shown = Run(train("kill", "--set", "epochs=30", launch=2), 100, JMT_FAULT="kill:1:40")
stays = [line for line in screen(shown.raw, 100) if line]
report(shown.code == 1 and stays[-1].startswith("jmt: error: ")
       or stays[-2].startswith("jmt: error: "), "a killed rank: a line of its own", stays)

# --- many ranks ------------------------------------------------------------------------------------

shown = Run(train("launched", launch=2), 120)
stays = [line for line in screen(shown.raw, 120) if line]
report(shown.code == 0 and len(bars(shown.raw)) > 2 and "2 ranks" in stays[-2]
       and max(len(bar) for bar in bars(shown.raw)) < 120, "jmt launch on a terminal: one bar", stays)
piped = subprocess.run(train("launched-log", launch=2), capture_output=True, text=True)
report(piped.returncode == 0 and "\r" not in piped.stderr and "\x1b" not in piped.stderr,
       "... and none into a pipe", piped.stderr)
shown = Run(["mpirun", "-q", "-n", "2"] + train("mpirun"), 120)
report(shown.code == 0 and redraws(shown.raw) == 0, "mpirun hides the terminal: lines", shown.raw)
piped = subprocess.run(["mpirun", "-q", "-n", "2", jmt, "plan", CONFIG], capture_output=True, text=True,
                       env={**os.environ, "TERM": "xterm"})
report(piped.returncode == 0 and "\x1b" not in piped.stdout and piped.stdout.count("virtual shards") == 1,
       "... and its terminal is no reason for colours in a file", piped.stdout[:300])
for words in (["--version"], ["--help"], ["train", "--help"], ["--man"]):
    piped = subprocess.run(["mpirun", "-q", "-n", "3", jmt] + words, capture_output=True, text=True)
    alone = subprocess.run([jmt] + words, capture_output=True, text=True)
    report(piped.returncode == 0 and piped.stdout == alone.stdout, "%s on three ranks is printed once"
           % " ".join(words), piped.stdout[-300:])
shown = Run([jmt, "cv", CONFIG, "--set", "data.path=%s" % data, "--set", "split.folds=2", "--out",
             str(work / "cv"), "--json"])
stays = [line for line in screen(shown.raw, 100) if line]
report(shown.code == 0 and any("fold 1, seed 1 (2/2)" in bar for bar in bars(shown.raw))
       and not any(re.search(r"\d %", line) for line in stays), "cv: a bar over all folds, gone at the end",
       stays)
report(json.loads(shown.stdout)["pooled"]["n"] > 0, "its --json is one object")

# --- other work ------------------------------------------------------------------------------------

many = work / "many"
for words in (["shard", "synthetic", "--out", str(many), "--set", "recordings=15000"],
              ["shard", "--verify", str(many)],
              ["evaluate", str(work / "one"), "--data", str(many), "--split", "train"]):
    begin = time.monotonic()
    shown = Run([jmt] + words)
    took_s, stays = time.monotonic() - begin, [line for line in screen(shown.raw, 100) if line]
    name = " ".join(words[:2] if words[0] == "shard" else words[:1])
    report(shown.code == 0 and (bars(shown.raw) or took_s < 3) and max(map(len, bars(shown.raw) + [""])) <= 99
           and not any(re.search(r"\d %", line) for line in stays),
           "%s: a bar where it takes long, gone at the end" % name, (took_s, stays))
piped = subprocess.run([jmt] + words, capture_output=True, text=True, env={**os.environ, **LANGUAGE})
report(piped.returncode == 0 and piped.stderr == "", "... and none into a pipe", piped.stderr)

# --- colours ---------------------------------------------------------------------------------------

subprocess.run([jmt, "evaluate", str(work / "one"), "--data", str(data), "--out",
                str(work / "one" / "evaluation.json")], check=True, capture_output=True)
pages = [["--help"], ["train", "--help"], ["shard", "--help"], ["table", str(work / "one")],
         ["plan", CONFIG], ["config"], ["doctor"],
         ["inspect", str(data)], ["inspect", str(work / "one")]]
for words in pages:
    coloured = Run([jmt] + words, 80, out=True)
    plain = Run([jmt] + words, 80, out=True, NO_COLOR="1")
    dumb = Run([jmt] + words, 80, out=True, TERM="dumb")
    piped = subprocess.run([jmt] + words, capture_output=True, text=True, env={**os.environ, **LANGUAGE})
    name = " ".join(words).replace(str(work), "WORK")
    report(coloured.code == 0 and "\x1b[" in coloured.raw and "\x1b" not in plain.raw + dumb.raw
           and "\x1b" not in piped.stdout and piped.stdout != "", "%s: colours on a terminal only" % name)
    wide = [line for line in screen(coloured.raw, 1000) if len(line) > 80 and "/" not in line]
    report(not wide, "%s: fits 80 columns" % name, wide)
piped = subprocess.run([jmt, "table", str(work / "one")], capture_output=True, text=True)
report(piped.stdout.startswith("| model "), "table: Markdown into a pipe", piped.stdout)
for words in (["plan", CONFIG], ["config"], ["config", CONFIG], ["doctor"], ["inspect", str(data)],
              ["inspect", str(work / "one")], ["--version"],
              ["evaluate", str(work / "one"), "--data", str(data)]):
    shown = Run([jmt] + words + ["--json"], out=True)
    try:
        json.loads(shown.raw)
        good = "\x1b" not in shown.raw
    except ValueError:
        good = False
    report(good, "%s --json: one object and nothing else, on a terminal too"
           % " ".join(words).replace(str(work), "WORK"), shown.raw[:300])

subprocess.run(["rm", "-rf", str(work)], check=True)
print("1..%d" % number)
sys.exit(failures > 0)
