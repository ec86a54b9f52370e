"""PyTorch state dicts (the format before version 1.6) read without PyTorch, and without trust.

Such a file is a chain of pickles: a magic number, a protocol version, facts about the machine, the
dictionary, the keys of its storages; then each storage, its length (int64) and its raw values.
A pickle can call anything, so this reader knows four names and refuses all others.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


@dataclass(frozen=True, slots=True)
class StorageType:
    """What a name like `torch.FloatStorage` becomes here: a description, nothing to call."""

    dtype: str


STORAGES = {"FloatStorage": StorageType("<f4"), "LongStorage": StorageType("<i8")}


def read_state(content: bytes) -> dict[str, NDArray[Any]]:
    """Return name -> array of a state dict; UnpicklingError for anything that is not just that."""
    stream = io.BytesIO(content)
    head = RestrictedUnpickler(stream).load(), RestrictedUnpickler(stream).load()
    if head != (MAGIC, PROTOCOL):
        raise pickle.UnpicklingError("not a PyTorch file of the older format")
    RestrictedUnpickler(stream).load()  # byte order and sizes of C types: little endian everywhere
    reader = RestrictedUnpickler(stream, max_bytes=len(content))
    state = reader.load()
    for key in RestrictedUnpickler(stream).load():
        _fill(reader.storages[key], stream)
    return _only_arrays(state)


class RestrictedUnpickler(pickle.Unpickler):
    """Knows OrderedDict, tensors and two types of storage; allocates at most `max_bytes`."""

    def __init__(self, stream: io.BytesIO, max_bytes: int = 0) -> None:
        super().__init__(stream)
        self.storages: dict[str, NDArray[Any]] = {}
        self.bytes_left = max_bytes

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the four known names; refuse any other before it is imported."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a state dict")

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        """Return the array of a storage, empty for now: its values follow after the pickle."""
        kind, storage_type, key, _device, count, view = pid
        if kind != "storage" or not isinstance(storage_type, StorageType) or view is not None:
            raise pickle.UnpicklingError(f"unknown kind of storage: {pid!r}")
        if key not in self.storages:
            self.storages[key] = self._allocated(count, np.dtype(storage_type.dtype))
        return self.storages[key]

    def _allocated(self, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        self.bytes_left -= count * dtype.itemsize
        if count < 0 or self.bytes_left < 0:
            raise pickle.UnpicklingError("the storages are larger than the file")
        return np.zeros(count, dtype)


def _tensor(
    storage: NDArray[Any], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> NDArray[Any]:
    """Return the view of a storage that is a tensor; only tensors without gaps are known."""
    values = storage[offset : offset + math.prod(shape)].reshape(shape)
    if values.size and strides != tuple(step // storage.itemsize for step in values.strides):
        raise pickle.UnpicklingError("a tensor that is not contiguous")
    return values


def _fill(storage: NDArray[Any], stream: io.BytesIO) -> None:
    count = int.from_bytes(stream.read(8), "little", signed=True)
    content = stream.read(storage.nbytes)
    if count != storage.size or len(content) != storage.nbytes:
        raise pickle.UnpicklingError("a storage is not as long as announced")
    storage[:] = np.frombuffer(content, storage.dtype)


def _only_arrays(state: Any) -> dict[str, NDArray[Any]]:
    if not isinstance(state, OrderedDict):
        raise pickle.UnpicklingError("not a state dict")
    if not all(isinstance(values, np.ndarray) for values in state.values()):
        raise pickle.UnpicklingError("a state dict holds tensors only")
    return {name.removeprefix("module."): values for name, values in state.items()}
