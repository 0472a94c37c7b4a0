"""A pickle is read as data: whatever it names or calls is refused or only noted, and never run."""

import builtins
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ownlatent.networks.pickled import Made, Refused, array, mapping, read_pickle

RAN = "ran"


class Calls:
    """Pickled, it calls a function; unpickled by Python, that would run."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


TOUCH = f"touch {RAN}"
WRITE = f"open({RAN!r}, 'w')"
HOSTILE: dict[str, bytes] = {
    **{
        f"{name} {protocol}": pickle.dumps({"w": np.ones(2), "x": made}, protocol)
        for protocol in (0, 2, 4, 5)
        for name, made in {
            "os.system": Calls(os.system, TOUCH),
            "eval": Calls(builtins.eval, WRITE),
            "exec": Calls(builtins.exec, WRITE),
            "open": Calls(open, RAN, "w"),
            "getattr": Calls(getattr, 1, "real"),
            "import": Calls(__import__, "os"),
            "numpy.load": Calls(np.load, RAN),
            "numpy.fromfile": Calls(np.fromfile, RAN),
            "inner": Calls(list, [Calls(os.system, TOUCH)]),
        }.items()
    },
    "os.system by name": b"cos\nsystem\n" + text(TOUCH) + b"\x85R.",
    "posix": b"cposix\nsystem\n(S'" + TOUCH.encode() + b"'\ntR.",
    "INST": b"(S'" + TOUCH.encode() + b"'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'" + TOUCH.encode() + b"'\no.",
    "INST of what may be named": b"(S'x'\ni_codecs\nencode\n.",
    "a name with dots": b"\x80\x04" + text("builtins") + text("dict.__class__") + b"\x93.",
    "a name through numpy": b"\x80\x04" + text("numpy") + text("os.system") + b"\x93.",
    "numpy's own eval": b"cnumpy.testing\nrunstring\n(S'" + WRITE.encode() + b"'\n}tR.",
    "numpy.f2py": b"cnumpy.f2py.crackfortran\nmyeval\n(S'" + WRITE.encode() + b"'\ntR.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent number": b"P1\n.",
    "state of a name": b"cnumpy\nndarray\n}" + text("__reduce__") + text("x") + b"sb0N.",
    "state of a list": b"]}" + text("append") + text("x") + b"sb.",
    "a name out of the memo": b"cos\nsystem\nq\x00" + b"0h\x00" + text(TOUCH) + b"\x85R.",
    "what the memo has not": b"h\x07.",
    "a mark too many": b"t.",
    "nothing": b"",
    "cut short": pickle.dumps({"w": np.ones(9)}, 2)[:-30],
    "a buffer of bytes": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_it_is_refused_and_nothing_runs(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused):
        read_pickle(content)
    assert list(tmp_path.iterdir()) == []


class Ran(Exception):
    """Something was called."""


@pytest.mark.parametrize("name", ["os.system 0", "os.system 5", "eval 4", "INST", "OBJ", "posix"])
def test_it_would_run(name: str) -> None:
    """The cases are true ones: Python's own reader calls what they name."""

    def run(*arguments: Any) -> None:
        raise Ran

    class Seeing(pickle._Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            harmless = module.startswith(("numpy", "_codecs"))
            return super().find_class(module, name) if harmless else run

    with pytest.raises(Ran):
        Seeing(io.BytesIO(HOSTILE[name])).load()


def test_what_may_be_named_is_not_called_either() -> None:
    """Within allowed packages too: a note is all that comes of it."""
    made = read_pickle(b"chaiku._src.evil\nboom\n(S'x'\ntR.")
    assert isinstance(made, Made) and made.args == ("x",)
    made = read_pickle(b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.")
    assert isinstance(made, Made) and array(made) is None
    far = b"\x80\x02N" + b"r" + struct.pack("<I", 2**31 - 1) + b"."  # C's would take 32 GB
    assert read_pickle(far) is None


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i4", "|u1", "|b1"])
def test_arrays_are_numpys(protocol: int, dtype: str) -> None:
    drawn = np.random.default_rng(0).normal(size=(3, 4, 2)) * 9
    for value in (drawn.astype(dtype), np.asfortranarray(drawn.astype(dtype)),
                  np.array(3).astype(dtype), np.zeros((0, 2), dtype)):  # fmt: skip
        held = mapping(read_pickle(pickle.dumps({"a": value}, protocol)))
        assert held is not None
        found = array(held["a"])
        assert found is not None and found.dtype == value.dtype
        np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("change", [
    {"shape": (2**40,)}, {"shape": (-1,)}, {"shape": (1, 2)}, {"shape": "x"}, {"dtype": "O8"},
    {"dtype": "V8"}, {"dtype": "U2"}, {"dtype": [("a", "f4")]}, {"raw": b"123"}, {"raw": 5},
    {"raw": [os]}, {"dtype": "f4,f4"},
])  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    from ownlatent.networks.pickled import Named

    parts = {"shape": (3,), "dtype": "f8", "raw": b"\0" * 24} | change
    dtype = Made(Named("numpy", "dtype"), (parts["dtype"], False, True), (3, "<", None))
    made = Made(Named("numpy.core.multiarray", "_reconstruct"), ())
    made.state = (1, parts["shape"], dtype, False, parts["raw"])
    with pytest.raises(Refused):
        array(made)
