"""Check an exported file on this machine: its digest, and its proof."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fanet.errors import UserError, one_line
from fanet.export.description import preprocessing_of
from fanet.export.digest import check_digest
from fanet.export.proof import Run, check_proof, run_with
from fanet.segmentation.prediction.engines.onnx import FixedSize, OnnxEngine
from fanet.segmentation.prediction.engines.packaged import PackagedEngine


def check_file(path: str | Path) -> tuple[str, float]:
    """Check that a file of `fanet export` is unchanged and computes on this machine what it computed there.

    Returns:
        Its digest, and the largest deviation of a logit as a share of what is allowed.

    Raises:
        UserError: The file is missing or changed, carries no proof, cannot be run here, or gives something else.
    """
    path = Path(path)
    digest = check_digest(path)
    try:
        engine = engine_of(path)
        try:
            proof = json.loads(engine.metadata.get("proof", "[]"))
        except ValueError as error:
            raise UserError(f"its proof is damaged ({one_line(error)}): export the model again") from error
        if not isinstance(proof, list) or not proof:
            raise UserError("it carries no proof: export the model again")
        return digest, check_proof(run_of(engine), proof)
    except UserError as error:
        raise UserError(f"{path} is refused: {error}") from error


def labels_of(path: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return what a file makes of an image: (H, W, C) uint8 -> labels (H, W).

    Raises:
        UserError: The file cannot be run, or does not say how to prepare images.
    """
    run = run_of(engine_of(Path(path)))
    return lambda pixels: run(pixels)[0]


def engine_of(path: Path) -> OnnxEngine | PackagedEngine:
    """Load a file.

    Raises:
        UserError: It cannot be run.
    """
    return PackagedEngine(path) if path.suffix.lower() == ".pt2" else OnnxEngine(path)


def run_of(engine: OnnxEngine | PackagedEngine) -> Run:
    """Return the whole way from an image to labels and logits through a file.

    Raises:
        UserError: The file does not say how to prepare images.
    """
    if isinstance(engine, OnnxEngine) and engine.takes_pixels:
        return _end_to_end(engine)
    try:
        description = {key: json.loads(value) for key, value in engine.metadata.items()}
        preprocessing = preprocessing_of(description)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"it does not say how to prepare images ({one_line(error)})") from error
    pads = engine.size is not None and "classes" in description  # a classifier would count the margin
    return run_with(FixedSize(engine, engine.size) if pads and engine.size else engine, preprocessing)


def _end_to_end(engine: OnnxEngine) -> Run:
    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            labels, scores = engine.outputs(torch.from_numpy(np.array(pixels))[None])
        except Exception as error:  # onnxruntime raises errors of its own, which share no base class
            raise UserError(f"ONNX Runtime cannot run it ({one_line(error, 160)})") from error
        return labels[0].numpy(), scores[0].numpy()

    return run
