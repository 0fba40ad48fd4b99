"""Reads an archive with other programs and compares it with what tidemark says.

usage: check.py ARCHIVE EXPECTED.json AUDIT.md

The figures are computed here from the files alone: by the deltalake package,
and by DuckDB over the active files that the log names. EXPECTED.json is what
`archive ls`, `metrics` and `reproduce --explain` print, and where the details are.
"""

import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
from datetime import date
from decimal import Decimal, getcontext

import duckdb
from deltalake import DeltaTable

getcontext().prec = 60
problems = []
checked = 0


def same(what, ours, theirs):
    global checked
    checked += 1
    if ours != theirs:
        problems.append(f"{what}: tidemark has {ours!r}, the other reader {theirs!r}")


def log_files(root, table, version):
    """The active files at a version, by the words of the Delta protocol."""
    active = {}
    for n in range(version + 1):
        for line in (root / table / "_delta_log" / f"{n:020d}.json").read_text().splitlines():
            action = json.loads(line)
            if "remove" in action:
                del active[action["remove"]["path"]]
            if "add" in action:
                active[action["add"]["path"]] = action["add"]
    return active


def rows_of(delta):
    return delta.to_pyarrow_table().to_pylist()


def sums(rows):
    """Exact sums per amount column and currency, and the nulls of each column."""
    totals, nulls = {}, {}
    for row in rows:
        for column, value in row.items():
            nulls[column] = nulls.get(column, 0) + (value is None)
            if column in ("cost", "effective_cost", "cost_usd", "score") and value is not None:
                key = column, {"cost_usd": "USD", "score": ""}.get(column) or row.get("currency", "")
                totals[key] = totals.get(key, Decimal(0)) + value
    return totals, nulls


def logged(adds):
    """The same, as the log states it."""
    totals, nulls = {}, {}
    for add in adds:
        for s in json.loads(add["tags"]["sums"]):
            key = s["column"], s["currency"]
            totals[key] = totals.get(key, Decimal(0)) + Decimal(s["amount"])
        for column, n in json.loads(add["stats"])["nullCount"].items():
            nulls[column] = nulls.get(column, 0) + n
    return totals, nulls


def check_table(root, listing, versions):
    table = listing["table"]
    newest = DeltaTable(str(root / table))
    same(f"{table} version", listing["version"], newest.version())
    types = {f["name"]: f["type"] for f in json.loads(newest.schema().to_json())["fields"]}
    for amount in ("cost", "effective_cost", "cost_usd", "quantity"):
        if table.startswith("usage"):
            same(f"{table}.{amount} type", "decimal(38,18)", types[amount])
    for version in versions:
        delta = DeltaTable(str(root / table), version=version)
        active = log_files(root, table, version)
        rows = rows_of(delta)
        uris = {u.split(f"/{table}/", 1)[1] for u in delta.file_uris()}
        same(f"{table}@{version} files", {duck_unquote(p) for p in active}, {duck_unquote(u) for u in uris})
        same(f"{table}@{version} rows", sum(int(a["tags"]["rows"]) for a in active.values()), len(rows))
        totals, nulls = sums(rows)
        want_totals, want_nulls = logged(active.values())
        if rows:
            same(f"{table}@{version} nulls", want_nulls, {c: nulls[c] for c in want_nulls})
        same(f"{table}@{version} sums", want_totals, totals)
        partition = [c for c in types if c.endswith("_date")][0]
        days = {a["partitionValues"][partition] for a in active.values() if int(a["tags"]["rows"]) > 0}
        same(f"{table}@{version} days", days, {str(r[partition]) for r in rows})
    return newest


def duck_unquote(path):
    from urllib.parse import unquote

    return unquote(path)


def check_checkpoint(root, table):
    """A copy of the table without the entries before its newest checkpoint."""
    hint = json.loads((root / table / "_delta_log" / "_last_checkpoint").read_text())
    with tempfile.TemporaryDirectory() as tmp:
        copy = pathlib.Path(tmp) / table
        shutil.copytree(root / table, copy)
        for n in range(hint["version"] + 1):
            (copy / "_delta_log" / f"{n:020d}.json").unlink()
        whole, rest = DeltaTable(str(root / table)), DeltaTable(str(copy))
        same(f"{table} from checkpoint {hint['version']}: version", whole.version(), rest.version())
        same(f"{table} from checkpoint: files", sorted(u.split(f"/{table}/", 1)[1] for u in whole.file_uris()),
             sorted(u.split(f"/{table}/", 1)[1] for u in rest.file_uris()))
        same(f"{table} from checkpoint: schema", whole.schema().to_json(), rest.schema().to_json())
        same(f"{table} from checkpoint: rows", len(rows_of(whole)), len(rows_of(rest)))
        duck = duckdb.connect()
        count = duck.sql(f"SELECT count(*) FROM '{root / table / '_delta_log' / format(hint['version'], '020d')}.checkpoint.parquet' WHERE add IS NOT NULL").fetchall()[0]
        same(f"{table} checkpoint: adds", len(log_files(root, table, hint["version"])), count[0])


