"""Each hook of a training alone, with a stand-in for mmengine's Runner."""

import json
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import ParamSchedulerHook
from safetensors.torch import load_file
from torch import nn

from sgenet.errors import InputError
from sgenet.training import hooks, step_hooks
from sgenet.training.hooks import BestWeightsHook, EpochEndHook, HistoryHook, LogHook, ProgressHook, ResultHook
from sgenet.training.hooks import TrainingState as State
from sgenet.training.resume import read_history
from sgenet.training.step_hooks import BatchNormHook, LossHook, SeedHook, StepSchedulerHook


def runner(accumulation=1, **attributes):
    """What hooks use of a Runner, in the first epoch of three."""
    wrapper = SimpleNamespace(_accumulative_counts=accumulation, get_lr=lambda: {"lr": [0.5]})
    attributes = {"epoch": 0, "max_epochs": 3, "val_loop": None, "optim_wrapper": wrapper} | attributes
    return SimpleNamespace(train_dataloader=torch.utils.data.DataLoader(range(4)), **attributes)


def in_process(monkeypatch, rank, world):
    monkeypatch.setattr(step_hooks, "get_dist_info", lambda: (rank, world))
    monkeypatch.setattr(step_hooks, "is_main_process", lambda: rank == 0)


def test_random_numbers_depend_on_seed_epoch_and_micro_batch_alone(monkeypatch):
    def draw(seed, epoch, batch, rank=0, world=1):
        in_process(monkeypatch, rank, world)
        SeedHook(seed).before_train_iter(runner(epoch=epoch), batch)
        return torch.rand(1).item()

    assert draw(0, 1, 5) == draw(0, 1, 5) == draw(0, 1, 2, rank=1, world=2)
    assert len({draw(0, 1, 5), draw(1, 1, 5), draw(0, 2, 5), draw(0, 1, 4)}) == 4


def test_the_dataset_is_given_the_epoch():
    of = runner(epoch=2)
    of.train_dataloader = SimpleNamespace(dataset=SimpleNamespace())
    SeedHook(0).before_train_epoch(of)
    assert of.train_dataloader.dataset.epoch == 2


def test_schedules_that_count_iterations_count_steps(monkeypatch):
    calls = []
    monkeypatch.setattr(
        ParamSchedulerHook, "after_train_iter", lambda self, runner, batch, *_, **__: calls.append(batch)
    )
    for batch in range(6):
        StepSchedulerHook().after_train_iter(runner(accumulation=2), batch)
    assert calls == [1, 3, 5]


@pytest.mark.parametrize(("rank", "updates"), [(0, 2), (1, 0)])
def test_running_statistics_are_of_the_first_micro_batch_of_a_step(monkeypatch, rank, updates):
    in_process(monkeypatch, rank, 2)
    norm = nn.BatchNorm2d(3)
    hook = BatchNormHook(nn.Sequential(norm))
    for batch in range(4):
        hook.before_train_iter(runner(accumulation=2), batch)
        norm(torch.randn(2, 3, 4, 4))
    hook.after_train_epoch(runner())
    assert norm.num_batches_tracked == updates and norm.track_running_stats


@pytest.fixture
def losses():
    """The hook of a network, at the start of an epoch."""
    hook = LossHook("a-run", nn.Linear(2, 2))
    hook.before_train_epoch(runner())
    return hook


def test_losses_are_averaged_over_an_epoch(losses):
    for value in (1.0, 2.0, 6.0):
        outputs = {"loss": torch.tensor(value), "loss_box": torch.tensor(value / 2), "accuracy": torch.tensor(9.0)}
        losses.after_train_iter(runner(), 0, None, outputs)
    losses.after_train_epoch(runner())
    assert losses.means == {"loss": 3.0, "loss_box": 1.5}


