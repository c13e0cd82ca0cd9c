"""A zip of 100 images moves through the kiosk's routes and a bucket in few requests, and each byte about once."""

from __future__ import annotations

import os

import pytest
from tests.kiosk_counts import Counted, count
from tests.servers import S3

pytestmark = pytest.mark.slow

IMAGES, SIDE = 100, 400
THEIR_BYTES = 26
"""That the original moves for each byte of input."""


@pytest.fixture(scope="module")
def counted(moto: S3, tmp_path_factory: pytest.TempPathFactory) -> Counted:
    """What the unmodified client and a bucket made of a zip of 100 images."""
    before = dict(os.environ)
    try:
        return count(tmp_path_factory.mktemp("kiosk"), moto.endpoint, IMAGES, SIDE)
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_the_zip_goes_up_once_and_its_members_never(counted: Counted) -> None:
    sent = counted.of("/uploads/", "PUT")
    assert sum(request.up for request in sent) == counted.input_bytes
    assert len({request.path.partition("?")[0] for request in sent}) == 1
    others = [
        request for request in counted.of("/service/", "PUT") if request not in [*sent, *counted.of("report", "PUT")]
    ]
    assert max(request.up for request in others) < counted.input_bytes / IMAGES, "nothing else is as large as an image"


def test_workers_read_each_member_where_it_is(counted: Counted) -> None:
    read = counted.of("/uploads/", "GET")
    assert len(read) <= IMAGES + 6, "one request for each member, and some for the directory"
    assert sum(request.down for request in read) <= 1.1 * counted.input_bytes + (6 << 20)


def test_bytes_and_requests_stay_far_below_the_originals(counted: Counted) -> None:
    assert counted.moved <= 4
    assert counted.moved_with_client <= THEIR_BYTES / 4
    assert len(counted.requests) <= 15 * IMAGES
