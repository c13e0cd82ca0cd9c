"""The HTTP service: who may do what, uploads, jobs, results, models. Segments nothing itself but previews.

Routes are thin (`routes/`, one module per resource); what they do stands in `cellfleet.jobs`, `cellfleet.models` and
`cellfleet.results`. What they share is a `Service`.
"""
