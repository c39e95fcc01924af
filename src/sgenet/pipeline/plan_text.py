"""What `sgenet plan` prints."""

from typing import Any

from sgenet.config.seeds import in_words
from sgenet.pipeline.disk import size_text
from sgenet.pipeline.plan import BOX, MASK, hours_text
from sgenet.pipeline.resources import MARGIN, START


def to_text(plan: dict[str, Any]) -> str:
    """The plan as text."""
    from tabulate import tabulate

    measured, total, disk, devices = plan["measured"], plan["total"], plan["disk"], plan["devices"]
    seeds = in_words(plan["seeds"], plan["most_seeds"])
    unit = "GPU-hours" if measured["device"] == "cuda" else "device-hours"
    heading = ("work", "runs", "done", "epochs", "train images", "s/image", unit, "hours")
    cells = [heading] + [
        (
            " ".join(filter(None, (row["task"], row["detector"], row["model"]))),
            str(row["runs"]),
            str(row["done"]),
            str(row["epochs"]),
            f"{row['train_images']:,}",
            "-" if row["seconds_per_image"] is None else f"{row['seconds_per_image']:.3g}",
            hours_text(row["device_hours"]),
            hours_text(row["hours"]),
        )  # fmt: skip
        for row in plan["work"]
    ]
    hours = (hours_text(total[name]) for name in ("device_hours", "hours"))
    sums = (str(total["runs"]), str(total["done"]), "", "", "", *hours)
    size = {name: size_text(count) for name, count in disk.items()}
    align = ["left", *["right"] * len(sums)]
    return "\n".join(
        [
            f"ESTIMATE for the scale {plan['scale']}, tables {', '.join(plan['tables'])}, {seeds}",
            "",
            tabulate([*cells, ("total", *sums)], tablefmt="plain", disable_numparse=True, colalign=align),
            "",
            f"Hours are for the remaining runs, one after another, devices per training: {devices}{_nodes(plan)}.",
            f"In a step, each device processes micro-batches in rounds: {_in_rounds(plan)}. The hours assume",
            "that images are read and decoded as fast as the device processes them. Data preparation, the start-up of",
            "each step, figures, latencies and the report are not included.",
            "",
            f"on a cluster, jobs ask for at most {MARGIN} times the estimated or recorded time, {START} minutes, and",
            "memory by the settings of the scale; set-resources in profiles/slurm/config.yaml may have other lines",
            *_jobs(plan),
            "",
            "order",
            *(f"  {number}. {step}" for number, step in enumerate(plan["order"], 1)),
            "",
            "images",
            *(f"  {task}: {of['train']:,} + {of['val']:,} ({of['from']})" for task, of in plan["images"].items()),
            "",
            f"disk ({size['used']} used by this scale now, {size['free']} free here), for the remaining runs",
            f"  {size['weights']} weights: best and last of a classifier, last of a detector",
            f"  {size['detections']} detections at most: the largest number per image, {BOX} bytes each, "
            f"{BOX + MASK} with a mask",
            f"  {size['cache']} additionally in DVC's cache, if it copies files instead of linking them",
            f"  {size['checkpoint']} during a training: checkpoint of weights and optimiser state",
            "",
            "measured",
            *(f"  {line}" for line in _how(measured)),
        ]
    )


def _how(measured: dict[str, Any]) -> list[str]:
    lines = [measured["name"]]
    lines.append(
        f"{', '.join(measured['networks'])} on synthetic images, each with up to {measured['steps']} timed steps after"
        " untimed ones; the fastest counts"
    )
    lines.append("others: these, scaled by multiply-adds, of a detector by those of its backbone alone")
    if measured["wanted"] == "cuda" and measured["device"] == "cpu":
        lines.append("The scale requires cuda, which this machine does not have: the hours are for its CPU.")
    for way in measured["ways"]:
        asked, timed = ("{images} x {height} x {width}".format(**way[key]) for key in ("run", "timed"))
        less = "" if asked == timed else f" in place of {asked}, scaled by the number of pixels"
        lines.append(f"{way['task']} in {way['precision']}: {timed} pixels per step{less}")
    return lines


def _nodes(plan: dict[str, Any]) -> str:
    return f", on {plan['nodes']} nodes of a cluster" if plan["nodes"] > 1 else ""


def _in_rounds(plan: dict[str, Any]) -> str:
    return ", ".join(f"{task} {rounds}" for task, rounds in sorted(plan["rounds"].items()))


def _jobs(plan: dict[str, Any]) -> list[str]:
    lines = []
    for job in plan.get("jobs", []):
        source = f"by {job['from']}" if job["from"] else "nothing was measured on such a device"
        lines.append(f"  - {job['rule']}:runtime={job['runtime']} # minutes; {source}")
        lines.append(f"  - {job['rule']}:mem_mb={job['mem_mb']}")
    return lines
