"""Jobs that are never lost: the ledger of tasks, its private server, manifests, and the loop of a worker.

Three truths, in this order: the manifest says what is to do, results say what is done, and the ledger only says who is
working on what. So the ledger may die or be wiped at any moment. Knows no image, model or HTTP.
"""
