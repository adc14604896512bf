"""Ray Data: label maps of image files from actors that each hold a model."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fanet.scenes import scene
from fanet.segmentation import UperNet

# Sizes differ, so that a batch cannot be one array; two actors, so that each sees some of the files.
SCRIPT = """
import io
import numpy as np
import ray
from fanet.segmentation import BatchPredictor

ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
labelled = ray.data.read_images("frames", mode="RGB", include_paths=True, override_num_blocks=4).map_batches(
    BatchPredictor,
    fn_constructor_kwargs={"model": "my_model", "png": True},
    compute=ray.data.ActorPoolStrategy(size=2),
    batch_size=2,
)
for row in labelled.iter_rows():
    with open(row["path"] + ".labels", "wb") as file:
        file.write(row["labels"])
"""
# Ray sends usage statistics by default.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("name", ("convnext_atto", "test_fanet"))
def test_actors_label_files_as_a_single_process_does(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = UperNet(name, 5, head_channels=8, aux_channels=0).eval()
    net.save_pretrained(tmp_path / "my_model")
    (tmp_path / "frames").mkdir()
    frames = {f"{index}.png": scene(0, index, (64, 64 + 8 * (index % 2)))[0] for index in range(6)}
    for file, image in frames.items():
        Image.fromarray(image).save(tmp_path / "frames" / file)
    environment = os.environ | QUIET | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for file, image in frames.items():
        labels = Image.open(io.BytesIO((tmp_path / "frames" / f"{file}.labels").read_bytes()))
        np.testing.assert_array_equal(np.array(labels), net.predict(image))
