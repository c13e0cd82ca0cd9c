"""`cellfleet train`: options → one training run. Words only; the work is done in `cellfleet.training`."""


def train() -> int:
    """Train a model on your own labelled images."""
    return 0
