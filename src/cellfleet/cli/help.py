"""What `--help` says about each command beside its options. Imports nothing, so that help comes at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Help(NamedTuple):
    """Text above and below the options of a command."""

    about: str
    """First line: the summary in the list of commands."""
    examples: str
    commands: Mapping[str, Help] = {}
    """Commands of its own, as in 'cellfleet bench paper': the function `paper` of the module `bench_paper`."""
    alone: str = ""
    """Which of them is meant where none is named."""


START = """Start with:
  cellfleet samples my_images
  cellfleet segment my_images -o results

'cellfleet COMMAND --help' explains a command; --debug shows the traceback of an error."""

COMMANDS: dict[str, Help] = {
    "segment": Help(
        "Find the cells in images: label images, tables and a report.\n\n"
        "Writes OUT/<name>_labels.tif, OUT/<name>_cells.csv, OUT/report.html. After a stop, run it again.",
        """Examples:
  cellfleet segment slide.ome.tif -o results
  cellfleet segment plates/ -o results --channel DAPI --pixel-size 0.325
  cellfleet segment plates/ -o results --on https://cells.lab.example
  cellfleet segment s3://lab/plates -o s3://lab/results --on aws --spot""",
    ),
    "classify": Help(
        "Say of every image what it shows, by an image classifier of your own.\n\n"
        "Writes OUT/classes.csv and classes.parquet with a row per image (per plane of a stack), class_counts.csv and "
        "report.html. After a stop, run it again.",
        """Examples:
  cellfleet models package net.onnx -o our-net --classes classes.txt
  cellfleet classify plates/ -o classes --model our-net
  cellfleet classify plates/ -o classes --model our-net --on https://cells.lab.example""",
    ),
    "plan": Help(
        "Say what a run would take: time and cost, by the number of machines.\n\n"
        "Counts images from their headers, takes the speed of the model as it was measured (or measures it on a sample "
        "image), and prices from a dated table. Runs nothing else.",
        """Examples:
  cellfleet plan plates/
  cellfleet plan plates/ --on gcp-batch --machine n1-standard-8+nvidia-tesla-t4:1 --spot --max-workers 16
  cellfleet plan plates/ --on cluster.yaml
  cellfleet plan plates/ --on https://cells.lab.example --upload-mbps 250""",
    ),
    "export": Help(
        "Write finished results in further formats, for other programs.\n\n"
        "Takes labels and tables from RESULTS; nothing is segmented again. What is there is skipped, so after a stop "
        "run the same command again.",
        """Examples:
  cellfleet export results --format imagej-rois
  cellfleet export results --format qupath-geojson --format anndata -o for-qupath""",
    ),
    "merge": Help(
        "Put the parts of a shared run together.\n\n"
        "After 'cellfleet segment --shard I/N' has ended on every machine: stitches the images that were shared by "
        "blocks and writes run.json, failures.csv and report.html.",
        """Example, on two machines that see the same folders:
  cellfleet segment slides/ -o results --shard 1/2
  cellfleet segment slides/ -o results --shard 2/2
  cellfleet merge results""",
    ),
    "jobs": Help(
        "Look at the jobs of a server, change them, fetch their results.\n\n"
        "list (the newest first), show ID, watch ID, fetch ID -o DIR, pause, resume, cancel, retry (what failed) and "
        "delete (with its results) ID…; costs of a month; recover, for who runs the server: build a lost ledger again.",
        """Examples:
  cellfleet jobs
  cellfleet jobs watch 3k7 --on lab
  cellfleet jobs fetch 3k7 -o results --on https://cells.lab.example
  cellfleet jobs costs --month 2026-11 -o november.parquet
  cellfleet jobs cancel fleet-3f9a --store gs://lab/.cellfleet-fleet/cellfleet""",
    ),
    "serve": Help(
        "Run the service: jobs over HTTP for many users and machines.\n\n"
        "Keeps everything in DIR, starts a private ledger, a worker and, where PyTorch is installed, a trainer, and "
        "starts them again when they die. Without --host it serves this machine only and asks for no login; with it, "
        "the first token is shown once.",
        """Examples:
  cellfleet serve
  cellfleet serve --host 0.0.0.0 --data /srv/cellfleet --public-url https://cells.lab.example
  cellfleet serve --host 0.0.0.0 --workers 0 --ledger redis://ledger:6379/0 --store s3://lab/cellfleet""",
    ),
    "tokens": Help(
        "Make, list and revoke the tokens with which users log in to a service.\n\n"
        "A token is shown once, on stdout; the service keeps only its hash. What is done here holds within seconds.",
        """Examples:
  cellfleet tokens add ann --uploads 500GB
  cellfleet tokens add monitor --role viewer --days 365 --note "screen in the corridor"
  cellfleet tokens list
  cellfleet tokens revoke 0123456789abcdef""",
    ),
    "worker": Help(
        "Work off jobs of a service.\n\n"
        "Takes tasks from the ledger, segments their images and writes the results to the store, until it is stopped. "
        "SIGTERM lets it finish what is begun, or give it back after --grace seconds. 'cellfleet serve' starts one by "
        "itself; more may run anywhere that reaches ledger and store.",
        """Example, as a task of a batch system that ends when there is no more to do:
  cellfleet worker --ledger redis://ledger:6379/0 --store s3://lab/cellfleet --idle-timeout 60""",
    ),
    "trainer": Help(
        "Carry out the training runs of a service.\n\n"
        "Takes runs from the store, keeps a checkpoint there after each look at the validation images, and goes on "
        "from the checkpoint of a trainer that died. SIGTERM ends it after the next step. 'cellfleet serve' starts one "
        "by itself where PyTorch is installed; others may run anywhere that reaches the store, on a GPU for example.",
        """Example, on a machine with a GPU:
  cellfleet trainer --store s3://lab/cellfleet --idle-timeout 600""",
    ),
    "triton": Help(
        "Give a Triton server the models of a service, and see to it that they answer.\n\n"
        "For split mode: run it beside a server that was started with --model-control-mode=explicit, and workers with "
        "--model-server. It tries each model every few seconds, loads anew what does not answer, and answers probes.",
        """Example:
  cellfleet triton --server grpc://127.0.0.1:8001 --store s3://lab/cellfleet --probes 0.0.0.0:9100""",
    ),
    "cluster": Help(
        "Describe a cluster in one file, make it, look at it, delete it.\n\n"
        "init writes cluster.yaml, asking little; render writes the Helm values and all commands; diff tells what "
        "would change and cost; up makes it so through gcloud, helm and kubectl, asks once, and may be repeated at any "
        "point; status tells how it is; down deletes all but the bucket and looks for what could still cost money.",
        """Examples:
  cellfleet cluster init --where gke --gpu t4 --max-gpus 4 --budget 300 --yes
  cellfleet cluster up --dry-run
  cellfleet cluster up
  cellfleet cluster render -o rendered
  cellfleet cluster down""",
    ),
    "train": Help(
        "Train a model on your own labelled images, here or on a server.\n\n"
        "Writes a bioimage.io package with ONNX weights; use it with 'cellfleet segment --model FOLDER'. To go on "
        "after a stop, run the same command again. With --on the data set is sent, and a stop ends the watching only.",
        """Examples:
  cellfleet train corrected/ --out our-model
  cellfleet segment plates/ -o results --model our-model
  cellfleet train corrected/ --out our-model --on https://cells.lab.example --minutes 60""",
    ),
    "training": Help(
        "Look at the training runs of a server, compare and publish their models.\n\n"
        "list (the newest first), show, watch, stop, resume, fetch -o DIR (the model package), compare (with a "
        "published model, on the validation images), publish (the next job can use it by its name) and delete RUN.",
        """Examples:
  cellfleet training
  cellfleet training watch our-model --on lab -o our-model
  cellfleet training compare our-model --model nuclei
  cellfleet training publish our-model --version 1.1.0""",
    ),
    "evaluate": Help(
        "Score label images against the truth.\n\n"
        "Files are paired by path and stem: plate/a_labels.tif belongs to plate/a.png. Two objects match when their "
        "IoU (shared area ÷ joint area, 0…1) reaches the threshold. F1 = 2·TP/(2·TP+FP+FN), AP = TP/(TP+FP+FN). "
        "Exit code 3 when some pairs could not be compared or a prediction is missing.",
        """Examples:
  cellfleet evaluate results/ truth/
  cellfleet evaluate a_labels.tif a_truth.tif --iou 0.5:0.95:0.05 --json -""",
    ),
    "mesmer": Help(
        "Segment a nuclear and a membrane image as deepcell-applications' run_app.py mesmer does.\n\n"
        "Takes its options and writes its file, so that a pipeline can swap the container; the labels are those of "
        "'cellfleet segment --model tissue'.",
        """Examples:
  cellfleet mesmer -n nuclei.tif -m membrane.tif -o out -f mask.tif --squeeze
  cellfleet mesmer -n stack.ome.tif -nc 0 -m stack.ome.tif -mc 4 5 --image-mpp 0.65 --compartment both""",
    ),
    "bench": Help(
        "Measure an installation as the papers did, and reckon their figures again.",
        """Example:
  cellfleet bench paper -o figures""",
        {
            "paper": Help(
                "Simulate the runs of the papers that cellfleet follows, beside cellfleet's own.\n\n"
                "The DeepCell Kiosk's time and cost of 10 000 to a million images on 1 to 8 GPUs, and the node pools "
                "of DeepCell on Google Batch. Prints the papers' numbers beside what comes out; with -o writes each "
                "figure's table as CSV and the figure as SVG and PNG.",
                """Examples:
  cellfleet bench paper
  cellfleet bench paper -o figures --prices my-prices.csv""",
            ),
            "load": Help(
                "Put a load on a server as the DeepCell Kiosk's paper did, and measure it.\n\n"
                "Uploads zips of images at a set rate, has each segmented as a job, and waits. Writes the seconds of "
                "transfer, inference and post-processing of every image, throughput, time, cost and workers over "
                "time as CSV and JSON, with figures; repeats tell mean and standard deviation.",
                """Examples:
  cellfleet bench load --zips 10 --every 5
  cellfleet bench load --on https://cells.lab.example --zips 100 --every 0.5 --machine n1-standard-8 -o load""",
            ),
            "serve": Help(
                "Measure how models are served: throughput, latency, scaling, price.\n\n"
                "Unique requests to any server of the Open Inference Protocol v2, or to copies of a graph in this "
                "process. MODEL: an ONNX file, a package, or a network built here with random weights: mobilenet-v2, "
                "nasnet-mobile, resnet-50, resnet-152, nasnet-large; 'talk' is all five. Exit code 3 when answers "
                "are wrong.",
                """Examples:
  cellfleet bench serve mobilenet-v2 resnet-50 --replicas 1,2 --machine n1-standard-8
  cellfleet bench serve our-net --url http://127.0.0.1:8000 --reference net.onnx""",
            ),
            "timings": Help(
                "Say where the time of a run went: seconds of each stage, and with -o a table with a row per image.\n\n"
                "RESULTS may come from this machine, a server, a cluster or a fleet. Seconds are those of threads; "
                "cpu_s is processor time, waiting_s time spent waiting for a stage of others (the network).",
                """Examples:
  cellfleet bench timings results
  cellfleet bench timings gs://lab/results -o timings.parquet""",
            ),
        },
    ),
    "models": Help(
        "List, try, add and export models. Without a word more: list.",
        """Examples:
  cellfleet models
  cellfleet models add affable-shark.zip
  cellfleet segment plates/ -o results --model affable-shark""",
        {
            "list": Help(
                "List the models that are here, or on a server.\n\n"
                "Those that come with cellfleet, and those that 'models add' put into your own folder "
                "(CELLFLEET_MODELS, else cellfleet/models in your data folder). F1: of the validation set.",
                """Examples:
  cellfleet models list
  cellfleet models list --on https://cells.lab.example --json""",
            ),
            "test": Help(
                "Try a model on this machine, and say how fast it is.\n\n"
                "Its hash is compared, the graph opened, its example predicted, and a drawing of discs segmented. "
                "Exit code 0: all of it works. Of a bioimage.io package it says how its inputs and outputs are taken.",
                """Examples:
  cellfleet models test nuclei
  cellfleet models test https://zoo.example/affable-shark.zip
  cellfleet models test their-model.zip --outputs foreground,boundary""",
            ),
            "add": Help(
                "Add a model: to your own ones, to a server, or to the store of a service.\n\n"
                "Takes packages of 'cellfleet train' and bioimage.io packages with ONNX weights as they are. First it "
                "is tried as by 'models test'; what does not work is not added. No code of a package is run.",
                """Examples:
  cellfleet models add our-model
  cellfleet models add affable-shark.zip --on https://cells.lab.example
  cellfleet models add their-model.zip --outputs foreground,boundary --store s3://lab/cellfleet""",
            ),
            "remove": Help(
                "Remove one of your own models from this machine.",
                """Example:
  cellfleet models remove affable-shark""",
            ),
            "export": Help(
                "Write a model as a bioimage.io package, or for a Triton server that no 'cellfleet triton' feeds.",
                """Examples:
  cellfleet models export nuclei -o nuclei.zip
  cellfleet models export our-model --triton /srv/models""",
            ),
            "package": Help(
                "Make a package of an image classifier, which a service can offer (docs/tutorial-classifier.md).",
                """Example:
  cellfleet models package net.onnx -o our-net --classes classes.txt""",
            ),
        },
        alone="list",
    ),
    "samples": Help(
        "Copy small real images into a folder, to try things out.",
        """Example:
  cellfleet samples my_images
  cellfleet segment my_images -o results""",
    ),
}
"""Each is a function of that name in the module of that name."""