def check_metrics(root, metrics):
    """cost, cost_by_category and customers_with_usage, row by row."""
    usage = rows_of(DeltaTable(str(root / "usage")))
    first, last = metrics["period"]["from"], min(metrics["period"]["to"], metrics["watermark"])
    cost, categories, customers = {}, {}, set()
    for r in usage:
        if not first <= str(r["usage_date"]) <= last:
            continue
        if r["charge_category"] == "usage" and r["quantity"] is not None and r["quantity"] > 0:
            customers.add(r["customer_id"])
        if r["charge_category"] != "tax" and r["cost"] is not None:
            cost[r["currency"]] = cost.get(r["currency"], Decimal(0)) + r["cost"]
            key = r["category"], r["currency"]
            categories[key] = categories.get(key, Decimal(0)) + r["cost"]
    same("metrics cost", nonzero({c["currency"]: Decimal(c["value"]) for c in metrics["cost"]}), nonzero(cost))
    same("metrics cost_by_category", nonzero({(c["category"], c["currency"]): Decimal(c["value"]) for c in metrics["cost_by_category"]}), nonzero(categories))
    same("metrics customers_with_usage", metrics["customers_with_usage"]["value"], len(customers))


def check_details(root, details):
    """`metrics --details --format parquet` as DuckDB reads it, row by row."""
    metrics, table = details["metrics"], f"read_parquet('{details['file']}')"
    duck = duckdb.connect()

    def figures(metric, columns):
        return duck.execute(f"SELECT {columns} FROM {table} WHERE metric = ?", [metric]).fetchall()

    usage = rows_of(DeltaTable(str(root / "usage")))
    day = date.fromisoformat
    first, last = day(metrics["period"]["from"]), min(day(metrics["period"]["to"]), day(metrics["watermark"]))
    before, until = day(metrics["previous"]["from"]), day(metrics["previous"]["to"])
    if not metrics["complete"]:
        until = before + (last - first)
    sides = [[r for r in usage if a <= r["usage_date"] <= b] for a, b in ((first, last), (before, until))]

    def totals(rows, amount, key, accept):
        out = {}
        for r in rows:
            if accept(r):
                known = out.setdefault(key(r), [])
                if r[amount] is not None:
                    known.append(r[amount])
        return {k: sum(v) if v else None for k, v in out.items()}

    charged, used = lambda r: r["charge_category"] != "tax", lambda r: r["charge_category"] == "usage"
    for metric, column in (("cost_by_day_category", "category"), ("cost_by_day_customer", "customer_id")):
        want = totals(sides[0], "cost", lambda r: (r["usage_date"], r[column], r["currency"]), charged)
        same(metric, nonzero({(d, w, c): v for d, w, c, v in figures(metric, f"date, {column}, currency, value") if v is not None}),
             nonzero({k: v for k, v in want.items() if v is not None}))
    units = lambda r: (r["category"], r["unit"])
    now, then = (totals(rows, "quantity", units, used) for rows in sides)
    same("quantities", {(c, u): (v, p) for c, u, v, p in figures("quantities", "category, unit, value, previous")},
         {k: (now.get(k, 0), then.get(k, 0)) for k in now | then})
    now, then = (totals(rows, "cost", lambda r: (r["customer_id"], r["currency"]), charged) for rows in sides)
    moved = {k: (now.get(k, Decimal(0)), then.get(k, Decimal(0))) for k in now | then}
    moved = {k: v for k, v in moved.items() if None not in v}
    names = {}
    for r in sorted(rows_of(DeltaTable(str(root / "customers"))), key=lambda r: r["snapshot_date"]):
        names[r["customer_id"]] = r["name"] or r["customer_id"]
    for metric, sign in (("grew", 1), ("fell", -1)):
        want = []
        for currency in sorted({c for _, c in moved}):
            ranked = sorted((sign * (p - v), names.get(k, k), k, v, p) for (k, c), (v, p) in moved.items() if c == currency and sign * (v - p) > 0)
            want += [(currency, i + 1, k, v, p) for i, (_, _, k, v, p) in enumerate(ranked[:5])]
        same(metric, figures(metric, "currency, rank, customer_id, value, previous"), want)
    use = lambda rows: {x for r in rows if used(r) and r["quantity"] is not None and r["quantity"] > 0
                        for x in ((None, r["category"]), (r["customer_id"], r["category"]))}
    now, then = use(sides[0]), use(sides[1])
    same("categories_new", set(figures("categories_new", "customer_id, category")), now - then)
    same("categories_lost", set(figures("categories_lost", "customer_id, category")), then - now)
    same("figures of money", {("value", "DECIMAL(38,18)"), ("previous", "DECIMAL(38,18)"), ("date", "DATE")},
         {(r[0], r[1]) for r in duck.sql(f"DESCRIBE SELECT * FROM {table}").fetchall() if r[0] in ("value", "previous", "date")})


def nonzero(amounts):
    return {k: v for k, v in amounts.items() if v != 0}


