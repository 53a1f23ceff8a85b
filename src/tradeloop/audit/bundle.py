"""The evidence bundle of one decision: a ZIP that a stranger can read, print and verify with the public key alone.

Every file in it is a function of the records, seals, events and keys in it, and the ZIP is stored without compression
and without times. So verifying means: check what is proven, make the whole again, and compare byte by byte.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final  # Any: JSON
from uuid import UUID

from tradeloop.audit.archive import record_json, record_of, seal_json, seal_of
from tradeloop.audit.contents import Contents, check_links
from tradeloop.audit.findings import Kind, Report
from tradeloop.audit.keys import PublicKey, public_keys_in
from tradeloop.audit.material import Material, Proven, leads_to
from tradeloop.audit.page import page
from tradeloop.audit.record import entry_of
from tradeloop.audit.seal import read_header
from tradeloop.audit.sealed import Seals
from tradeloop.domain.canonical import canonical_json
from tradeloop.errors import SettingInvalid, UsageInvalid

FORM: Final = "tradeloop.audit.bundle.v1"
MAX_BYTES: Final = 256_000_000
"""Of a bundle that is read: a file that claims more is none of ours."""
EPOCH: Final = (1980, 1, 1, 0, 0, 0)
MODE: Final = 0o100644 << 16
CLAIMS: Final = {
    "claimed": "These records were sealed by the holder of the key before the times of their seals, and nothing of "
    "them was changed since by anybody who does not have that key.",
    "not_claimed": "Non-repudiation by the people who decided (unless a key of theirs signed); that the clock was "
    "right; that no later record of the run exists; anything against whoever holds the key.",
}
VERIFY: Final = """\
How to verify this bundle
=========================

1. Get the firm's public key (firm.pub) from the firm, by a way of its own. The file public-key.pem
   in here proves nothing by itself: whoever made the bundle chose it.
2. Install tradeloop on any machine. No settings, no database and no network are needed.
3. Run   tradeloop audit verify BUNDLE.zip --key firm.pub
   It ends with 0 when everything fits, and with 6 and a list when anything was changed.

By hand, with other tools:
- chain.json has the records. The hash of a record is the SHA-256 of: "tla1", stream_id (16 bytes),
  n (4 bytes, big-endian), id (8), at as microseconds since 2000-01-01 UTC (8), the length of kind (4),
  kind, prev (32), body: its very text, in UTF-8. prev is the hash of record n-1 of the same stream.
- A text that can be erased stands in "clear"; the record has SHA-256(salt + text) in its place.
- The leaf of a record is SHA-256(0x00, stream_id, n, hash); a node is SHA-256(0x01, left, right)
  (RFC 6962). "path" leads from the leaf to "root" in the header of its seal, in roots.json.
