"""Tables as Parquet files: the one place that knows pyarrow.

That package says nothing of its types and takes a moment to load, so it is loaded when it is first
needed. Values go in and come out as Python's own, a list for each column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias
from uuid import UUID

from settlement.errors import Refused

# Something of that package.
_Arrow: TypeAlias = Any
_READ_AT_ONCE: Final = 8_192
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(Enum):
    """What a column holds."""

    ID = "uuid"
    NUMBER = "int64"
    SMALL = "int32"
    MOMENT = "timestamp"
    HASH = "hash"  # 32 bytes
    # Microunits: int64, and again beside it as a decimal of USDC, `<name>_usdc`.
    AMOUNT = "amount"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file; what hardly repeats is not worth a dictionary."""

    name: str
    kind: Kind
    repeats: bool = False


class NotThatFile(Refused):
    """The file is no Parquet file of these columns."""


class ParquetWriter:
    """Writes a file in pieces; it is complete when the block is left without an error."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._schema = _schema(columns)
        self._file = import_module("pyarrow.parquet").ParquetWriter(
            str(path),
            self._schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=[column.name for column in columns if column.repeats],
            column_encoding={
                column.name: "DELTA_BINARY_PACKED"
                for column in columns
                if not column.repeats and column.kind not in (Kind.ID, Kind.HASH)
            },
            write_statistics=True,
            store_schema=True,
        )

    def __enter__(self) -> "ParquetWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, values: Sequence[Sequence[Any]]) -> None:
        """Write rows, given as columns: one group of rows that can be read by itself."""
        arrow = _arrow()
        plain = [_array(one, column) for one, column in zip(values, self._columns, strict=True)]
        decimals = [
            _as_usdc(array)
            for array, column in zip(plain, self._columns, strict=True)
            if column.kind is Kind.AMOUNT
        ]
        batch = arrow.RecordBatch.from_arrays([*plain, *decimals], schema=self._schema)
        self._file.write_batch(batch)


def read(
    path: Path, columns: Sequence[Column], only: Sequence[str] | None = None
) -> Iterator[list[list[Any]]]:
    """The rows of a file of these columns in pieces, as columns: all, or only some of them.

    Raises `NotThatFile`, also where a decimal that is read is not its microunits.
    """
    wanted = [column for column in columns if only is None or column.name in only]
    arrow = _arrow()
    try:
        with import_module("pyarrow.parquet").ParquetFile(str(path)) as file:
            if not file.schema_arrow.equals(_schema(columns)):
                raise NotThatFile(file=path, problem="it has other columns")
            names = [field.name for field in _schema(wanted)]
            for batch in file.iter_batches(batch_size=_READ_AT_ONCE, columns=names):
                _check_decimals(path, batch, wanted)
                yield [_values(batch.column(column.name), column) for column in wanted]
    except (arrow.ArrowException, OSError, EOFError) as error:
        raise NotThatFile(file=path, problem=str(error)) from error


def _check_decimals(path: Path, batch: _Arrow, columns: Sequence[Column]) -> None:
    for column in columns:
        if column.kind is Kind.AMOUNT:
            told = batch.column(f"{column.name}_usdc")
            if not told.equals(_as_usdc(batch.column(column.name))):
                raise NotThatFile(file=path, problem=f"{column.name} is told in two ways")


@cache
def _arrow() -> _Arrow:
    return import_module("pyarrow")


def _type(kind: Kind) -> _Arrow:
    arrow = _arrow()
    return {
        Kind.ID: arrow.uuid(),
        Kind.NUMBER: arrow.int64(),
        Kind.SMALL: arrow.int32(),
        Kind.MOMENT: arrow.timestamp("us", tz="UTC"),
        Kind.HASH: arrow.binary(32),
        Kind.AMOUNT: arrow.int64(),
    }[kind]


def _schema(columns: Sequence[Column]) -> _Arrow:
    arrow = _arrow()
    plain = [(column.name, _type(column.kind)) for column in columns]
    decimals = [
        (f"{column.name}_usdc", arrow.decimal128(38, 6))
        for column in columns
        if column.kind is Kind.AMOUNT
    ]
    return arrow.schema([arrow.field(*one, nullable=False) for one in [*plain, *decimals]])


def _array(values: Sequence[Any], column: Column) -> _Arrow:
    arrow = _arrow()
    if column.kind is Kind.ID:
        ids = arrow.array([value.bytes for value in values], arrow.binary(16))
        return arrow.ExtensionArray.from_storage(arrow.uuid(), ids)
    return arrow.array(values, _type(column.kind))


def _values(array: _Arrow, column: Column) -> list[Any]:
    if column.kind is Kind.ID:
        texts = array.storage.to_pylist()
        ids = {one: UUID(bytes=one) for one in set(texts)}
        return [ids[one] for one in texts]
    if column.kind is Kind.MOMENT:
        micros = array.cast(_arrow().int64()).to_pylist()
        known = {one: _EPOCH + timedelta(microseconds=one) for one in set(micros)}
        return [known[one] for one in micros]
    values: list[Any] = array.to_pylist()
    return values


def _as_usdc(microunits: _Arrow) -> _Arrow:
    """The same numbers with the point six places further left: not a bit of them changes."""
    arrow = _arrow()
    unscaled = microunits.cast(arrow.decimal128(38, 0))
    return arrow.Array.from_buffers(arrow.decimal128(38, 6), len(unscaled), unscaled.buffers())
