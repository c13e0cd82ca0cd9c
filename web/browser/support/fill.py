"""Put many jobs into the ledger of a running service: `fill.py DATA OWNER JOBS IMAGES`; prints the id of one job.

That job is done, with IMAGES images and a record of each, all with one picture. The other jobs are copies of its entry
in the ledger, with names and ids of their own.
"""

import sys
from importlib.resources import files
from pathlib import Path

import redis
from cellfleet import samples
from cellfleet.images.read import open_image
from cellfleet.images.source import Source
from cellfleet.jobs.keys import JOB, JOBS, JOBS_OF
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.manifest import read_tasks, write_manifest
from cellfleet.models.repository import Repository
from cellfleet.results.record import as_json, record_name, thumbnail_name
from cellfleet.service.thumbnail import thumbnail
from cellfleet.spec.job import Done, ImageRef, JobSpec, Tally, Task
from cellfleet.spec.record import ImageRecord
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import FolderPlace

BUNDLE = 100
STEP = 1000
COPIES = """
local spec = redis.call('HGET', KEYS[1], 'spec')
local first = tonumber(redis.call('HGET', KEYS[1], 'submitted_ms'))
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local id = string.format('copy-%06d', number)
  local key = 'cellfleet:job:' .. id
  redis.call('COPY', KEYS[1], key)
  local own = string.gsub(spec, '"id":"[^"]*"', '"id":"' .. id .. '"', 1)
  own = string.gsub(own, '"name":"[^"]*"', '"name":"Plate ' .. number .. '"', 1)
  redis.call('HSET', key, 'spec', own, 'submitted_ms', first - 1000 * number)
  redis.call('ZADD', KEYS[2], first - 1000 * number, id)
  redis.call('ZADD', KEYS[3], first - 1000 * number, id)
end
"""


def main(data: Path, owner: str, jobs: int, images: int) -> None:
    address = f"unix://{data / 'ledger' / 'redis.sock'}"
    store, ledger = FolderPlace(data / "store"), Ledger(address)
    model = Repository(store, data / "cache").resolve("otsu")
    job = JobSpec(id="large-job", name="10 000 images", owner=owner, model=model, segment=SegmentSpec(), results="results/large-job")
    results = FolderPlace(data / "store" / job.results)
    _write_results(results, job, images)
    manifest = write_manifest(store, job, (_task(job.id, first, images) for first in range(0, images, BUNDLE)))
    ledger.submit(job, read_tasks(store, manifest))
    while lease := ledger.claim("fill"):
        count = len(lease.task.images)
        ledger.acknowledge(lease, Done(tally=Tally(images=count, pixels=count << 18, objects=43 * count)))
    ledger.summarised(job.id)
    server = redis.Redis.from_url(address, socket_timeout=60)
    keys = (JOB(job=job.id), JOBS(), JOBS_OF(owner=owner))
    for first in range(1, jobs, STEP):
        server.eval(COPIES, len(keys), *keys, first, min(first + STEP, jobs) - 1)
    print(job.id)


def _name(number: int) -> str:
    return f"plate {number // 384}/well {number % 384:03d}.tif"


def _task(job: str, first: int, images: int) -> Task:
    names = [_name(number) for number in range(first, min(first + BUNDLE, images))]
    refs = tuple(ImageRef(path=f"/nowhere/{name}", name=name, stem=name.removesuffix(".tif")) for name in names)
    return Task(job=job, number=first // BUNDLE, first_image=first, images=refs)


def _write_results(results: FolderPlace, job: JobSpec, images: int) -> None:
    picture, _ = thumbnail(open_image(Source(str(files(samples) / "small_nuclei.tif"), "small_nuclei.tif")))
    shown = thumbnail_name("all")
    results.write(shown, picture)
    key = job.segment.digest(job.model.sha256)
    for number in range(images):
        record = ImageRecord(image=_name(number), status="done", key=key, objects=43, median_diameter_px=40.0, thumbnail=shown)
        # Not through the store, which has every file on the disk before the next.
        file = results.path / record_name(record.image)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(as_json(record))


main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
