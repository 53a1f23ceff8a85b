"""Workflows and their graphs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from pydantic import BaseModel

from tradeloop.api.identity import services_of
from tradeloop.api.router import new_router, reading
from tradeloop.api.services import Services
from tradeloop.errors import NotFound
from tradeloop.workflow import Workflow

router = new_router("workflows")


class WorkflowView(BaseModel):
    """A workflow of this installation."""

    event_type: str
    desk: str
    version: str
    policy_hash: str
    timeout_s: float
    on_workers: bool
    """Whether a live worker has this version."""
    live_runs: int
    """On any version of its graph."""


class Edge(BaseModel):
    """Which node follows which."""

    source: str
    target: str


class GraphView(WorkflowView):
    """A workflow with its graph."""

    nodes: list[str]
    edges: list[Edge]
    """Fixed ones; where a node chooses, every node that it may choose."""
    earlier_versions: list[str]
    mermaid: str
    """The graph as a Mermaid diagram."""


class Workflows(BaseModel):
    """Every workflow, by event type."""

    items: list[WorkflowView]


EventType = Annotated[str, Path(max_length=200)]


@router.get("/workflows", responses=reading())
async def list_workflows(request: Request) -> Workflows:
    """Every workflow of this installation."""
    served, live = await _standing(request)
    services = services_of(request)
    found = services.workflows
    return Workflows(items=[WorkflowView(**_facts(services, found[name], served, live)) for name in sorted(found)])


@router.get("/workflows/{event_type}", responses=reading(404))
async def get_workflow(request: Request, event_type: EventType) -> GraphView:
    """One workflow with its graph."""
    services = services_of(request)
    workflow = services.workflows.get(event_type)
    if workflow is None:
        raise NotFound(f"no workflow answers {event_type!r}.")
    served, live = await _standing(request)
    drawn = workflow.graph.compile().get_graph()
    return GraphView(
        **_facts(services, workflow, served, live),
        nodes=sorted(drawn.nodes),
        edges=[Edge(source=edge.source, target=edge.target) for edge in drawn.edges],
        earlier_versions=[one.version for one in workflow.earlier],
        mermaid=drawn.draw_mermaid(),
    )


async def _standing(request: Request) -> tuple[set[str], dict[str, int]]:
    services = services_of(request)
    live: dict[str, int] = {}
    for one in await services.live.versions():
        live[one.event_type] = live.get(one.event_type, 0) + one.runs
    return await services.live.served(), live


def _facts(services: Services, workflow: Workflow, served: set[str], live: dict[str, int]) -> dict[str, object]:
    version = services.versions[workflow.event_type]
    return {
        "event_type": workflow.event_type,
        "desk": workflow.desk,
        "version": version,
        "policy_hash": workflow.policy_hash,
        "timeout_s": workflow.timeout_s,
        "on_workers": version in served,
        "live_runs": live.get(workflow.event_type, 0),
    }
