"""What an operator sees of running processes: log lines and metrics. Knows no image, job, ledger or store.

Whoever does the work says what happened (`logs.log_context`, the functions of `metrics`); how it is shown is settled
here.
"""
