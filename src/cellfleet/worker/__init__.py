"""What a worker does with a task of the ledger: its images through the pipeline, into the job's results."""
