"""What the steps left on disk, read and judged: the tables with their cells, the claims, SGE's main gains."""

from dataclasses import dataclass

from sgenet.config.claims import Claims, load_claims
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


@dataclass(frozen=True)
class Read:
    """All that a report reads of a replication before it judges; what is absent or unusable is `Missing`.

    `histories` has the rows of each task and what is wrong with its files, `claims` is params/claims.yaml.
    """

    replication: Replication
    found: Found
    activations: MeasuredActivations | Missing
    histories: dict[str, tuple[list[dict[str, str]], list[str]]]
    manifests: dict[str, Manifest | Missing]
    claims: Claims


def judge(replication: Replication) -> Judged:
    """Read and judge a replication; never raises for a bad file, which becomes a problem."""
    return judge_results(read(replication))


def read(replication: Replication) -> Read:
    """Read all files that judging needs; never raises for a bad result, which is `Missing` with its problem."""
    return Read(
        replication=replication,
        found=read_found(replication),
        activations=read_activations(Artifacts(replication)),
        histories={task: read_histories(replication, task) for task in replication.tasks},
        manifests={task: read_manifest(replication.scale_name, task) for task in replication.tasks},
        claims=load_claims(replication.tables),
    )


def judge_results(results: Read) -> Judged:
    """Judge what was read: a pure function, which opens no file."""
    replication, found = results.replication, results.found
    gains = Gains(replication, found)
    tables = [rank(make_table(table, replication, found, gains)) for table in replication.tables]
    judge_of_claims = Judge(replication, found, gains, results.activations)
    claims = [judge_of_claims.claim(claim) for claim in results.claims.claims]
    problems = [
        *found.problems,
        *(cell.problem for table in tables for cell in table.cells),
        *(condition.problem for claim in claims for condition in claim.conditions),
        problem_of(results.activations),
        *(problem for _, bad in results.histories.values() for problem in bad),
        *map(problem_of, results.manifests.values()),
    ]
    return Judged(
        replication=replication,
        found=found,
        activations=results.activations,
        histories={task: rows for task, (rows, _) in results.histories.items()},
        manifests=results.manifests,
        tables=tables,
        claims=claims,
        main=main_gains.measure(results.claims.main_gains, replication, tables, found),
        problems=list(dict.fromkeys(filter(None, problems))),
    )
