"""Made-up learning curves."""

from typing import Any


def make_history(metrics: dict[str, Any], epochs: int, skill: float) -> str:
    """A made-up history.csv; a classifier's Top-1 is highest in the last epoch but one."""
    top = ["top1", "top5"] if "top1" in metrics else []
    lines: list[list[Any]] = [["epoch", "loss", "lr", *top, "seconds"]]
    for epoch in range(1, epochs + 1):
        accuracy = [metrics["top1"] - (epoch - epochs + 1) ** 2, metrics["top5"]] if top else []
        lines.append([epoch, round(2.3 * (1 - skill) ** (epoch / 5), 4), 0.001, *accuracy, 3.2])
    return "".join(",".join(map(str, line)) + "\n" for line in lines)
