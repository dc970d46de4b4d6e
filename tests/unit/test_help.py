"""Help, man page and completion know every command and every option; misspelt words are guessed."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

jmt = sys.argv[1]
number = failures = 0


def report(good, text, shown=None):
    global number, failures
    number += 1
    failures += not good
    print("%sok %d - %s" % ("" if good else "not ", number, text))
    if not good and shown is not None:
        print("# %r" % (shown,))


def say(*words):
    run = subprocess.run([jmt, *words], capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == "", (words, run)
    return run.stdout


top = say("--help")
commands = [m[1] for m in re.finditer(r"^  ([a-z]+) {2,}\S", top, re.M)]
report({"train", "cv", "evaluate", "robustness", "shard", "inspect", "export", "extract", "plan", "step", "table",
        "config", "doctor", "launch", "completion"} <= set(commands) and len(commands) == len(set(commands)),
       "jmt --help lists the commands, each once", commands)
report(all(len(line) < 80 for line in top.split("\n")), "... in lines that fit 80 columns", top)
man, bash, zsh = say("--man"), say("completion", "bash"), say("completion", "zsh")
sections = {part.split("\n")[0]: part for part in man.split(".SS ")[1:]}
report(set(sections) == set(commands), "so does the man page", sorted(sections))
options = {}
for command in commands:
    text = say(command, "--help")
    lines = text.split("Options\n")[1].split("\n\n")[0].split("\n")
    options[command] = [m[1] for line in lines for m in [re.match(r"  (--?[a-z-]+)", line)] if m]
    usage = text.split("\n\n")[0]
    report(usage.startswith("usage: jmt " + command) and "--help" in options[command]
           and all(o in usage for o in options[command] if o != "--help"),
           "%s --help: the usage has its options" % command, usage)
    report(text == say("help", command) == say(command, "-h"), "... and jmt help %s says the same" % command)
    described = sections.get(command, "").replace("\\-", "-")
    report(all("\\fB%s\\fR" % o in described for o in options[command]), "... the man page has them", described)
    words = re.search(r"^    %s\) options='([^']*)'" % command, bash, re.M)
    report(words and words[1].split() == options[command], "... so has the completion for bash", words)
    block = re.search(r"^    %s\)\n(.*?) ;;$" % command, zsh, re.M | re.S)
    report(block and all("'*%s[" % o in block[1] for o in options[command]), "... and the one for zsh", block)
    report("\nExamples\n" in text, "... and there is an example")

# --- do they work ----------------------------------------------------------------------------------

keys = [row["key"] for row in json.loads(say("config", "--json"))]


def complete(line):
    """What bash offers for the last word of a line."""
    script = bash + """
compopt() { :; }
COMP_WORDS=(%s)
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_jmt && printf '%%s\\n' "${COMPREPLY[@]}"
""" % line
    run = subprocess.run(["bash", "-c", script, "bash", line], capture_output=True, text=True)
    assert run.stderr == "", run.stderr
    return run.stdout.split()


report(complete("jmt ") == commands, "bash: jmt offers the commands", complete("jmt "))
for line, offers in [("jmt tra", ["train"]), ("jmt train --re", ["--resume"]),
                     ("jmt evaluate --split ", ["train", "valid", "test"]),
                     ("jmt train x.yaml --set optimizer.lea", ["optimizer.learning_rate="]),
                     ("jmt launch -n 2 pla", ["plan"]), ("jmt launch -n 2 train --ov", ["--overfit"]),
                     ("jmt completion ", ["bash", "zsh"]), ("jmt train --resume aut", ["auto"]),
                     ("jmt shard feat", ["features"]), ("jmt --v", ["--version"])]:
    report(complete(line) == offers, "bash: %s" % line, complete(line))
with tempfile.NamedTemporaryFile("w", suffix=".zsh") as file:
    file.write(zsh)
    file.flush()
    if shutil.which("zsh"):
        run = subprocess.run(["zsh", "-n", file.name], capture_output=True, text=True)
        report(run.returncode == 0 and run.stderr == "", "zsh reads its own", run.stderr)
    else:
        number += 1
        print("ok %d - zsh reads its own # SKIP there is no zsh" % number)
report(all(key + "=" in zsh for key in keys if "NAME" not in key and key != "base"), "zsh: every setting")
if shutil.which("man"):
    with tempfile.NamedTemporaryFile("w", suffix=".1") as file:
        file.write(man)
        file.flush()
        run = subprocess.run(["man", "--warnings", "-l", file.name], capture_output=True, text=True,
                             env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "100"})
        report(run.returncode == 0 and run.stderr == "" and all("jmt " + c in run.stdout for c in commands),
               "man shows the page without a warning", run.stderr[:1000])
else:
    number += 1
    print("ok %d - man shows the page without a warning # SKIP there is no man" % number)

with tempfile.TemporaryDirectory() as prefix:
    run = subprocess.run(["cmake", "--install", pathlib.Path(jmt).parent, "--prefix", prefix],
                         capture_output=True, text=True)
    share = pathlib.Path(prefix, "share")
    pages = [("man/man1/jmt.1", man), ("bash-completion/completions/jmt", bash),
             ("zsh/site-functions/_jmt", zsh)]
    report(run.returncode == 0 and all((share / path).read_text() == text for path, text in pages),
           "cmake --install puts them in their places", run.stderr)
    run = subprocess.run([prefix + "/bin/jmt", "--help"], capture_output=True, text=True)
    report(run.stdout == top, "... beside a program that runs", run.stderr)

# --- misspelt --------------------------------------------------------------------------------------

for words, guess in [(["trian"], "did you mean train?"), (["evalute", "x"], "did you mean evaluate?"),
                     (["docter"], "did you mean doctor?"), (["insp"], "did you mean inspect?"),
                     (["xyzzy"], "jmt --help lists them"),
                     (["train", "c.yaml", "--resum", "auto"], "did you mean --resume?"),
                     (["train", "c.yaml", "--stpes", "3"], "did you mean --steps?"),
                     (["evaluate", "c", "--pred", "x"], "did you mean --predictions?"),
                     (["plan", "c.yaml", "--xyzzy"], "unknown option --xyzzy; see jmt plan --help"),
                     (["train"], "see jmt train --help"), (["plan", "a", "b"], "unexpected argument 'b'"),
                     (["completion", "fish"], "bash, zsh")]:
    run = subprocess.run([jmt] + words, capture_output=True, text=True)
    lines = run.stderr.splitlines()
    report(run.returncode == 2 and len(lines) == 1 and lines[0].startswith("jmt: error: ") and guess in lines[0],
           "jmt %s: one line, exit 2, %s" % (" ".join(words), guess), run)
run = subprocess.run([jmt], capture_output=True, text=True)
report(run.returncode == 2 and run.stdout == "" and run.stderr == top, "jmt alone: the same help, on stderr, exit 2")

print("1..%d" % number)
sys.exit(failures > 0)
