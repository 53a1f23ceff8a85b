"""Data frames in JSON's own types, exactly and without pyarrow: numbers as their bytes, everything else by value.

Imported only where a frame is handed on. Nothing here runs code that a stored value names.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any  # Any: pandas and numpy, which need not be installed where this package is
from zoneinfo import ZoneInfo

import numpy
import pandas

from tradeloop.airflow.xcom import XComRefused, exact

np: Any = numpy
pd: Any = pandas
MAX_FRAME_BYTES = 16 * 2**20
"""In memory. A larger one would sit in Airflow's database and in every page that shows it."""
NUMBERS = "biufc"
TIMES = "mM"
THEN = "convert the column, or write a file and hand on its path"


def pack(frame: Any, where: str) -> dict[str, Any]:
    """The frame's columns, index and attributes.

    Raises:
        XComRefused: a kind of column that cannot be carried exactly, or more than 16 MiB.
    """
    if type(frame) is not pd.DataFrame:
        raise XComRefused(where, f"is {type(frame).__name__}, a kind of data frame of another package", THEN)
    size = int(frame.memory_usage(index=True, deep=True).sum())
    if size > MAX_FRAME_BYTES:
        what = f"is a data frame of {size:,} bytes, at most {MAX_FRAME_BYTES:,} are taken"
        raise XComRefused(where, what, "write a file and hand on its path")
    columns = range(frame.shape[1])
    return {
        "columns": _pack_index(frame.columns, f"{where}.columns"),
        "index": _pack_index(frame.index, f"{where}.index"),
        "arrays": [_pack_array(frame.iloc[:, at].array, f"{where}[{frame.columns[at]!r}]") for at in columns],
        "attrs": exact(dict(frame.attrs), f"{where}.attrs"),
    }


def unpack(data: dict[str, Any]) -> Any:
    """The frame."""
    index = _unpack_index(data["index"])
    arrays = dict(enumerate(map(_unpack_array, data["arrays"])))
    # The kind is given, or pandas would make texts of objects.
    columns = {at: pd.Series(array, index=index, dtype=array.dtype) for at, array in arrays.items()}
    frame = pd.DataFrame(columns, index=index)
    frame.columns = _unpack_index(data["columns"])
    frame.attrs = data["attrs"]
    return frame


def is_same(one: Any, other: Any) -> bool:
    """Whether two frames are equal in values, kinds of columns, index and attributes."""
    try:
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    except (AssertionError, TypeError, ValueError):  # values that cannot be compared are not known to be equal
        return False
    return bool(one.attrs == other.attrs)


def _pack_index(index: Any, where: str) -> dict[str, Any]:
    names = [exact(name, f"{where}.name") for name in index.names]
    if isinstance(index, pd.MultiIndex):
        levels = [_pack_index(level, where) for level in index.levels]
        return {"names": names, "levels": levels, "codes": [_pack_array(np.asarray(c), where) for c in index.codes]}
    if isinstance(index, pd.RangeIndex):
        return {"names": names, "range": [index.start, index.stop, index.step]}
    frequency = getattr(index, "freqstr", None) if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex) else None
    return {"names": names, "array": _pack_array(index.array, where), "frequency": frequency}


def _unpack_index(data: dict[str, Any]) -> Any:
    names = data["names"]
    if "levels" in data:
        levels = [_unpack_index(level) for level in data["levels"]]
        codes = [_unpack_array(packed) for packed in data["codes"]]
        return pd.MultiIndex(levels=levels, codes=codes, names=names)
    if "range" in data:
        return pd.RangeIndex(*data["range"], name=names[0])
    array = _unpack_array(data["array"])
    index = pd.Index(array, dtype=array.dtype, name=names[0])
    if data["frequency"]:
        index.freq = data["frequency"]
    return index


