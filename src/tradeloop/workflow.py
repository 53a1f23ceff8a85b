"""A workflow: the graph that answers one type of event."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final, Protocol  # Any: LangGraph's own state type

# Read by LangGraph when it is imported: a checkpoint may name only the classes of its graph's state (CVE-2026-28277).
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from pydantic import BaseModel, ValidationError
from pydantic_core import core_schema
from typing_extensions import TypedDict  # Python 3.11: Pydantic makes no schema of typing's

from tradeloop.domain.actions import Action
from tradeloop.domain.canonical import canonical_json
from tradeloop.domain.decisions import Decision
from tradeloop.errors import DecisionInvalid, WorkflowInvalid
from tradeloop.gate.allowed import Allowed
from tradeloop.ports import Agents, Tools

ENTRY_POINT_GROUP: Final = "tradeloop.workflows"


def _plain(_: Any, new: Any) -> Any:
    return new.model_dump(mode="json") if isinstance(new, BaseModel) else new


class GraphState(TypedDict, total=False):
    """The state of a graph: plain JSON values only, because a checkpoint outlives the code that wrote it."""

    event: dict[str, Any]
    """The WorkflowEvent, as JSON."""
    facts: dict[str, Any]
    decision: Annotated[dict[str, Any], _plain]
    effect: dict[str, Any]


class Acting(Protocol):
    """The only way from a graph to an effect."""

    async def admit(self) -> None:
        """Go on only while nobody has stopped the desk; SwitchedOff otherwise, and the run rests."""
        ...

    async def perform(
        self,
        slot: str,
        action: Action,
        *,
        adopts: bool = False,
        asked: bool = False,
        told: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Carry the action out, once, through the approval gate and the ledger; returns what became of it.

        The first action of a slot is *the* action. A node that decides and acts in one may have decided otherwise
        before a crash: with `adopts` the first one is carried out and returned as `action`, without it the run ends.

        Where the firm's policy wants a person's yes, or the decision itself does (`asked`), the graph is interrupted
        here and the node runs again from its top once people have answered; so let nothing that counts stand before it
        in the same node. `told` is what they are shown: `facts`, `reasons`, `proposal`; a no is returned as `state`.
        """
        ...


