"""Check of complexity.json: the full-size networks are counted again."""

from sgenet.complexity.count import count_runs
from sgenet.config.model import validate
from sgenet.errors import InputError
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.results import Complexity, Counts
from sgenet.runtime.files import read_json
from sgenet.verification.check import Check


def check_counts(artifacts: Artifacts) -> Check:
    """Count parameters and operations of every run's full-size network again, and compare them."""
    check, path = Check("counts"), artifacts.complexity().record
    if not path.is_file():
        check.checked = "no counts here"
        return check
    try:
        recorded = validate(Complexity, read_json(path), path).models
    except InputError as error:
        check.deviations.append(str(error))
        return check
    counted, _ = count_runs(artifacts.replication.full_size())
    for run, counts in counted.items():
        expected = Counts(**counts)
        if run not in recorded:
            check.deviate(f"{path}: models.{run}", "no counts", "those of its network")
            continue
        for name, value in expected:
            if (found := getattr(recorded[run], name)) != value:
                check.deviate(f"{path}: models.{run}.{name}", found, value)
    check.checked = f"{len(counted)} full-size networks counted again"
    return check
