#!/usr/bin/env bash
# The model that docs/add_your_own_fusion.md shows is one that compiles.
set -u
trap 'rm -rf "$work"' EXIT
work=$(mktemp -d)
. tests/tap.sh
compiles() { cc -std=gnu11 -Wall -Wextra -Werror -Wno-missing-prototypes -fsyntax-only -I. "$@"; }

awk '/^```c$/ { shown = 1; next } /^```$/ { shown = 0 } shown' docs/add_your_own_fusion.md >"$work/model_mean.c"
check "a model is shown" grep -q '^value_t model_[a-z]*(graph_t' "$work/model_mean.c"
check "and compiles" compiles "$work/model_mean.c"
finish
