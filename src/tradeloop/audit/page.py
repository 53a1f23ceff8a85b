"""A bundle's page: one HTML file without script, for screen and paper; every word from outside is escaped."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any, Final  # Any: JSON of records

from tradeloop.audit.material import Material, body_of
from tradeloop.audit.record import Record, marks_in
from tradeloop.audit.seal import read_header
from tradeloop.domain.canonical import utc_text

STYLE: Final = """
:root{color-scheme:light dark;--t:#14181f;--m:#4d5664;--g:#fff;--s:#f5f6f8;--h:#d5d9e0;--w:#7a4300;--wg:#fff3dd}
@media(prefers-color-scheme:dark){:root{--t:#e8ebf0;--m:#a9b1be;--g:#14171c;--s:#1d2127;--h:#3a414c;--w:#ffc76b;--wg:#3a2a0c}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px;max-width:960px;color:var(--t);background:var(--g);font:15px/1.5 system-ui,sans-serif}
h1{font-size:22px;margin:0 0 4px}
h2{font-size:17px;margin:28px 0 8px;border-bottom:1px solid var(--h);padding-bottom:4px}
p{margin:6px 0}table{border-collapse:collapse;width:100%;margin:6px 0}caption{text-align:left;color:var(--m)}
th,td{border-bottom:1px solid var(--h);padding:4px 10px 4px 0;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{font-weight:600}.m{color:var(--m)}code,pre{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
pre{background:var(--s);padding:8px;white-space:pre-wrap;margin:6px 0}
.u{border-left:4px solid var(--w);background:var(--wg);padding:8px 12px;margin:8px 0}
@media print{@page{size:A4;margin:16mm}
body{padding:0;max-width:none;font-size:11pt}h2{break-after:avoid}tr{break-inside:avoid}}
"""
UNTRUSTED: Final = "Text by a model. It is a claim, no evidence; nothing was done because of these words alone."
NOT_CLAIMED: Final = (
    "What is claimed: the holder of the key sealed these records before the times of their seals, and nobody without "
    "that key has changed anything since. What is not claimed: that the people who decided cannot deny it, unless a "
    "key of theirs signed; that the clock was right; that no later record exists; "
    "anything against whoever holds the key."
)
MAX_CELL: Final = 4000
"""Characters of one value on the page; chain.json has all of it."""
ERASED: Final = "erased"


def page(material: Material) -> str:
    """The whole document."""
    digest = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    end = material.end
    name = str(end.get("decision_id") or material.run_id)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>Evidence: decision {_said(name)}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>Evidence: decision <code>{_said(name)}</code></h1><p class="m">{_as_of(material)} '
        "All times are UTC.</p></header><main>"
        f"{_decision(material)}{_action(material)}{_reasons(material)}{_findings(material)}{_model(material)}"
        f"{_approvals(material)}{_events(material)}{_line(material)}{_proof(material)}</main></body></html>\n"
    )


def _as_of(material: Material) -> str:
    if material.head is None:
        return ""
    number, seal = material.head
    return f"As of seal {number}, {utc_text(read_header(seal.header).at)}."


def _decision(material: Material) -> str:
    end = material.end
    decision = _dict(end.get("decision"))
    if not end:
        return "<h2>Decision</h2><p>Nothing was decided when this was made.</p>"
    by = str(decision.get("decided_by", "")) + (" (degraded: no agent answered)" if decision.get("degraded") else "")
    rows = {
        "run": material.run_id,
        "outcome": decision.get("outcome", "none: the run ended without a decision"),
        "decided by": by,
        "policy": f"{decision.get('policy_version', '')} {decision.get('policy_hash', '')}".strip(),
        "graph": f"{end.get('graph', '')} {end.get('graph_version', '')}".strip(),
        "facts cited": ", ".join(map(str, decision.get("cited") or ())),
        "event": end.get("event_id"),
        "sha256 of the event": end.get("event_sha256"),
        "sha256 of the decision": end.get("decision_sha256"),
    }
    return f"<h2>Decision</h2>{_pairs(rows)}"


def _action(material: Material) -> str:
    told = _dict(_dict(material.end.get("decision")).get("action"))
    effect = _dict(material.evidence.get("effect")) or _dict(material.end.get("effect"))
    if not told and not effect:
        return "<h2>Action</h2><p>None: the decision is all there is.</p>"
    action = material.action or {}
    rows: dict[str, object] = {
        "kind": told.get("kind"),
        "target": told.get("target"),
        "digest (sha256)": told.get("digest"),
        "what became of it": effect.get("state"),
        "result": effect.get("result"),
        "error": effect.get("error"),
    }
    params = f"<p>Parameters</p><pre>{_said(_json(action['params']))}</pre>" if action.get("params") else ""
    return f"<h2>Action</h2>{_pairs(rows)}{params}"


def _reasons(material: Material) -> str:
    decision = _dict(material.evidence.get("decision"))
    items = "".join(f"<li>{_said(reason)}</li>" for reason in _list(decision.get("reasons")))
    error = material.evidence.get("error")
    told = f"<p>Error: {_said(error)}</p>" if error else ""
    gone = '<p class="m">The texts of this decision were erased; the audit says so.</p>'
    erased = gone if material.end and not material.evidence else ""
    return f"<h2>Reasons</h2>{f'<ol>{items}</ol>' if items else ''}{told}{erased}" if items or told or erased else ""


def _findings(material: Material) -> str:
    found = _list(_dict(material.evidence.get("decision")).get("findings"))
    rows = "".join(_fact(_dict(one)) for one in found)
    head = "<thead><tr><th>fact</th><th>in words</th><th>values</th></tr></thead>"
    return f"<h2>Facts</h2><table>{head}<tbody>{rows}</tbody></table>" if rows else ""


def _fact(one: Mapping[str, Any]) -> str:
    values = {name: value for name, value in one.items() if name not in ("id", "sentence")}
    told = f"<td>{_said(one.get('id', ''))}</td><td>{_said(one.get('sentence', ''))}</td>"
    return f"<tr>{told}<td><code>{_said(_json(values))}</code></td></tr>"


def _model(material: Material) -> str:
    model = _dict(_dict(material.evidence.get("decision")).get("model"))
    if not model:
        return ""
    rest = _pairs({name: value for name, value in sorted(model.items()) if name != "rationale"})
    return (
        f'<h2>Model</h2>{rest}<div class="u"><p><b>Untrusted.</b> {UNTRUSTED}</p>'
        f"<pre>{_said(model.get('rationale', ''))}</pre></div>"
    )


def _approvals(material: Material) -> str:
    found = [record for record in material.own if record.kind.startswith("approval")]
    if not found:
        return "<h2>Approvals</h2><p>Nobody was asked: no record of this run tells of an approval.</p>"
    return f"<h2>Approvals</h2>{_table(found)}"


def _events(material: Material) -> str:
    shown = "".join(
        f"<p>Event <code>{_said(name)}</code>, {len(payload):,} bytes, in events/{_said(name)}.json</p>"
        for name, payload in sorted(material.events.items())
    )
    gone = '<p class="m">The bytes of the event are over their time; its sha256 stands with the decision.</p>'
    return f"<h2>Event</h2>{shown or gone}"


def _line(material: Material) -> str:
    beside = [one.record for one in material.records if one.record.stream_id != material.run_id]
    more = f"<p>Records of other streams that name this run</p>{_table(beside)}" if beside else ""
    return f"<h2>Time line</h2>{_table(material.own)}{more}"


def _proof(material: Material) -> str:
    rows = "".join(
        f"<tr><td>{one.record.n}</td><td><code>{one.record.hash.hex()}</code></td><td>{one.seal}</td></tr>"
        for one in material.records
    )
    seals = "".join(
        f"<tr><td>{number}</td><td>{utc_text(read_header(seal.header).at)}</td><td><code>{seal.hash.hex()}</code></td>"
        f"<td>{_said(read_header(seal.header).key_id or 'not signed')}</td></tr>"
        for number, seal in sorted(material.seals.items())
    )
    return (
        f"<h2>Proof</h2><p>{NOT_CLAIMED}</p><p>How to verify: VERIFY.txt. A page that tells you it is right proves "
        "nothing: run the command.</p>"
        "<table><caption>Records</caption><thead><tr><th>n</th><th>hash</th><th>seal</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        "<table><caption>Seals</caption><thead><tr><th>seal</th><th>made</th><th>hash</th><th>key</th></tr></thead>"
        f"<tbody>{seals}</tbody></table>"
    )


def _table(records: Sequence[Record]) -> str:
    rows = "".join(
        f"<tr><td>{record.n}</td><td>{utc_text(record.at)}</td><td>{_said(record.kind)}</td><td>{_told(record)}</td></tr>"
        for record in records
    )
    head = "<thead><tr><th>n</th><th>time</th><th>what</th><th>how</th></tr></thead>"
    return f"<table>{head}<tbody>{rows}</tbody></table>"


def _told(record: Record) -> str:
    body = body_of(record)
    gone = set(marks_in(record.body.encode())) - {part.key for part in record.parts}
    parts = []
    for name, value in sorted(body.items()):
        if name == "evidence" or value in (None, "", [], {}):
            continue
        shown = f"<i>{ERASED}</i>" if name in gone else _said(value if isinstance(value, str) else _json(value))
        parts.append(f"<b>{_said(name)}</b>: {shown}")
    return "<br>".join(parts)


def _pairs(rows: Mapping[str, object]) -> str:
    shown = "".join(
        f'<tr><th scope="row">{_said(name)}</th><td>{_said(_json(value))}</td></tr>'
        for name, value in rows.items()
        if value not in (None, "", [], {})
    )
    return f"<table><tbody>{shown}</tbody></table>"


def _json(value: Any) -> str:
    return (
        str(value)
        if not isinstance(value, dict | list | bool)
        else json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    )


def _said(value: object) -> str:
    """Text that a browser shows and never obeys; what cannot be seen is spelled out."""
    text = str(value)
    cut = text[:MAX_CELL] + (f" … {len(text) - MAX_CELL:,} characters more" if len(text) > MAX_CELL else "")
    plain = "".join(c if c.isprintable() or c in "\n\t" else f"⟨U+{ord(c):04X}⟩" for c in cut)
    return escape(plain)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
