"""Which runs are which side of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.results.bench_file import bench_sides, is_bench, read_bench
from jobs.results.compare import Comparison, Side, compare, open_run
from manifests.errors import SpecError
from manifests.storage import locate


def comparisons_of(runs: Sequence[str], a: Sequence[str], b: Sequence[str]) -> list[Comparison]:
    """The comparisons that are asked for by runs, or by the runs of sides `a` and `b`; of a bench, those of its pairs.

    SpecError where it is not clear what to compare, OutputError where there is no job.
    """
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
    if len(set(runs)) < len(runs):
        raise SpecError(f"compare: {_repeated(runs)}: given twice; a run is compared with others")
    sides = [_side([run]) for run in runs]
    if len({side.name for side in sides}) < len(sides):  # folders of one name
        sides = [Side(side.runs[0].uri, side.runs) for side in sides]
    return [compare(sides[0], other) for other in sides[1:]]


def _repeated(uris: Sequence[str]) -> str:
    return next(uri for uri in uris if uris.count(uri) > 1)


def _side(uris: Sequence[str]) -> Side:
    runs = tuple(open_run(uri) for uri in dict.fromkeys(uris))
    if len(runs) < len(uris):
        raise SpecError(f"compare: {_repeated(uris)}: given twice on one side")
    return Side(", ".join(uri.rstrip("/").rpartition("/")[2] for uri in uris), runs)
