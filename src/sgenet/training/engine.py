"""mmengine's Runner as both tasks configure it: learning rate schedule, optimiser, common arguments."""

from pathlib import Path
from typing import Any

from mmengine.dist import get_dist_info
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from sgenet.config.recipes import TrainingSettings
from sgenet.training import devices
from sgenet.training.batches import micro_batches_per_step
from sgenet.training.step_hooks import StepSchedulerHook


def schedulers(settings: TrainingSettings, warmup: list[dict[str, Any]], iterations: int) -> list[dict[str, Any]]:
    """mmengine's configuration of the learning rate schedule: warm-up, then steps or a cosine to the last epoch.

    `iterations` is the number of steps per epoch; the cosine is updated after each step.
    """
    schedule, epochs = settings.schedule, settings.epochs
    if schedule.type == "step":
        steps = {"type": "MultiStepLR", "milestones": schedule.milestones, "gamma": schedule.gamma}
        return [*warmup, {**steps, "by_epoch": True, "begin": 0, "end": epochs}]
    total = epochs * iterations
    return [*warmup, {"type": "CosineAnnealingLR", "T_max": total, "by_epoch": False, "begin": 0, "end": total}]


class QuietRunner(Runner):
    """mmengine's Runner without its report on the environment, its log file and its configuration file.

    The report takes seconds, and this project records the environment in its own provenance files. The two files are
    not used, and writing them would fail on a full disk.
    """

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        pass

    def build_logger(self, log_level: str = "INFO", log_file: str | None = None, **more: Any) -> MMLogger:
        """Return a logger of this experiment that writes to no file."""
        return MMLogger.get_instance(self._experiment_name, log_level=log_level)

    def dump_config(self) -> None:
        """Write no configuration file."""


def optim_wrapper(settings: TrainingSettings, clip_grad: dict[str, float] | None = None) -> dict[str, Any]:
    """mmengine's configuration of the optimiser and of gradient accumulation; `clip_grad` as of its OptimWrapper."""
    return {
        "type": "OptimWrapper",
        "optimizer": settings.resolved()["optimizer"] | {"fused": True},
        "accumulative_counts": micro_batches_per_step(settings) // get_dist_info()[1],
        "clip_grad": clip_grad,
    }


def runner_settings(folder: Path, seed: int, epochs: int) -> dict[str, Any]:
    """Arguments of the Runner common to both tasks; the hooks of `training_hooks` replace its checkpoints and logs."""
    return {
        "work_dir": str(folder / "mmengine"),
        "randomness": {"seed": seed},
        "train_cfg": {"by_epoch": True, "max_epochs": epochs},
        "default_hooks": {"checkpoint": None, "logger": None, "param_scheduler": {"type": StepSchedulerHook}},
        "launcher": "pytorch" if devices.is_distributed() else "none",
        "cfg": {
            "model_wrapper_cfg": {
                "type": "MMDistributedDataParallel",
                "device_ids": None,  # the model's device; mmengine would select a GPU for a model on the CPU
                "broadcast_buffers": False,
            }
        },
        "visualizer": {"type": "Visualizer", "vis_backends": []},
        "log_level": "ERROR",
    }
