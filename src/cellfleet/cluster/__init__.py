"""From one file that describes a cluster to what runs there: Helm values, the provider's commands, batch jobs.

Knows neither the service nor what a worker does; it starts both.
"""