def test_on_a_gpu_losses_are_read_at_the_end_of_the_epoch(losses, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    for value in (1.0, 3.0):
        losses.after_train_iter(runner(), 0, None, {"loss": torch.tensor(value)})
    losses.after_train_epoch(runner())
    assert losses.means == {"loss": 2.0}
    losses.after_train_iter(runner(), 0, None, {"loss": torch.tensor(torch.nan)})
    with pytest.raises(InputError, match="the loss is nan"):
        losses.after_train_epoch(runner())


def test_a_loss_that_is_not_finite_ends_the_training(losses):
    place = r"in epoch 1, iteration {} \(last finite loss: {}\); expected finite numbers: lower the learning rate$"
    with pytest.raises(InputError, match="^a-run: the loss is nan " + place.format(1, "none in this epoch")):
        losses.after_train_iter(runner(), 0, None, {"loss": torch.tensor(torch.nan)})
    losses.before_train_epoch(runner())
    losses.after_train_iter(runner(), 0, None, {"loss": torch.tensor(1.25)})
    with pytest.raises(InputError, match="^a-run: the loss_box is inf " + place.format(2, "1.25")):
        losses.after_train_iter(runner(), 1, None, {"loss": torch.tensor(1.0), "loss_box": torch.tensor(torch.inf)})


def test_a_weight_that_is_not_finite_ends_the_training(losses):
    losses.after_train_iter(runner(), 0, None, {"loss": torch.tensor(1.0)})
    losses.network.bias.data[1] = -torch.inf
    with pytest.raises(InputError, match="a-run: bias is not finite in epoch 1, iteration 1"):
        losses.after_train_epoch(runner())


@pytest.mark.parametrize("val_loop", [None, "a loop"])
def test_an_epoch_is_finished_once(val_loop):
    class Finished(EpochEndHook):
        def finish_epoch(self, runner, metrics):
            found.append(metrics)

    found, of = [], runner(val_loop=val_loop)
    Finished().after_train_epoch(of)
    if val_loop:
        Finished().after_val_epoch(of, {"val/top1": 50})
    assert found == [{"top1": 50.0} if val_loop else {}]


def test_a_row_of_the_history_has_its_columns_in_order():
    state = State()
    hook = HistoryHook(SimpleNamespace(means={"loss": 2.0, "loss_box": 1.0}), state)
    hook.before_train_epoch(runner())
    hook.before_train_iter(runner(), 0)
    hook.finish_epoch(runner(), {"top1": 50.0})
    (row,) = state.history
    assert 0 <= row.pop("seconds") < 60
    assert list(row.items()) == [("epoch", 1), ("loss", 2.0), ("lr", 0.5), ("top1", 50.0), ("loss_box", 1.0)]


def test_the_best_weights_are_of_the_first_of_equal_epochs():
    state, network = State(), nn.Linear(1, 1)
    hook = BestWeightsHook(network, "top1", state)
    for epoch, top1 in enumerate((10.0, 40.0, 40.0, 20.0), start=1):
        network.bias.data.fill_(epoch)
        state.history.append({"epoch": epoch, "top1": top1})
        hook.finish_epoch(runner(), {})
    assert state.best["bias"].item() == 2


def test_a_continued_run_logs_all_its_epochs():
    logged, state = [], State(history=[{"epoch": 1}, {"epoch": 2}])
    hook = LogHook(logged.append, state)
    hook.before_train(runner())
    state.history.append({"epoch": 3})
    hook.finish_epoch(runner(), {})
    assert [row["epoch"] for row in logged] == [1, 2, 3]


def test_progress_is_printed_at_the_start_after_a_minute_and_after_an_epoch(capsys, monkeypatch):
    state = State(history=[{"epoch": 1, "loss": 0.123456, "top1": 50, "lr": 0.1, "loss_box": 1.0, "seconds": 9.87654}])
    hook, of = ProgressHook("a-run", state), runner(accumulation=2)
    hook.before_train(of)
    hook.before_train_epoch(of)
    hook.after_train_iter(of, 0)
    now = time.monotonic()
    with monkeypatch.context() as patched:
        patched.setattr(hooks.time, "monotonic", lambda: now + 61)
        hook.after_train_iter(of, 1)
        hook.after_train_iter(of, 2)
    of.val_loop = "a loop"
    hook.after_train_epoch(of)
    hook.finish_epoch(of, {"top1": 50.0})
    assert capsys.readouterr().out.splitlines() == [
        "a-run: 3 epochs of 2 steps, on 1 device",
        "a-run: epoch 1, iteration 2 of 4",
        "a-run: epoch 1/3: loss 0.1235, top1 50, lr 0.1, seconds 9.877",
    ]


@pytest.mark.parametrize("best", [None, {"w": torch.ones(2)}])
def test_results_are_written_after_the_last_epoch(tmp_path, best):
    (tmp_path / "training.json").write_text(json.dumps({}))  # of older weights
    network = nn.Linear(1, 1)
    ResultHook(network, tmp_path, State([{"epoch": 1, "loss": 1 / 3}], best)).after_train(runner())
    written = {"last.safetensors", "history.csv"} | ({"best.safetensors"} if best else set())
    assert {path.name for path in tmp_path.iterdir()} == written
    assert torch.equal(load_file(tmp_path / "last.safetensors")["weight"], network.weight)
    assert read_history(tmp_path / "history.csv") == [{"epoch": 1, "loss": 1 / 3}]


def test_the_hooks_of_a_run_are_in_the_order_of_what_they_write(tmp_path):
    def names(**how):
        found = hooks.training_hooks("a-run", tmp_path, tmp_path, 0, nn.Linear(1, 1), **how)
        return [type(hook).__name__.removesuffix("Hook") for hook in found]

    first, last = ["Seed", "BatchNorm", "Loss", "History"], ["Progress", "Result"]
    assert names(best="top1", log=print) == [*first, "BestWeights", "Resume", "Log", *last]
    assert names(best=None) == [*first, "Resume", *last]
