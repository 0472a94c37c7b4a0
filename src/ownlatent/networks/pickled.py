"""Numbers in a pickle, read without calling, importing or executing anything that it names.

A pickle is a program. This reader runs its bookkeeping alone (numbers, texts, containers, memo);
where the program names a function or class, calls one or sets an object's state, it notes what was
named and given: :class:`Made`. Arrays are then put together from such notes.
"""

import math
import pickle
import struct
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

ROOMS = ("acme", "byol", "haiku", "jax", "jaxlib", "optax")
"""Packages whose containers a checkpoint may be made of."""
NAMES = {
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
    *((module, "_reconstructor") for module in ("copyreg", "copy_reg")),
    *(
        (module, name)
        for module in ("builtins", "__builtin__")
        for name in ("bytes", "dict", "object", "tuple")
    ),
    ("dill._dill", "_create_namedtuple"),
    *(
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    ),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}
"""What else may be named; each only noted, never looked up."""
_KEPT = tuple(
    # Numbers and texts
    b"\x80.\x95(012N\x88\x89IJKMLGFSTUVX\x8a\x8b\x8c\x8dBC\x8e"
    # Tuples, lists, dictionaries
    b")t\x85\x86\x87]lae}dsu"
    # The memo, and names
    b"ghjpqr\x94c\x93"
)
"""Instructions that only keep books."""
_NUMBERS = "?bBhHiIlLqQefd"


class Refused(Exception):
    """What in the pickle is not read, in words."""


@dataclass(frozen=True)
class Named:
    """A function or class that the pickle names."""

    module: str
    name: str


@dataclass(eq=False)
class Made:
    """What the pickle would make by calling something.

    Attributes:
        by: what it would call: a :class:`Named`, or a :class:`Made` itself.
        args: with what.
        state: what it would then set.
        items: what it would put in.
    """

    by: Any
    args: Any
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        self.items[len(self.items)] = value

    def is_a(self, *names: str) -> bool:
        return isinstance(self.by, Named) and self.by.name in names


class _Bounded:
    """A file that gives no more than it has: a length in a pickle asks for any memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, 2)
        file.seek(0)

    def read(self, count: int) -> bytes:
        if count > self.size - self.file.tell():
            raise EOFError
        return self.file.read(count)

    def readline(self) -> bytes:
        return self.file.readline()


class _Reader(pickle._Unpickler):
    """Python's own, not C's, where calls cannot be replaced and a jump of the memo takes memory."""

    def find_class(self, module: str, name: str) -> Named:
        if (module, name) not in NAMES and module.split(".")[0] not in ROOMS:
            raise Refused(f"it names {module}.{name}")
        return Named(module, name)

    def _made(self: Any) -> None:
        args = self.stack.pop()
        self.stack[-1] = Made(self.stack[-1], args)

    def _made_with_names(self: Any) -> None:
        names, args = self.stack.pop(), self.stack.pop()
        self.stack[-1] = Made(self.stack[-1], (*args, names))

    def _buffer(self: Any) -> None:
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(length))

    def _set(self: Any) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Made):
            raise Refused("it sets the state of what is no object of its own")
        self.stack[-1].state = state

    dispatch: ClassVar[dict[int, Any]] = {
        **{code: pickle._Unpickler.dispatch[code] for code in _KEPT},
        pickle.REDUCE[0]: _made,
        pickle.NEWOBJ[0]: _made,
        pickle.NEWOBJ_EX[0]: _made_with_names,
        pickle.BYTEARRAY8[0]: _buffer,
        pickle.BUILD[0]: _set,
    }


def read_pickle(content: bytes | Path) -> Any:
    """Numbers, texts and containers as they are, everything else as :class:`Made`.

    Raises:
        Refused: it names what is neither in ``NAMES`` nor of ``ROOMS``, or is no such pickle.
    """
    try:
        with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            held: Any = _Bounded(file)
            return _Reader(held, encoding="latin1").load()
    except Refused:
        raise
    except KeyError as error:
        if error.args and isinstance(error.args[0], int) and error.args[0] < 256:
            raise Refused(f"it has instruction {error.args[0]}") from error
        raise Refused("it is damaged") from error
    except OSError:
        raise
    except Exception as error:  # damage is met with errors of many types
        raise Refused(f"it is damaged ({type(error).__name__})") from error


def array(value: Any) -> "np.ndarray[Any, Any] | None":
    """The array that a note describes, as numpy pickles one of numbers; None if it is no array.

    Raises:
        Refused: its parts do not fit together, or it is not of numbers.
    """
    if not isinstance(value, Made):
        return None
    try:
        if value.is_a("_reconstruct"):
            _, shape, kind, by_column, content = value.state
        elif value.is_a("_frombuffer"):
            content, kind, shape, order = value.args
            by_column = order == "F"
        else:
            return None
        raw = _bytes(content)
        dtype = _dtype(kind)
        if len(raw) != math.prod(shape) * dtype.itemsize:
            raise ValueError("length")
        flat = np.frombuffer(raw, dtype)
        return flat.reshape(shape, order="F" if by_column else "C")
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Refused("an array in it is damaged, or not of numbers") from error


def mapping(value: Any) -> dict[Any, Any] | None:
    """A dictionary, or the one that a note of a mapping holds; None if there is none."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, Made):
        return None
    if value.items:
        return value.items
    held = [*value.args] if isinstance(value.args, tuple) else []
    state = value.state[1] if isinstance(value.state, tuple) else value.state
    held += [state, *state.values()] if isinstance(state, dict) else []
    return next((part for part in held if isinstance(part, dict) and part), None)


def _bytes(content: Any) -> bytes:
    """As they are, or as older protocols write them: ``_codecs.encode(text, "latin1")``, and
    ``bytes()`` for none; Python 2 as text."""
    if isinstance(content, Made) and content.is_a("bytes") and content.args == ():
        return b""
    if isinstance(content, Made) and content.is_a("encode"):
        text, codec = content.args
        if codec != "latin1":
            raise ValueError("codec")
        content = text
    if isinstance(content, str):
        content = content.encode("latin1")
    if not isinstance(content, bytes):
        raise TypeError("content")
    return content


def _dtype(kind: Any) -> "np.dtype[Any]":
    if not isinstance(kind, Made) or not kind.is_a("dtype"):
        raise TypeError("dtype")
    code = kind.args[0]
    order: Any = kind.state[1] if kind.state else "="
    dtype = np.dtype(str(code)) if isinstance(code, str) and len(code) < 4 else None
    if dtype is None or dtype.char not in _NUMBERS or order not in ("<", ">", "=", "|"):
        raise TypeError("dtype")
    return dtype.newbyteorder(order)
