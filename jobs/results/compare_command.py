"""`renderay compare`: which runs are which side, what is printed and saved."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from jobs.results.bench_file import bench_sides, is_bench, read_bench
from jobs.results.compare import Comparison, Side, compare, open_run
from jobs.results.compare_html import comparison_page
from jobs.results.compare_tables import comparison_tables, notes
from jobs.results.picture_pairs import PicturePair, pair_pictures, pair_tables
from jobs.results.text_table import print_tables
from manifests.errors import OutputError, SpecError
from manifests.storage import locate


@click.command("compare")
@click.argument("run", nargs=-1)
@click.option("--a", "a", multiple=True, metavar="RUN", help="a run of side a, repeatable: several runs of one side")
@click.option("--b", "b", multiple=True, metavar="RUN", help="a run of side b, repeatable")
@click.option("--json", "as_json", is_flag=True, help="print a list of objects, one a model and metric")
@click.option("--markdown", metavar="FILE", help="save the tables as Markdown too")
@click.option("--html", metavar="FILE", help="save a page that opens offline, with pairs of pictures")
@click.option("--pictures", type=click.IntRange(min=0), metavar="N", default=None,
              help="compare N pairs of pictures by PSNR and SSIM  [default: 12 with --html, or else 0]")  # fmt: skip
def compare_command(
    run: tuple[str, ...],
    a: tuple[str, ...],
    b: tuple[str, ...],
    as_json: bool,
    markdown: str | None,
    html: str | None,
    pictures: int | None,
) -> None:
    """Compare runs by what a picture and a step cost: two output folders, or more, each with the first.

    One run a side says nothing about the noise between runs, so no verdict is given; several a side (--a, --b), or
    the output of `renderay bench`, give one.
    """
    comparisons = _comparisons(run, a, b)
    wanted = pictures if pictures is not None else 12 if html else 0
    pairs = [pair_pictures(each, wanted) if wanted else [] for each in comparisons]
    if markdown:
        _save(markdown, _markdown(comparisons, pairs))
    if html:
        _save(html, comparison_page(comparisons, pairs))
    if as_json:
        found = [
            entry | {"pictures": [pair.as_json() for pair in shown]}
            for each, shown in zip(comparisons, pairs, strict=True)
            for entry in each.as_json()
        ]
        click.echo(json.dumps(found, indent=2))
        return
    print_tables(comparison_tables(comparisons) + pair_tables(pairs))
    click.echo("\n" + "\n".join(notes(comparisons)))


def _comparisons(runs: Sequence[str], a: Sequence[str], b: Sequence[str]) -> list[Comparison]:
    if runs and (a or b):
        raise SpecError(f"compare: {runs[0]} stands beside --a or --b; give runs in one way or the other")
    if a or b:
        if not (a and b):
            raise SpecError(f"compare: --{'a' if a else 'b'} without --{'b' if a else 'a'}; both sides need a run")
        return [compare(_side(a), _side(b))]
    if len(runs) == 1 and is_bench(out := locate(runs[0])):
        file = read_bench(out)
        opened = bench_sides(out, file)
        if found := [compare(opened[left.folder], opened[right.folder]) for left, right in file.pairs()]:
            return found
        raise SpecError(f"compare: {runs[0]}: the bench measured no two configurations that can be compared")
    if len(runs) < 2:
        raise SpecError("compare: needs two runs, or the output of `renderay bench`")
    sides = [_side([run]) for run in runs]
    if len({side.name for side in sides}) < len(sides):  # folders of one name
        sides = [Side(side.runs[0].uri, side.runs) for side in sides]
    return [compare(sides[0], other) for other in sides[1:]]


def _side(uris: Sequence[str]) -> Side:
    runs = tuple(open_run(uri) for uri in dict.fromkeys(uris))
    if len(runs) < len(uris):
        raise SpecError(f"compare: {next(uri for uri in uris if uris.count(uri) > 1)}: given twice on one side")
    return Side(", ".join(uri.rstrip("/").rpartition("/")[2] for uri in uris), runs)


def _markdown(comparisons: Sequence[Comparison], pairs: Sequence[Sequence[PicturePair]]) -> str:
    tables = comparison_tables(comparisons) + pair_tables(pairs)
    lines = [f"- {line}" for line in notes(comparisons)]
    return "# Comparison\n\n" + "\n".join(table.markdown() for table in tables) + "\n" + "\n".join(lines) + "\n"


def _save(path: str, text: str) -> None:
    target = locate(path)
    try:
        target.write_bytes(text.encode())
    except OSError as error:
        reason = " ".join(str(error).split())[:300]
        raise OutputError(f"{target.uri}: cannot be written: {reason}; give another file") from error
