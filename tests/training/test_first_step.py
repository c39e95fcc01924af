"""A training that is not finite at its first step names the layer, and does not advise a lower learning rate."""

import re

import pytest
import torch

from sgenet.attention.se import SqueezeExcitation
from sgenet.attention.sge import SpatialGroupEnhance
from sgenet.classification.classifier import Classifier
from support.faults import sgenet

CLASSIFIER, DETECTOR = "classification/se-resnet50", "detection/retinanet/sge-resnet50"


class Root(torch.autograd.Function):
    """The identity, with the gradient of a square root at 0."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient / 0


def divides_by_zero(self, x, identity=None, relu=False):
    return x / torch.zeros_like(x)


def has_no_gradient(self, x):
    return x * self.fc(self.pool(Root.apply(x)).flatten(1)).sigmoid()[:, :, None, None]


def has_an_infinite_loss(self, images, labels, mode="tensor"):
    return {"loss": self.network(images.float() / 255).sum().abs() * torch.inf}


@pytest.fixture
def train(prepared_project, monkeypatch):
    """Train a run in a fork, where a class has another `forward`; returns the exit status and the message."""
    monkeypatch.setenv("WANDB_MODE", "disabled")

    def train(run_id, owner, forward):
        with monkeypatch.context() as patch:
            patch.setattr(owner, "forward", forward)
            return sgenet("train", run_id, "--scale", "smoke")

    return train


@pytest.mark.parametrize(
    ("owner", "forward", "what", "why"),
    [
        (
            *(SqueezeExcitation, divides_by_zero, "the loss is nan"),
            "the first layer whose output is not finite is layer1.0.se (SqueezeExcitation)",
        ),
        (
            *(SqueezeExcitation, has_no_gradient, r"\S+ is not finite"),
            "the backward pass of layer4.2.se (SqueezeExcitation) returns gradients that are not finite",
        ),
        (
            *(Classifier, has_an_infinite_loss, "the loss is inf"),
            "the outputs of all layers are finite, and the loss of these outputs is not",
        ),
    ],
)
def test_a_classifier_names_the_layer(train, owner, forward, what, why):
    status, told = train(CLASSIFIER, owner, forward)
    assert status == 2 and "learning rate" not in told
    place = r"in epoch 1, iteration 1 \(last finite loss: \S+( in this epoch)?\)"
    assert re.fullmatch(f"sgenet: {CLASSIFIER}: {what} {place}; expected finite numbers: {re.escape(why)}\n", told)


def test_a_detector_names_the_layer(train, monkeypatch):
    monkeypatch.setattr("sgenet.pipeline.steps._starting_weights", lambda *_: None)
    status, told = train(DETECTOR, SpatialGroupEnhance, divides_by_zero)
    assert status == 2 and told.endswith(
        "the first layer whose output is not finite is backbone.layer1.0.sge (SpatialGroupEnhance)\n"
    )


def test_what_comes_in_not_finite_is_said_to(train):
    def forward(self, x):
        return x * self.fc(self.pool(x / 0).flatten(1)).sigmoid()[:, :, None, None]

    _, told = train(CLASSIFIER, SqueezeExcitation, forward)
    assert told.endswith("is layer1.0.se.pool (AdaptiveAvgPool2d), and its input is not finite either\n")
