"""What jobs and months cost. The arithmetic stands in `cellfleet.planning.bill`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query

from cellfleet.jobs.usage import this_month
from cellfleet.service.context import Asking, Shared, job_to_see
from cellfleet.spec.job import JobId, UserName
from cellfleet.spec.usage import Bill, BillList, Costs, Month

router = APIRouter(prefix="/api/v1", tags=["costs"])

MonthAsked = Annotated[Month | None, Query(description="Without it this one; UTC.")]


@router.get("/jobs/{job}/bill")
def get_bill(job: JobId, service: Shared, user: Asking) -> Bill:
    """Return what a job has cost so far, or in all when it has ended."""
    return service.cashier.bill(job_to_see(service, user, job))


@router.get("/costs")
def get_costs(
    service: Shared,
    user: Asking,
    month: MonthAsked = None,
    owner: Annotated[UserName | None, Query(description="For administrators: whose; without it all.")] = None,
) -> Costs:
    """Sum up what the jobs that were submitted in a month cost: the user's, for administrators everybody's."""
    return service.cashier.costs(month or this_month(), owner if user.role == "admin" else user.name)


@router.get("/bills")
def list_bills(
    service: Shared,
    user: Asking,
    month: MonthAsked = None,
    after: JobId | None = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of a page.")] = 1000,
) -> BillList:
    """List the bills of the jobs of a month by the ids of the jobs, for a table."""
    owner = None if user.role == "admin" else user.name
    bills = service.cashier.bills(month or this_month(), owner, after=after or "")
    page = list(islice(bills, limit + 1))
    return BillList(bills=tuple(page[:limit]), after=page[limit - 1].job if len(page) > limit else None)
