"""Settings of the optimiser and of its learning rate."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from sgenet.config.model import Above0, Count, Model, Positive, Share


class ScaledRate(Model):
    """A learning rate in proportion to the batch size."""

    value: Above0 = Field(description="in place of a number: the learning rate of a batch of `per` images")
    per: Positive = Field(description="images; the learning rate is value * batch_size / per")


def _kind_of_rate(value: Any) -> str:
    return "mapping" if isinstance(value, dict | ScaledRate) else "number"


LearningRate = Annotated[
    Annotated[Above0, Tag("number")] | Annotated[ScaledRate, Tag("mapping")], Discriminator(_kind_of_rate)
]


class Optimizer(Model):
    """A torch.optim class and its arguments."""

    type: Literal["SGD", "AdamW"] = Field(description="the class")
    lr: LearningRate = Field(description="highest learning rate")
    momentum: Share | None = Field(None, description="SGD alone")
    nesterov: bool | None = Field(None, description="SGD alone")
    weight_decay: float | None = Field(None, ge=0, description="on every parameter")

    @model_validator(mode="after")
    def _check_arguments(self) -> "Optimizer":
        for name in ("momentum", "nesterov"):
            if self.type != "SGD" and getattr(self, name) is not None:
                raise ValueError(f"{name}: found with {self.type}, expected only with SGD")
        return self


class Schedule(Model):
    """How the learning rate falls."""

    type: Literal["step", "cosine"] = Field(
        description="step: by gamma after each milestone; cosine: to zero at the end"
    )
    milestones: list[Positive] | None = Field(None, description="epochs")
    gamma: float | None = Field(None, gt=0, le=1, description="factor at each milestone")

    @model_validator(mode="after")
    def _check_arguments(self) -> "Schedule":
        for name in ("milestones", "gamma"):
            if self.type == "step" and getattr(self, name) is None:
                raise ValueError(f"{name}: missing")
            if self.type != "step" and getattr(self, name) is not None:
                raise ValueError(f"{name}: found with {self.type}, expected only with step")
        return self


class Warmup(Model):
    """Linear warm-up."""

    iterations: Count = Field(description="its length")
    ratio: float = Field(gt=0, le=1, description="first learning rate over the highest")
