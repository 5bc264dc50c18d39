"""LLVM's OpenMP library in the place of GCC's, for a Linux without `libgomp.so.1`.

llama.cpp's library is linked against GCC's OpenMP, which minimal systems lack. LLVM's library, which is on PyPI, has
the same functions with the same symbol versions, but another name. docs/decisions/0004-openmp.md has the alternatives.
"""

import ctypes
import os
import struct
import tempfile
from importlib import metadata
from pathlib import Path

NEEDED = "libgomp.so.1"
"""The name under which llama.cpp's library looks for OpenMP."""
PACKAGE = "cmeel-libomp"
"""The package that holds LLVM's library."""

_EHDR, _PHDR, _DYN, _SYM = 64, 56, 16, 24  # bytes of ELF's records on 64-bit systems
_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551  # types of segments
_WRITE_READ = 6
_PAGE = 0x10000  # the largest page of a supported processor


def substitute() -> None:
    """Load LLVM's OpenMP so that the next library that needs `libgomp.so.1` gets it. Raises `ImportError`.

    The dynamic linker gives a library what is already loaded under the needed name (ELF's SONAME). So this loads an
    empty library of that name, which itself needs LLVM's, by its path.
    """
    library = _installed()
    if library is None:
        raise ImportError(f"the package {PACKAGE} is not installed")
    # The linker has mapped the file when it is removed.
    with tempfile.NamedTemporaryFile(prefix="headwater-", suffix=".so") as file:
        file.write(alias(library.read_bytes()[:_EHDR], NEEDED, str(library)))
        file.flush()
        try:
            ctypes.CDLL(file.name)
        except OSError as failure:
            raise ImportError(f"the package {PACKAGE} cannot be loaded: {failure}") from failure


def alias(header: bytes, name: str, target: str) -> bytes:
    """An ELF library without code: it is called `name` and needs the library at the path `target`.

    `header` is the ELF header of `target`, 64-bit and little-endian; processor and ABI are taken from it.
    """
    strings = b"\0" + name.encode() + b"\0" + os.fsencode(target) + b"\0"
    segments, entries = 3, 8
    dynamic = _EHDR + segments * _PHDR
    hashes = dynamic + entries * _DYN
    symbols = hashes + 16
    text = symbols + _SYM
    size = text + len(strings)
    table = [
        (14, 1),  # SONAME, a place in the strings
        (1, 2 + len(name.encode())),  # NEEDED, likewise
        (4, hashes),
        (5, text),  # STRTAB
        (6, symbols),  # SYMTAB
        (10, len(strings)),
        (11, _SYM),
        (0, 0),
    ]
    # The linker writes addresses into the dynamic section. Without a segment that describes the stack it would ask for
    # an executable one, which glibc 2.41 refuses.
    load, where = _segment(_LOAD, 0, size), _segment(_DYNAMIC, dynamic, entries * _DYN)
    stack = _segment(_STACK, 0, 0)
    own = bytearray(header)
    # Entry point, program headers, no sections; then the flags of the processor, as they are.
    struct.pack_into("<QQQ", own, 24, 0, _EHDR, 0)
    struct.pack_into("<HHHHHH", own, 52, _EHDR, _PHDR, segments, 0, 0, 0)
    bucket = struct.pack("<IIII", 1, 1, 0, 0)  # a hash table with one bucket, which is empty
    return b"".join(
        [bytes(own), load, where, stack, *(struct.pack("<QQ", *entry) for entry in table), bucket, bytes(_SYM), strings]
    )


def _segment(kind: int, start: int, size: int) -> bytes:
    """A program header: what is at `start` in the file is at that address in memory, readable and writable."""
    return struct.pack("<IIQQQQQQ", kind, _WRITE_READ, start, start, start, size, size, _PAGE if kind == _LOAD else 8)


def _installed() -> Path | None:
    """LLVM's library; None if its package is not installed."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())).resolve() for file in files if file.name == "libomp.so"), None)
