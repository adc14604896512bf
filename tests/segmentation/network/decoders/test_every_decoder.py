"""What a segmentation model promises, with each decoder of the package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.optim import create_optimizer_v2

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation import BatchPredictor, Preprocessing, SegmentationModel, UperNet, load_model
from fanet.segmentation.data import Sample
from fanet.segmentation.evaluation.evaluate import evaluate_split
from fanet.segmentation.network.shipped import FOLDER

DECODERS = ("deeplabv3plus", "linear", "upernet")
KWARGS = {"deeplabv3plus": {"rates": [1, 2], "low_channels": 4}, "linear": {}, "upernet": {"pool_scales": [1, 2]}}
SCHEME = ClassScheme(("belt", "can"), ((0, 0, 0), (1, 2, 3)), ignore_index=9)

# Two processes train each decoder for a step; the gradients must be those of the whole batch.
PROCESSES = """
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from fanet.segmentation import SegmentationModel

dist.init_process_group("gloo")
images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
share = images[2 * dist.get_rank() :][:2]
for decoder in {decoders!r}:
    torch.manual_seed(0)
    net = SegmentationModel("test_resnet", 2, decoder, head_channels=8, aux_channels=8, dropout=0).train()
    for module in net.modules():  # whose statistics, and whose draws, are each process's own
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.Dropout)):
            module.eval()
    parallel = DistributedDataParallel(net)
    main, auxiliary = parallel(share)
    (main.square().mean() + auxiliary.square().mean()).backward()
    gradients = [parameter.grad.clone() for parameter in net.parameters()]
    net.zero_grad()
    main, auxiliary = net(images)
    (main.square().mean() + auxiliary.square().mean()).backward()
    for (name, parameter), gradient in zip(net.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-3, atol=1e-6, msg=lambda text: name + text)
    print("same")