class RehearsedActing:
    """Acting that calls nobody."""

    async def admit(self) -> None:
        """A rehearsal touches nothing that a switch guards."""

    async def perform(
        self,
        slot: str,
        action: Action,
        *,
        adopts: bool = False,  # noqa: ARG002
        asked: bool = False,
        told: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Say what would have been carried out, or put before a person."""
        return {
            "slot": slot,
            "kind": action.kind,
            "target": action.target,
            "digest": action.digest,
            "state": "would_ask" if asked else "rehearsed",
            "result": {},
            "error": "",
        }


@dataclass(frozen=True, slots=True)
class GraphContext:
    """What a node may use beside its state (LangGraph's runtime context)."""

    acting: Acting = field(default_factory=RehearsedActing)
    """Rehearsed unless the engine gives the ledger's: LangGraph's own server and Studio never start an effect."""
    agents: Agents | None = None
    """The model gateway; None when no model is configured."""
    tools: Tools | None = None
    """Tools from outside, for specialists; None when none is allowed."""

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> core_schema.CoreSchema:
        """None of it comes from a client: a server that asks for the schema hears of no field."""
        return core_schema.any_schema()


def context_of(runtime: Runtime[GraphContext]) -> GraphContext:
    """The context of a graph's node; outside of the engine, where there is none, a rehearsal's."""
    context: GraphContext | None = runtime.context
    return context if context is not None else GraphContext()


async def act(state: GraphState, runtime: Runtime[GraphContext]) -> GraphState:
    """Node: carry out the decision's action. Decide in one node, act in the next: a checkpoint lies between."""
    decision = decision_of(dict(state))
    if decision.action is None:
        return {}
    acting = context_of(runtime).acting
    return {"effect": await acting.perform("act", decision.action, asked=decision.asked, told=told_of(decision))}


def told_of(decision: Decision) -> dict[str, Any]:
    """What people are shown of a decision whose action they are to allow."""
    model = decision.model
    return {
        "outcome": decision.outcome,
        "reasons": list(decision.reasons),
        "facts": [dict(finding) for finding in decision.findings],
        "degraded": decision.degraded,
        "decided_by": decision.decided_by,
        "policy_version": decision.policy_version,
        "proposal": {**model, "cited": list(decision.cited)} if model else {},
    }


def decision_of(state: dict[str, Any]) -> Decision:
    """The decision in a graph's state.

    Raises:
        DecisionInvalid: there is none, or a field does not fit.
    """
    if not state.get("decision"):
        raise DecisionInvalid("the graph ended without `decision` in its state")
    try:
        return Decision.model_validate(_plain(None, state["decision"]))
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        field = ".".join(str(step) for step in error["loc"]) or "decision"
        raise DecisionInvalid(f"the graph's decision does not fit: {field}: {error['msg']}") from problem


Node = Callable[..., GraphState | dict[str, Any] | Awaitable[GraphState | dict[str, Any]]]


@dataclass(frozen=True)
class Workflow:
    """The graph that answers events of one type, under a desk's name.

    Example (a whole workflow; `act` is appended by `chain`):
        >>> def decide(state):
        ...     rows = state["event"]["payload"]["data"]["rows"]
        ...     return {"decision": Decision(outcome="ACCEPT" if rows else "REJECT")}
        >>> Workflow.chain("prices.loaded", decide, desk="prices").desk
        'prices'
    """

    event_type: str
    desk: str
    graph: StateGraph[Any, Any, Any, Any]
    policy_hash: str = ""
    timeout_s: float = 300.0
    earlier: tuple[Workflow, ...] = ()
    """Earlier versions of the graph: runs that began with one of them go on with it."""
    allowed: tuple[Allowed, ...] | None = None
    """What its graphs may do, held against every action where effects begin; None: no list was made."""
    warm: Callable[[], object] | None = None
    """Called once, beside the work, when a worker starts: slow imports and tables that a first event would wait for."""

    @classmethod
    def chain(cls, event_type: str, *nodes: Node, desk: str, policy_hash: str = "") -> Workflow:
        """A workflow whose nodes run one after the other, then `act`."""
        builder = StateGraph(GraphState, context_schema=GraphContext)
        names = [node.__name__ for node in nodes]
        for name, node in zip(names, nodes, strict=True):
            builder.add_node(name, node)
        builder.add_node("act", act)
        for before, after in zip([START, *names, "act"], [*names, "act", END], strict=True):
            builder.add_edge(before, after)
        return cls(event_type=event_type, desk=desk, graph=builder, policy_hash=policy_hash)

    @property
    def version(self) -> str:
        """Hash of topology, state schema, the nodes' source and the policy; 16 hex digits."""
        nodes = {name: _source(spec.runnable) for name, spec in sorted(self.graph.nodes.items())}
        edges = sorted([str(a), str(b)] for a, b in self.graph.edges)
        schema = sorted(self.graph.channels)
        text = canonical_json([self.event_type, nodes, edges, schema, self.policy_hash])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


Maker = Callable[[], StateGraph[Any, Any, Any, Any]]


def workflow(
    event_type: str,
    *,
    desk: str = "",
    policy_hash: str = "",
    timeout_s: float = 300.0,
    allowed: tuple[Allowed, ...] | None = None,
) -> Callable[[Maker], Workflow]:
    """Make a workflow of a function that returns a LangGraph graph; the desk is the function's name unless given.

    The graph's state is a GraphState or has its fields; `act` is the node that carries the decision's action out.

    Example:
        >>> @workflow(event_type="prices.loaded")
        ... def prices():
        ...     return Workflow.chain("prices.loaded", lambda state: {}, desk="prices").graph
        >>> prices.desk
        'prices'
    """

    def of(maker: Maker) -> Workflow:
        graph = maker()
        if not isinstance(graph, StateGraph):
            raise WorkflowInvalid(
                f"{maker.__qualname__} returns {type(graph).__name__}; a StateGraph, not compiled, is expected"
            )
        return Workflow(
            event_type=event_type,
            desk=desk or maker.__name__,
            graph=graph,
            policy_hash=policy_hash,
            timeout_s=timeout_s,
            allowed=allowed,
        )

    return of


def _source(runnable: Any) -> str:
    function = getattr(runnable, "afunc", None) or getattr(runnable, "func", None) or runnable
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (OSError, TypeError):
        return str(getattr(function, "__qualname__", type(function).__qualname__))


def load_workflows(extra: list[str] | None = None) -> dict[str, Workflow]:
    """Every workflow by event type: entry points of the group `tradeloop.workflows`, then those of `extra`.

    `extra` holds `module:name` or `folder/file.py:name`.

    Raises:
        WorkflowInvalid: one cannot be imported, is no Workflow, or two answer the same type.
    """
    found: dict[str, Workflow] = {}
    origin: dict[str, str] = {}
    sources = [(f"entry point {point.name}", point.value) for point in entry_points(group=ENTRY_POINT_GROUP)]
    sources += [("TRADELOOP_WORKFLOWS", value) for value in extra or []]
    for where, value in sources:
        for workflow in _import_workflows(where, value):
            if workflow.event_type in found and origin[workflow.event_type] != value:
                raise WorkflowInvalid(
                    f"two workflows answer {workflow.event_type}: {origin[workflow.event_type]} and {value}",
                    where=where,
                )
            found[workflow.event_type], origin[workflow.event_type] = workflow, value
    return found


def _import_file(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def import_named(value: str) -> Any:
    """What `module:name` or `folder/file.py:name` names; raises what the import raises."""
    module, _, name = value.rpartition(":")
    return getattr(_import_file(Path(module)) if module.endswith(".py") else import_module(module), name)


def _import_workflows(where: str, value: str) -> list[Workflow]:
    try:
        target = import_named(value)
    except (ImportError, AttributeError, ValueError, OSError, SyntaxError) as problem:
        raise WorkflowInvalid(
            f"workflow {value!r} cannot be loaded: {problem}", where=where, hint="module:name or folder/file.py:name"
        ) from problem
    workflows = list(target) if isinstance(target, list | tuple) else [target]
    for workflow in workflows:
        if not isinstance(workflow, Workflow):
            raise WorkflowInvalid(f"{value!r} is {type(workflow).__name__}, a Workflow is expected", where=where)
    return workflows
