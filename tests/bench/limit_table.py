"""`jmt bench kernels --json` on stdin to the table of README.md on stdout: for each operation the
fraction of the limit over all its shapes together (by the time of a step, uses counted), the
range, and its share of the operations' time.

    build/jmt bench kernels --json | python3 tests/bench/limit_table.py"""
import json
import sys


def rows_of(results):
    """{name: its results}; those of one operation together."""
    rows = {}
    for result in results:
        if result["limit_ratio"] is not None:
            rows.setdefault(result["name"], []).append(result)
    return rows


def weight(result):
    return result["ms_median"] * max(result.get("uses", 0), 1)


def main():
    results = json.load(sys.stdin)["results"]
    step = sum(r["ms_median"] * r.get("uses", 0) for r in results)
    print("| operation | % of the limit | range over shapes | % of the step's operations |")
    print("|---|---:|---:|---:|")
    for name, rows in rows_of(results).items():
        total = sum(weight(r) for r in rows)
        mean = sum(r["limit_ratio"] * weight(r) for r in rows) / total
        ratios = [r["limit_ratio"] for r in rows]
        share = sum(r["ms_median"] * r.get("uses", 0) for r in rows) / step if step > 0 else 0
        print(f"| {name} | {100 * mean:.0f} | {100 * min(ratios):.0f} to {100 * max(ratios):.0f} "
              f"| {100 * share:.1f} |")


if __name__ == "__main__":
    main()
