"""What to run: params/pipeline.yaml."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from sgenet.config.model import Model, Seeds

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]


class ReportSettings(Model):
    """Statistics of the report."""

    confidence: float = Field(gt=0.5, lt=1, description="of every interval")
    bootstrap_samples: int = Field(
        ge=100, le=100_000, description="resamples of the validation images behind an interval of AP"
    )


class WandB(Model):
    """Where learning curves are logged."""

    mode: Literal["online", "offline", "disabled"] = Field(
        description="offline: `wandb sync wandb/offline-*` uploads later"
    )
    project: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}$", description="name of the W&B project")


class Pipeline(Model):
    """params/pipeline.yaml."""

    scale: Name = Field(description="a file of params/scales/ without its ending")
    tables: list[Name] = Field(
        min_length=1, description="files of params/tables/ without their ending; the union of their runs is made"
    )
    rows: list[str] = Field(
        [], description="labels of rows of these tables; the others are left out, except baselines; none: all rows"
    )
    seeds: Seeds = Field(
        description="trainings of each run, with seeds 0, 1, ...; `seeds` of the scale may ask for more of single runs"
    )
    code: Literal["lenient", "strict"] = Field(
        "lenient",
        description="whether results that were made by other code, except that of attention modules, are only reported"
        " (lenient) or made again (strict)",
    )
    report: ReportSettings = Field(description="statistics of the report")
    wandb: WandB = Field(description="where learning curves are logged")

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that give a step of a workflow these choices."""
        return {
            "SGENET_SEEDS": str(self.seeds),
            "SGENET_TABLES": " ".join(self.tables),
            "SGENET_ROWS": ",".join(self.rows),
            "SGENET_CODE": self.code,
        }

    @field_validator("tables", "rows")
    @classmethod
    def _check_unique(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError(f"found {names}, expected different ones")
        return names