dist.destroy_process_group()
"""


@pytest.fixture(scope="module", params=DECODERS)
def net(request) -> SegmentationModel:
    torch.manual_seed(0)
    return SegmentationModel(
        "test_resnet",
        2,
        request.param,
        head_channels=8,
        decoder_kwargs=KWARGS[request.param],
        aux_channels=8,
        classes=SCHEME,
        preprocessing=Preprocessing(fit=(64, 48)),
    ).eval()


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(45, 37, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(32, 32), (33, 65), (97, 31)])
def test_any_size_gives_logits_of_that_size(net, size):
    with torch.no_grad():
        assert net(torch.randn(2, 3, *size)).shape == (2, 2, *size)


@pytest.mark.parametrize("size", [(64, 64), (37, 45)])  # one pixel of a map is too little for a ResNet itself
def test_a_batch_of_one_trains(net, size):
    main, auxiliary = net.train()(torch.randn(1, 3, *size))
    (main.square().mean() + auxiliary.square().mean()).backward()
    assert main.shape == auxiliary.shape == (1, 2, *size)
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())
    net.zero_grad()
    net.eval()


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_training_step_lowers_the_loss(decoder):
    torch.manual_seed(0)
    net = SegmentationModel("test_resnet", 2, decoder, head_channels=8, dropout=0)
    optimizer = create_optimizer_v2(net, opt="adamw", lr=1e-2)
    images, labels = torch.randn(2, 3, 64, 64), torch.randint(2, (2, 64, 64))
    labels[:, :32] = 0
    losses = []
    for _ in range(5):
        main, auxiliary = net(images)
        assert auxiliary is None
        loss = torch.nn.functional.cross_entropy(main, labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("backbone", ["test_fanet", "test_vit"])
def test_another_backbone_of_timm_works(decoder, backbone):
    net = SegmentationModel(backbone, 2, decoder, head_channels=8)
    main, auxiliary = net(torch.randn(2, 3, 90, 131))
    assert main.shape == (2, 2, 90, 131) and auxiliary is None
    assert net.predict(np.zeros((50, 70, 3), np.uint8)).shape == (50, 70)


def test_what_is_saved_loads_as_the_same_model(net, image, tmp_path):
    net.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert {key: config[key] for key in net.config} == net.config
    for loaded in (SegmentationModel.from_pretrained(tmp_path), load_model(tmp_path / "model.safetensors")):
        assert loaded.config == net.config and not loaded.training
        assert loaded.classes == SCHEME and loaded.preprocessing == net.preprocessing
        assert loaded.state_dict().keys() == net.state_dict().keys()
        assert all(torch.equal(value, net.state_dict()[name]) for name, value in loaded.state_dict().items())
        np.testing.assert_array_equal(loaded.predict(image), net.predict(image))


def test_the_parts_of_a_state_dict_are_backbone_decoder_and_auxiliary_head(net):
    names = list(net.state_dict())
    assert {name.split(".")[0] for name in names} == {"backbone", "decode_head", "auxiliary_head"}
    assert {"decode_head.conv_seg.weight", "decode_head.conv_seg.bias"} <= set(names)


def test_upernet_takes_no_model_of_another_decoder(net, tmp_path):
    net.save_pretrained(tmp_path)
    if net.config["decoder"] == "upernet":
        loaded = UperNet.from_pretrained(tmp_path)
        assert type(loaded) is UperNet and loaded.config["pool_scales"] == [1, 2]
        assert all(torch.equal(value, net.state_dict()[name]) for name, value in loaded.state_dict().items())
        return
    message = f"config.json: the model's decoder is {net.config['decoder']}: load it with SegmentationModel"
    for path in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(UserError, match=message) as caught:
            UperNet.from_pretrained(path)
        assert "\n" not in str(caught.value)


def test_predictions_are_those_of_the_network(net, image):
    with torch.no_grad():
        logits = torch.nn.functional.interpolate(net(net.preprocessing(image)), size=(45, 37), mode="bilinear")
    np.testing.assert_array_equal(net.predict(image), logits.argmax(1)[0].numpy())
    np.testing.assert_allclose(net.predict_probabilities(image), logits.softmax(1)[0].numpy(), atol=1e-6)


def test_batches_are_predicted_like_single_images(net, image, tmp_path):
    net.save_pretrained(tmp_path)
    batch = BatchPredictor(tmp_path)({"image": np.stack([image, image[::-1]])})
    np.testing.assert_array_equal(batch["labels"], [net.predict(image), net.predict(image[::-1])])


def test_evaluation_counts_every_pixel(net, image, tmp_path):
    class Images(list):
        classes, names = SCHEME, ["a"]

    labels = np.random.default_rng(1).integers(2, size=(45, 37), dtype=np.uint8)
    result = evaluate_split(net.predictor(), Images([Sample("a", image, labels)]), tmp_path / "out", resamples=0)
    predicted = net.predict(image)
    expected = [[int(((labels == i) & (predicted == j)).sum()) for j in range(2)] for i in range(2)]
    assert result["confusion_matrix"] == expected


@pytest.mark.parametrize("decoder", DECODERS)
def test_all_but_the_backbone_is_the_last_layer(decoder):
    with torch.device("meta"):
        net = SegmentationModel("test_fanet", 2, decoder, head_channels=8, aux_channels=8)
    groups = create_optimizer_v2(net, opt="sgd", lr=1e-3, weight_decay=0.05, layer_decay=0.5).param_groups
    scales = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    heads = {scales[id(p)] for name, p in net.named_parameters() if not name.startswith("backbone.")}
    assert heads == {1.0} and min(scales.values()) < 0.1


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_whole_graph_compiles(decoder):
    torch.manual_seed(0)
    torch.compiler.reset()
    net = SegmentationModel("test_resnet", 2, decoder, head_channels=8).eval()
    x = torch.randn(1, 3, 45, 64)
    with torch.no_grad():
        compiled = torch.compile(net, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), net(x))


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_model_exports_at_one_size(decoder):
    torch.manual_seed(0)
    net = SegmentationModel("test_resnet", 2, decoder, head_channels=8).eval()
    x = torch.randn(1, 3, 45, 64)
    with torch.no_grad():
        exported = torch.export.export(net, (x,)).module()
        torch.testing.assert_close(exported(x), net(x))


def test_two_processes_get_the_gradients_of_the_whole_batch(tmp_path):
    (tmp_path / "processes.py").write_text(PROCESSES.format(decoders=DECODERS))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [*command, str(tmp_path / "processes.py")], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("same") == 2 * len(DECODERS)


def test_a_config_json_without_decoder_is_upernets(tmp_path):
    net = UperNet("test_resnet", 2, head_channels=8, aux_channels=0, pool_scales=(1, 3))
    net.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert "decoder" not in config and config["pool_scales"] == [1, 3]
    loaded = SegmentationModel.from_pretrained(tmp_path)
    assert loaded.config["decoder"] == "upernet" and loaded.config["decoder_kwargs"] == {"pool_scales": [1, 3]}
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_an_upernet_saves_the_config_json_that_it_was_loaded_from(tmp_path):
    shipped = FOLDER / "clutter"
    UperNet.from_pretrained(shipped).save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_bytes() == (shipped / "config.json").read_bytes()


@pytest.mark.parametrize("keys", [["decoder_kwargs"], ["head_channels", "dropout"]])
def test_a_config_json_that_lacks_keys_is_an_error_of_one_line(keys, tmp_path):
    SegmentationModel("test_resnet", 2, "linear").save_pretrained(tmp_path)
    path = Path(tmp_path / "config.json")
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key not in keys}))
    with pytest.raises(UserError, match=f"config.json: lacks {', '.join(keys)}; save the model again"):
        SegmentationModel.from_pretrained(tmp_path)
