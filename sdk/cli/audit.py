"""edgead audit results.sqlite"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from edgead.cli.options import PATH, check_writable, json_option, print_json
from edgead.sinks.audit import Audit, audit
from edgead.sinks.table import csv_table

BROKEN = 3


@click.command("audit")
@click.argument("database", type=PATH)
@click.option(
    "--expect",
    metavar="HASH",
    multiple=True,
    help="A head that an earlier audit printed: the chain has to go through it; repeatable.",
)
@click.option("--csv", "table", type=PATH, help="Also write the verdicts and faults, up to a break, to this CSV file.")
@click.option("--no-images", is_flag=True, help="Do not read the pictures beside the database.")
@json_option
@click.pass_context
def audit_command(
    context: click.Context, database: Path, expect: tuple[str, ...], table: Path | None, no_images: bool, as_json: bool
) -> None:
    """Prove that no record of a results database was altered, removed, added or moved.

    Every record is tied by its hash to the one before. The first that does not fit is named, and the exit code is 3.
    The database is only read, also while a stream writes to it.

    What this proves has a limit: whoever may write the file and knows how can cut off its end, or compute the whole
    chain anew. So write the printed head down in another place, and give it to a later audit as --expect: then
    everything up to that head is proven.
    """
    for head in expect:
        if len(head.strip()) != 64 or set(head.strip().lower()) - set("0123456789abcdef"):
            raise click.UsageError(f"--expect takes 64 hexadecimal digits, not {head}")
    check_writable(table, read=[database])
    with csv_table(table) if table else nullcontext() as add:
        found = audit(database, expect=expect, images=not no_images, found=add)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo("\n".join(lines(found, table)))
    if found.broken:
        context.exit(BROKEN)


def lines(found: Audit, table: Path | None = None) -> list[str]:
    """The audit in lines for people."""
    kinds = ", ".join(f"{found.kinds[kind]} {kind}s" for kind in ("verdict", "fault"))
    told = [f"{found.records} records hold ({kinds}, {len(found.runs)} runs)", f"head {found.head}"]
    told += [f"expected {head} is the hash of record {place}" for head, place in found.expected.items()]
    if found.images or found.retired:
        told.append(f"{found.images} pictures are as recorded, {found.retired} were removed by retention")
    if found.waiting:
        told.append(f"{found.waiting} records wait in the spool for the run that writes, or for the next one")
    if table:
        told.append(f"table: {table}")
    # A source's name may hold what a terminal would take for commands, or no valid Unicode
    verdict = f"BROKEN: {found.broken}" if found.broken else "whole: nothing altered, removed, added or moved"
    return [*told, "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in verdict)]
