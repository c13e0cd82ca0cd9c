"""Graphs of others: what they return is held against what their package says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.foreign import SHARK, bright, write_foreign

from cellfleet.errors import ModelError
from cellfleet.models import load_model


@pytest.mark.parametrize("side", [76, 80])
def test_an_output_that_is_cut_off_without_being_said_moves_no_object(tmp_path: Path, side: int) -> None:
    """Of a tile of 76 px, mirrored to 80, such a graph returns 76: as many as are wanted, and others."""
    model = load_model(write_foreign(tmp_path / "cut", SHARK, bright(border=2)), device="cpu")
    with pytest.raises(ModelError, match=r"returns \(2, 76, 76\), its description says \(2, 80, 80\).*E431"):
        model.predictor.predict(np.zeros((1, side, side), np.float32), np.zeros((1, 2), np.float32))
