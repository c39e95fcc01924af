"""What the steps left on disk, read and judged: the tables with their cells, the claims, SGE's main gains."""

from dataclasses import dataclass

from sgenet.config.claims import load_claims
from sgenet.config.replication import Replication
from sgenet.data.manifest import Manifest
from sgenet.evaluation.activations import MeasuredActivations
from sgenet.judgement import main_gains
from sgenet.judgement.cells import CellTable, make_table
from sgenet.judgement.claims import Judge
from sgenet.judgement.gains import Gains
from sgenet.judgement.inputs import Missing, problem_of, read_activations, read_histories, read_manifest
from sgenet.judgement.judged import JudgedClaim
from sgenet.judgement.main_gains import MainGains
from sgenet.judgement.ranking import rank
from sgenet.judgement.results import Found, read_found
from sgenet.provenance.identity import Artifacts


@dataclass(frozen=True)
class Judged:
    """A replication, what was found of it, and the verdicts; `problems` are sentences about files.

    `histories` has the rows of each task: an epoch of a run and seed. `manifests` is by task too.
    """

    replication: Replication
    found: Found
    activations: MeasuredActivations | Missing
    histories: dict[str, list[dict[str, str]]]
    manifests: dict[str, Manifest | Missing]
    tables: list[CellTable]
    claims: list[JudgedClaim]
    main: MainGains
    problems: list[str]

    @property
    def scale(self) -> str:
        """Name of the scale."""
        return self.replication.scale_name

    @property
    def paper(self) -> bool:
        """Whether the numbers can be compared with the published ones."""
        return self.scale == "paper"

    @property
    def confidence(self) -> float:
        """The level of all intervals."""
        return self.replication.pipeline.report.confidence

    def manifest(self, task: str) -> Manifest | None:
        """The manifest of a task; None where there is none that can be used."""
        manifest = self.manifests.get(task)
        return manifest if isinstance(manifest, Manifest) else None


def judge(replication: Replication) -> Judged:
    """Read and judge a replication; never raises for a bad file, which becomes a problem."""
    found = read_found(replication)
    gains = Gains(replication, found)
    gains.check()
    tables = [rank(make_table(table, replication, found, gains)) for table in replication.tables]
    activations = read_activations(Artifacts(replication))
    judge_of_claims = Judge(replication, found, gains, activations)
    asked = load_claims(replication.tables)
    claims = [judge_of_claims.claim(claim) for claim in asked.claims]
    histories = {task: read_histories(replication, task) for task in replication.tasks}
    manifests: dict[str, Manifest | Missing] = {
        task: read_manifest(replication.scale_name, task) for task in replication.tasks
    }
    problems = [
        *found.problems,
        *(cell.problem for table in tables for cell in table.cells),
        *(condition.problem for claim in claims for condition in claim.conditions),
        problem_of(activations),
        *(problem for _, bad in histories.values() for problem in bad),
        *map(problem_of, manifests.values()),
    ]
    return Judged(
        replication=replication,
        found=found,
        activations=activations,
        histories={task: rows for task, (rows, _) in histories.items()},
        manifests=manifests,
        tables=tables,
        claims=claims,
        main=main_gains.measure(asked.main_gains, replication, tables, found),
        problems=list(dict.fromkeys(filter(None, problems))),
    )
