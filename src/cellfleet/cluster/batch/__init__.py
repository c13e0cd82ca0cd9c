"""Fleets: workers that a batch system starts, which share a bucket and no server.

fleet.py      settings and options → what is to be started (`Wanted`)
google.py · amazon.py · slurm.py      `Wanted` → the batch system's own request, and sending it
launch.py     a job from its inputs to its results: write it down, start workers, wait
"""
