"""BAM in a detector's backbone: which maps are handed on, what is frozen, what stays in eval mode."""

import pytest
import torch

from sgenet.detection import ops

ops.install()

from sgenet.models.backbone import AttentionResNetBackbone  # noqa: E402


@pytest.mark.parametrize("frozen_stages", [-1, 0, 1, 2])
def test_maps_come_after_the_module_between_stages_which_trains(frozen_stages):
    stem = ("conv1", "bn1") if frozen_stages >= 0 else ()
    stages = tuple(f"layer{k}" for k in range(1, frozen_stages + 1))
    backbone = AttentionResNetBackbone("bam-resnet50", width=8, frozen_stages=frozen_stages, norm_eval=True).train()
    assert {
        name.partition(".")[0] for name, parameter in backbone.named_parameters() if not parameter.requires_grad
    } == {*stem, *stages}
    x = torch.randn(1, 3, 64, 64)  # one image: in training mode BatchNorm1d would refuse it
    maps = backbone(x)
    torch.testing.assert_close(maps[1], backbone.bam2(backbone.layer2(maps[0])))
    assert all(m.requires_grad for m in maps)


def test_batch_normalisations_train_when_asked():
    backbone = AttentionResNetBackbone("bam-resnet50", width=8, frozen_stages=1, norm_eval=False).train()
    assert backbone.bam1.channel_att.gate_c.gate_c_bn_1.training
    assert backbone.layer2[0].bn1.training and not backbone.layer1[0].bn1.training