- The signature of a seal is Ed25519 over "tradeloop.audit.seal.v1", a zero byte, and the header's text.
- action.json is the action, canonical; its SHA-256 is the digest in the record that ended the run.
- events/*.json are original bytes; their SHA-256 is "event_sha256" in that record.
"""


def make(material: Material) -> bytes:
    """The bundle, byte for byte the same for the same material."""
    files = _files(material)
    files["bundle.json"] = _text(_summary(material, files))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = MODE
            info.create_system = 3
            archive.writestr(info, files[name])
    return out.getvalue()


def is_bundle(data: bytes) -> bool:
    """Whether this begins as a ZIP does."""
    return data.startswith(b"PK\x03\x04")


def verify_bundle(data: bytes, keys: Mapping[str, PublicKey]) -> Report:
    """Check a bundle by itself, with the firm's public keys; with none of them its own are taken, which is noted.

    Raises:
        UsageInvalid: it is no bundle.
    """
    report = Report()
    try:
        material = _read(data)
    except zipfile.BadZipFile as problem:
        if not is_bundle(data):
            raise UsageInvalid("this is no bundle.", hint="tradeloop decisions bundle ID -o FILE.zip") from problem
        report.add(Kind.FORM, f"the ZIP is broken: {problem}")
        return report
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError, IndexError, RecursionError,
            NotImplementedError, EOFError, OSError, RuntimeError) as problem:  # fmt: skip
        report.add(Kind.FORM, f"the bundle cannot be read: {type(problem).__name__}: {problem}")
        return report
    _check_seals(report, material, keys)
    _check_records(report, material)
    _check_files(report, material, data, keys)
    return report


def _files(material: Material) -> dict[str, bytes]:
    files = {
        "chain.json": _text([_proven_json(one) for one in material.records]),
        "roots.json": _text([seal_json(number, seal) for number, seal in sorted(material.seals.items())]),
        "public-key.pem": material.public_keys.encode(),
        "VERIFY.txt": VERIFY.encode(),
        "index.html": page(material).encode(),
    }
    if material.action is not None:
        files["action.json"] = canonical_json(material.action).encode()
    decision = material.evidence.get("decision")
    if isinstance(decision, dict) and decision.get("findings"):
        files["facts/findings.json"] = _text(decision["findings"])
    for event_id, payload in material.events.items():
        files[f"events/{event_id}.json"] = payload
    return files


def _summary(material: Material, files: Mapping[str, bytes]) -> dict[str, Any]:
    end, head = material.end, material.head
    return {
        "form": FORM,
        "run_id": str(material.run_id),
        "decision_id": end.get("decision_id"),
        "decision": end.get("decision"),
        "as_of": {"seal": head[0], "head": head[1].hash.hex(), "header": head[1].header} if head else None,
        "records": len(material.records),
        "files": {
            name: {"sha256": sha256(data).hexdigest(), "bytes": len(data)} for name, data in sorted(files.items())
        },
    } | CLAIMS


def _proven_json(one: Proven) -> dict[str, Any]:
    proof = {"seal": one.seal, "place": one.place, "path": [step.hex() for step in one.path]}
    return record_json(one.record) | {"proof": proof}


def _text(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _read(data: bytes) -> Material:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
            raise ValueError("it claims to be larger than any bundle")
        names = archive.namelist()
        chain = json.loads(archive.read("chain.json"))
        roots = json.loads(archive.read("roots.json"))
        events = {
            name.removeprefix("events/").removesuffix(".json"): archive.read(name)
            for name in names
            if name.startswith("events/")
        }
        return Material(
            run_id=UUID(json.loads(archive.read("bundle.json"))["run_id"]),
            records=tuple(_proven_of(line) for line in chain),
            seals={int(line["seal"]): seal_of(line) for line in roots},
            events=events,
            public_keys=archive.read("public-key.pem").decode(),
        )


def _proven_of(line: Mapping[str, Any]) -> Proven:
    proof = line["proof"]
    path = tuple(bytes.fromhex(step) for step in proof["path"])
    return Proven(record_of(line), int(proof["seal"]), int(proof["place"]), path)


def _check_seals(report: Report, material: Material, keys: Mapping[str, PublicKey]) -> None:
    own = False
    if not keys:
        try:
            keys = public_keys_in(material.public_keys, "public-key.pem")
        except SettingInvalid as problem:
            report.add(Kind.FORM, problem.message)
        own = bool(keys)
    for number, seal in sorted(material.seals.items()):
        seals = Seals(report, keys, must_begin=False)  # each for itself: those between are not in the bundle
        seals.take(number, seal)
        seals.end()
    report.pruned = 0
    if own:
        report.notes.append("checked with the bundle's own key, which proves nothing about who made it: give --key")
    elif not keys:
        report.notes.append("the seals are not signed: whoever can compute a hash can have made this")


def _check_records(report: Report, material: Material) -> None:
    contents = Contents(report)
    for one in material.records:
        record = one.record
        stream, n = record.stream_id, record.n
        try:
            fits = leads_to(one, material.seals[one.seal])
        except (ValueError, KeyError, TypeError, OverflowError):
            fits = False
        if not fits:
            report.add(Kind.CHANGED, f"its proof does not lead to the root of seal {one.seal}", stream_id=stream, n=n)
        if sha256(record.hashed).digest() != record.hash:
            report.add(Kind.CHANGED, "its content is not what its hash is of", stream_id=stream, n=n)
        contents.expect(one.seal, record.id, entry_of(record.stream_id, record.n, sha256(record.hashed).digest()))
        key = contents.take(record.hashed, record.hash)
        for part in record.parts or (None,):
            contents.take_part(key, record.hashed, part)
    contents.end()
    own = sorted(record.stream_id.bytes + record.n.to_bytes(4) + record.prev + record.hash for record in material.own)
    check_links(report, own, whole=False)
    if not own:
        report.add(Kind.MISSING, f"no record of run {material.run_id} is in the bundle")
    digests = {str(end.get("event_id")): end.get("event_sha256") for end in (material.end,)}
    for event_id, payload in material.events.items():
        if digests.get(event_id) != sha256(payload).hexdigest():
            report.add(Kind.CHANGED, f"events/{event_id}.json is not the event that was decided")
    told = (material.end.get("decision") or {}).get("action")
    if (
        material.action is not None
        and (told or {}).get("digest")
        != sha256(
            canonical_json({name: material.action.get(name) for name in ("kind", "target", "params")}).encode()
        ).hexdigest()
    ):
        report.add(Kind.CHANGED, "the action is not what its digest is of")


def _check_files(report: Report, material: Material, data: bytes, keys: Mapping[str, PublicKey]) -> None:
    """Whatever is not proven itself must be what these proven things make."""
    if keys:
        used = {read_header(seal.header).key_id for seal in material.seals.values() if _readable(seal.header)}
        pem = pem_of({name: key for name, key in keys.items() if name in used})
        if material.public_keys != pem:
            report.add(Kind.CHANGED, "public-key.pem is not the key that was given")
    try:
        again = make(material)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        report.add(Kind.FORM, f"its records make no bundle: {type(problem).__name__}: {problem}")
        return
    if again == data:
        return
    with zipfile.ZipFile(io.BytesIO(again)) as right, zipfile.ZipFile(io.BytesIO(data)) as given:
        differing = sorted(set(right.namelist()) ^ set(given.namelist()))
        for name in sorted(set(right.namelist()) & set(given.namelist())):
            try:
                if right.read(name) != given.read(name):
                    differing.append(name)
            except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError):
                differing.append(name)
    for name in differing:
        report.add(Kind.CHANGED, f"{name} is not what the records make")
    if not differing:
        report.add(Kind.CHANGED, "the ZIP itself was changed or packed anew; the files in it are right")


def pem_of(keys: Mapping[str, PublicKey]) -> str:
    """Public keys as they stand in a bundle, in the order of their ids."""
    return "".join(keys[name].pem for name in sorted(keys))


def _readable(header: str) -> bool:
    try:
        return read_header(header).seal > 0
    except (ValueError, TypeError):
        return False
