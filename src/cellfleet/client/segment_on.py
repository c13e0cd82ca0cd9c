"""`cellfleet segment --on`: which kind of run on a server an order is."""

from __future__ import annotations

from cellfleet.client.client import Client
from cellfleet.client.events import Tell
from cellfleet.client.order import Ended, Order
from cellfleet.client.parcel import split_inputs
from cellfleet.client.run_there import run_there
from cellfleet.client.run_unplanned import run_into_bucket, run_into_folder
from cellfleet.stores.place import FolderPlace, open_place


def segment_on(order: Order, client: Client, tell: Tell) -> Ended:
    """Segment on a server, as `cellfleet.run.run.run` does here.

    Raises:
        CellfleetError: As a run here; as the server says; E960, the server is away for too long.
        StoppedError: The user asked to stop before the server had a job.
    """
    place = open_place(order.out)
    if not isinstance(place, FolderPlace):
        return run_into_bucket(order, client, tell)
    if split_inputs(order.inputs)[1]:
        return run_into_folder(order, client, place, tell)
    return run_there(order, client, place, tell)
