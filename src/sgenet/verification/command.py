"""`sgenet verify`."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sgenet.config import paths
from sgenet.config.replication import Replication, load_replication
from sgenet.provenance.identity import Artifacts
from sgenet.verification.again import check_again
from sgenet.verification.check import Check
from sgenet.verification.counts import check_counts
from sgenet.verification.metrics import check_metrics
from sgenet.verification.places import opened
from sgenet.verification.report import check_report
from sgenet.verification.results import check_records
from sgenet.verification.source import check_archive, check_definitions


def verify(place: Path | None, load: Callable[[str | None], Replication], images: int = 0) -> int:
    """Verify a replication, and print what each check found.

    Args:
        place: where it is, as `places.opened` takes it.
        load: loads the replication that a checkout defines, of a scale if one is given. An archive defines its own.
        images: number of random validation images per training that are evaluated again with its weights.

    Returns:
        1 if anything deviates, otherwise 0.
    """
    deviations = unchecked = 0
    with opened(place) as found:
        if found.archived:
            checks = [check_archive(Path(os.curdir), complete=found.temporary)]
            replication = load_replication()
        else:
            checks, replication = [check_definitions(Path(os.curdir))], load(found.scale)
        report = found.report or paths.report(replication.scale_name)
        for check in _all(checks, replication, report, images, archived=found.archived):
            print(check, flush=True)
            deviations, unchecked = deviations + len(check.deviations), unchecked + len(check.unchecked)
    counted = f"{deviations} deviation{'s' if deviations > 1 else ''}" if deviations else "no deviations"
    print(f"{place or report}: {counted}, {unchecked} not checked")
    return 1 if deviations else 0


def _all(first: list[Check], replication: Replication, report: Path, images: int, *, archived: bool) -> Iterator[Check]:
    """Yield each check as it ends."""
    yield from first
    artifacts = Artifacts(replication)
    yield check_records(artifacts)
    yield check_metrics(artifacts)
    yield check_counts(artifacts)
    yield check_report(replication, report, archived=archived)
    if images:
        yield check_again(artifacts, images)
