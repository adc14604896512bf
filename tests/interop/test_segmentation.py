"""Libraries that put decoders, detectors and training loops around a backbone, with a ConvNeXt of timm's as control."""

import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fanet.segmentation import UperNet

both = pytest.mark.parametrize("name", ("convnext_atto", "test_fanet"))
pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own

# Every decoder of segmentation_models_pytorch. PAN pools the last map three times: it needs 8 pixels of it.
SMP = ("DPT DeepLabV3 DeepLabV3Plus FPN Linknet MAnet PAN PSPNet Segformer UPerNet Unet UnetPlusPlus").split()
SIDES = {"PAN": 256}

SHARDED = """
import copy
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from fanet.segmentation import UperNet

dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (dist.get_world_size(),))
images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
torch.manual_seed(0)
net = UperNet("{name}", 3, head_channels=8, aux_channels=8, dropout=0.0).eval()
net.training = net.decode_head.training = True  # all logits, while batch norms use their running statistics
whole = copy.deepcopy(net)
for module in list(net.backbone.modules()):
    if type(module).__name__ in ("ConvNeXtStage", "FANetStage"):
        fully_shard(module, mesh=mesh)
fully_shard(net, mesh=mesh)
for model, share in ((net, images[2 * dist.get_rank() :][:2]), (whole, images)):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    main, auxiliary = model(share)
    (main.square().mean() + auxiliary.square().mean()).backward()
    optimizer.step()
for (name, parameter), other in zip(net.named_parameters(), whole.parameters(), strict=True):
    torch.testing.assert_close(parameter.full_tensor(), other, atol=1e-6, rtol=1e-4, msg=lambda text: name + text)
print("same")
dist.destroy_process_group()
"""


def images(side: int = 64) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


@both
@pytest.mark.parametrize("decoder", SMP)
def test_smp_trains_every_decoder(name: str, decoder: str) -> None:
    import segmentation_models_pytorch

    torch.manual_seed(0)
    network = getattr(segmentation_models_pytorch, decoder)(f"tu-{name}", encoder_weights=None, classes=3).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    x = images(SIDES.get(decoder, 64))
    logits = network(x)
    assert logits.shape == (2, 3, *x.shape[-2:])
    cross_entropy(logits, torch.zeros(2, *x.shape[-2:], dtype=torch.long)).backward()
    assert sum(parameter.grad is not None for parameter in network.encoder.parameters()) > 10
    optimizer.step()
    with torch.no_grad():
        assert network.eval()(x).isfinite().all()


@both
def test_smp_networks_are_scripted(name: str) -> None:
    import segmentation_models_pytorch

    network = segmentation_models_pytorch.UPerNet(f"tu-{name}", encoder_weights=None, decoder_channels=16).eval()
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.script(network)(images()), network(images()))


@both
@pytest.mark.parametrize("out_indices", [[0, 1, 2, 3], [1, 3]])
def test_transformers_gives_the_same_maps(name: str, out_indices: list[int]) -> None:
    from transformers import TimmBackbone, TimmBackboneConfig

    backbone = TimmBackbone(TimmBackboneConfig(backbone=name, out_indices=out_indices)).eval()
    body = timm.create_model(name, features_only=True, out_indices=out_indices).eval()
    body.load_state_dict(backbone._backbone.state_dict())
    assert backbone.channels == body.feature_info.channels()
    assert backbone.out_features == [f"stages.{index}" for index in out_indices]
    for a, b in zip(backbone(images()).feature_maps, body(images()), strict=True):
        assert torch.equal(a, b)


@both
def test_transformers_upernet_trains_and_reloads(name: str, tmp_path: Path) -> None:
    from transformers import TimmBackboneConfig, UperNetConfig, UperNetForSemanticSegmentation

    channels = timm.create_model(name, features_only=True).feature_info.channels()
    config = UperNetConfig(
        backbone_config=TimmBackboneConfig(backbone=name, out_indices=[0, 1, 2, 3]),
        hidden_size=16,
        num_labels=3,
        auxiliary_in_channels=channels[2],
        auxiliary_channels=8,
    )
    network = UperNetForSemanticSegmentation(config).train()
    network(images(), labels=torch.zeros(2, 64, 64, dtype=torch.long)).loss.backward()
    torch.optim.SGD(network.parameters(), lr=0.01).step()
    network.eval().save_pretrained(tmp_path)
    loaded = UperNetForSemanticSegmentation.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(images()).logits, network(images()).logits)


@both
def test_torchvision_trains_a_faster_rcnn(name: str) -> None:
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = timm.create_model(name, features_only=True)
            self.fpn = FeaturePyramidNetwork(self.body.feature_info.channels(), 16, LastLevelMaxPool())
            self.out_channels = 16

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return self.fpn(OrderedDict((str(i), feature) for i, feature in enumerate(self.body(x))))

    torch.manual_seed(0)
    detector = FasterRCNN(
        Pyramid(),
        num_classes=2,
        min_size=64,
        max_size=96,
        rpn_anchor_generator=AnchorGenerator(((8,), (16,), (32,), (48,), (64,)), ((1.0,),) * 5),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 5, 2),
    ).train()
    target = {"boxes": torch.tensor([[4.0, 4.0, 30.0, 30.0]]), "labels": torch.tensor([1])}
    loss = sum(detector([torch.rand(3, 64, 80), torch.rand(3, 50, 60)], [target, target]).values())
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in detector.parameters())
    assert {*detector.eval()([torch.rand(3, 70, 90)])[0]} == {"boxes", "labels", "scores"}


def lightning_module(name: str) -> nn.Module:
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = UperNet(name, 3, head_channels=8, aux_channels=8)

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            main, auxiliary = self.model(batch[0])
            return cross_entropy(main, batch[1]) + 0.5 * cross_entropy(auxiliary, batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    return Module()


def test_a_lightning_checkpoint_loads_as_the_model_that_was_trained(tmp_path: Path) -> None:
    import lightning

    module = lightning_module("test_fanet")
    before = {key: tensor.clone() for key, tensor in module.model.state_dict().items()}
    samples = [(image, torch.zeros(64, 64, dtype=torch.long)) for image in images()] * 2
    trainer = lightning.Trainer(
        max_steps=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, torch.utils.data.DataLoader(samples, batch_size=2))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = UperNet.from_pretrained(tmp_path / "last.ckpt")
    tensors = loaded.state_dict()
    assert all(torch.equal(tensor, tensors[key]) for key, tensor in module.model.state_dict().items())
    assert not all(torch.equal(tensor, tensors[key]) for key, tensor in before.items())


@both
def test_fsdp2_takes_the_step_of_the_whole_batch(name: str, tmp_path: Path) -> None:
    (tmp_path / "sharded.py").write_text(SHARDED.replace("{name}", name))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [*command, str(tmp_path / "sharded.py")], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("same") == 2