def _pack_array(array: Any, where: str) -> dict[str, Any]:
    if type(array) is pd.arrays.NumpyExtensionArray:  # columns of texts are a kind of it
        array = array.to_numpy()
    dtype = array.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories = _pack_index(dtype.categories, where)
        return {
            "kind": "category",
            "codes": _pack_array(np.asarray(array.codes), where),
            "categories": categories,
            "ordered": bool(dtype.ordered),
        }
    if isinstance(dtype, pd.DatetimeTZDtype):
        times = np.asarray(array.tz_convert(None))
        return {"kind": "zoned", "times": _pack_array(times, where), "zone": _pack_zone(dtype.tz, where)}
    if isinstance(dtype, pd.StringDtype) and dtype.storage == "python":
        values = [None if missing else exact(v, where) for v, missing in zip(array, array.isna(), strict=True)]
        return {"kind": "text", "missing": "NA" if dtype.na_value is pd.NA else "nan", "values": values}
    if str(dtype) in _NULLABLE:
        missing = np.asarray(array.isna())
        values = array.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0))
        return {
            "kind": "nullable",
            "name": str(dtype),
            "values": _pack_array(values, where),
            "missing": _pack_array(missing, where),
        }
    if isinstance(dtype, np.dtype):
        return _pack_plain(np.asarray(array), where)
    raise XComRefused(where, f"has values of the kind {dtype}", THEN)


def _pack_plain(array: Any, where: str) -> dict[str, Any]:
    if array.dtype.kind in NUMBERS + TIMES:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        return {"kind": "plain", "dtype": little.dtype.str, "bytes": b64encode(little.tobytes()).decode()}
    if array.dtype == object and all(value is None or type(value) is Decimal for value in array):
        # One by one they would take a hundred times as long.
        return {"kind": "decimal", "values": [None if value is None else str(value) for value in array]}
    if array.dtype == object:
        return {"kind": "object", "values": [exact(value, f"{where}[{at}]") for at, value in enumerate(array)]}
    raise XComRefused(where, f"has values of the kind {array.dtype}", THEN)


def _pack_zone(zone: Any, where: str) -> str | float:
    if isinstance(zone, ZoneInfo) and zone.key:
        return zone.key
    if isinstance(zone, timezone):
        return zone.utcoffset(None).total_seconds()
    raise XComRefused(where, f"has a zone of the type {type(zone).__name__}", "use ZoneInfo or datetime.timezone")


def _unpack_array(data: dict[str, Any]) -> Any:
    kind = data["kind"]
    if kind not in _READERS:
        what = f"has a column of the kind {kind!r}, which is not known here"
        raise XComRefused("a data frame", what, "update tradeloop")
    return _READERS[kind](data)


def _unpack_plain(data: dict[str, Any]) -> Any:
    dtype = np.dtype(data["dtype"])
    if dtype.kind not in NUMBERS + TIMES:
        raise XComRefused("a data frame", f"has a column of {dtype}, which holds no numbers", "do not edit XCom")
    return np.frombuffer(b64decode(data["bytes"]), dtype=dtype).astype(dtype.newbyteorder("="))


def _unpack_decimals(data: dict[str, Any]) -> Any:
    return _objects([None if text is None else Decimal(text) for text in data["values"]])


def _unpack_texts(data: dict[str, Any]) -> Any:
    dtype = pd.StringDtype("python", na_value=pd.NA if data["missing"] == "NA" else np.nan)
    return pd.array(_objects(data["values"]), dtype=dtype)


def _unpack_nullable(data: dict[str, Any]) -> Any:
    if data["name"] not in _NULLABLE:
        raise XComRefused("a data frame", f"has a column of {data['name']!r}", "do not edit XCom")
    array = pd.array(_unpack_array(data["values"]), dtype=data["name"])
    array[_unpack_array(data["missing"])] = pd.NA
    return array


def _unpack_zoned(data: dict[str, Any]) -> Any:
    zone = data["zone"]
    known = ZoneInfo(zone) if isinstance(zone, str) else timezone(timedelta(seconds=zone))
    return pd.DatetimeIndex(_unpack_array(data["times"])).tz_localize("UTC").tz_convert(known).array


def _unpack_category(data: dict[str, Any]) -> Any:
    codes, categories = _unpack_array(data["codes"]), _unpack_index(data["categories"])
    return pd.Categorical.from_codes(codes, categories=categories, ordered=data["ordered"])


def _objects(values: list[Any]) -> Any:
    """One element a value, also where a value is itself a list."""
    array = np.empty(len(values), dtype=object)
    for at, value in enumerate(values):
        array[at] = value
    return array


_NULLABLE = frozenset(
    ["boolean", "Float32", "Float64", *(f"{sign}nt{bits}" for sign in ("I", "UI") for bits in (8, 16, 32, 64))]
)
_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "plain": _unpack_plain,
    "object": lambda data: _objects(data["values"]),
    "decimal": _unpack_decimals,
    "text": _unpack_texts,
    "nullable": _unpack_nullable,
    "zoned": _unpack_zoned,
    "category": _unpack_category,
}