def check_explanations(root, explanations):
    for e in explanations:
        if e["reason"] or not e["query"]:
            continue
        found = duckdb.connect().sql(in_folder(e["query"], root)).fetchall()
        typed = [tuple(Decimal(v) if v and c in ("cost", "quantity", "score") else v for v, c in zip(row, e["columns"])) for row in e["result"]]
        got = [tuple(v if isinstance(v, Decimal) else "" if v is None else str(v) for v in row) for row in found]
        same(f"report {e['report']} {e['metric']}", sorted(typed, key=repr_key), sorted(got, key=repr_key))


def repr_key(row):
    return tuple(str(v) for v in row if not isinstance(v, Decimal))


def in_folder(sql, root):
    """The query as if it were run in the archive's folder."""
    return re.sub(r"'((?:usage_daily|subscriptions|customers|scores)/)", lambda m: f"'{root}/{m[1]}", sql)


def audit(doc, report):
    """What every statement of the audit guide gives, in its order."""
    duck = duckdb.connect()
    results = []
    for block in re.findall(r"```sql\n(.*?)```", doc, re.S):
        for statement in block.replace("REPORT-ID", report["report"]).split(";\n"):
            if statement.strip():
                found = duck.execute(statement)
                if statement.lstrip().startswith(("SELECT", "WITH")):
                    results.append(found.fetchall())
    return results


def check_guide(root, doc, details):
    """The statement of the guide to metrics, over the file of October."""
    (october,) = (d["file"] for d in details if "2026-10" in d["file"])
    (statement,) = re.findall(r"```sql\n(.*?)```", doc, re.S)
    found = {day: value for day, value in duckdb.connect().sql(statement.replace("october.parquet", october)).fetchall()}
    want = {}
    for r in rows_of(DeltaTable(str(root / "usage_daily"))):
        if str(r["usage_date"]).startswith("2026-10") and r["currency"] == "EUR" and r["charge_category"] != "tax" and r["cost"] is not None:
            want[r["usage_date"]] = want.get(r["usage_date"], 0) + r["cost"]
    same("guide to metrics: days", True, len(found) > 20)
    same("guide to metrics: cost by day", nonzero(want), nonzero(found))


def check_audit(root, doc, report):
    """The audit guide, run in the archive's folder."""
    os.chdir(root)
    results = audit(doc, report)
    same("audit guide: results", 8, len(results))
    the_report, mail, cost, reported, customers, files, chain, seal = results
    same("audit guide: mail", [(f"mails/{the_report[0][7]}.eml", True)], mail)
    same("audit guide: cost", {c: Decimal(v) for c, v in reported if Decimal(v) != 0}, dict(cost))
    same("audit guide: customers with usage", str(customers[0][1]), str(customers[0][0]))
    same("audit guide: changed files", [], files)
    same("audit guide: broken chain", [], chain)
    same("audit guide: seal", seal[0][1], seal[0][0])
    check_forged(root, doc, report, results)


def check_forged(root, doc, report, results):
    """A report that somebody puts beside the others, and one that is overwritten."""
    (path,) = [p for p in root.glob("reports/*/*.parquet")
               if duckdb.execute("SELECT count(*) FROM read_parquet(?) WHERE report_id = ?", [str(p), report["report"]]).fetchone()[0]]
    whole, beside = path.read_bytes(), path.with_name("a-part.parquet")
    forge = f"""COPY (SELECT * REPLACE (regexp_replace(document, '"cost":\\[[^]]*\\]', '"cost":[{{"currency":"EUR","value":"1.00"}}]') AS document)
        FROM read_parquet('{path}', hive_partitioning = false)) TO '{beside}' (FORMAT parquet)"""
    duckdb.execute(forge)
    try:
        same("audit guide: a forged report beside the others", results, audit(doc, report))
        path.write_bytes(beside.read_bytes())
        try:
            same("audit guide: an overwritten report", [], audit(doc, report)[0])
        except duckdb.Error:
            pass  # no report is left to read
    finally:
        beside.unlink()
        path.write_bytes(whole)


def main():
    root, expected = pathlib.Path(sys.argv[1]).resolve(), json.loads(pathlib.Path(sys.argv[2]).read_text())
    doc, guide = (pathlib.Path(file).read_text() for file in sys.argv[3:5])
    for listing in expected["ls"]["tables"]:
        last = listing["version"]
        check_table(root, listing, sorted({0, last // 2, last}))
        same(f"{listing['table']} listed rows", listing["rows"], len(rows_of(DeltaTable(str(root / listing["table"])))))
    for table in expected["checkpoints"]:
        check_checkpoint(root, table)
    for metrics in expected["metrics"]:
        check_metrics(root, metrics)
    for details in expected["details"]:
        check_details(root, details)
    check_guide(root, guide, expected["details"])
    check_explanations(root, expected["explanations"])
    check_audit(root, doc, expected["explanations"][0])
    for p in problems:
        print(p)
    print(f"{checked} comparisons with deltalake and DuckDB {duckdb.__version__}, {len(problems)} differ")
    sys.exit(1 if problems or checked < 100 else 0)


main()
