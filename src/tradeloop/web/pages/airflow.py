"""From a DAG run or a task in Airflow to what became of it; one hit opens at once."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tradeloop.web.front import PageRoute, front_of, seen, shown
from tradeloop.web.pages.runs import rows_of

router = APIRouter(route_class=PageRoute)


@router.get("/airflow/run", name="page_airflow_run")
async def of_run(request: Request) -> Response:
    """What a DAG run emitted, and the decision that started it."""
    return await _found(request, "")


@router.get("/airflow/task", name="page_airflow_task")
async def of_task(request: Request) -> Response:
    """What one task of it emitted."""
    return await _found(request, request.query_params.get("task_id", "")[:250])


async def _found(request: Request, task_id: str) -> Response:
    front = front_of(request)
    dag_id, run_id = (request.query_params.get(name, "")[:250] for name in ("dag_id", "run_id"))
    found = await front.overview.of_dag_run(dag_id, run_id) if run_id else []
    chosen = [(run, how) for run, how in found if not task_id or how == task_id]
    frame = "?frame=1" if request.query_params.get("frame") == "1" else ""
    if len(chosen) == 1:
        return seen(f"/runs/{chosen[0][0].run_id}{frame}")
    rows = await rows_of(front, [run for run, _ in chosen])
    values = {
        "dag_id": dag_id or "?",
        "run_id": run_id or "?",
        "task_id": task_id,
        "rows": [
            {
                "run": row.run,
                "why": row.why,
                "how": "its decision started this run" if how == "decision" else f"task {how}",
            }
            for row, (_, how) in zip(rows, chosen, strict=True)
        ],
        "types": sorted(front.services.workflows),
    }
    return await shown(request, "airflow.html", values)
