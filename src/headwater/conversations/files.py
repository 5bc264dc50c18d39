"""Files that go with a question: what is taken, and how a model is shown it. Pure."""

import base64
import binascii
import re
from collections.abc import Sequence

import msgspec

from headwater.conversations.nodes import Attached
from headwater.errors import RequestError
from headwater.prompt import Image, Part, Text

IMAGES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
"""The images that are taken, and what their data begin with."""
TEXT = "text/plain"
MOST = 10
"""Files of a question, at most."""
IMAGE_BYTES = 4 * 1024 * 1024
TEXT_BYTES = 512 * 1024
NAME = 200
"""Letters of a file's name, at most."""

_FENCES = re.compile(r"^[ \t]*(`{3,})", re.MULTILINE)


class UnsupportedFile(RequestError):
    """A file is neither an image of a known kind nor text."""

    code = "unsupported_file"
    status = 415


class FileTooLarge(RequestError):
    """A file, or the number of them, is over the limit."""

    code = "file_too_large"
    status = 413


class Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file as a client sends it."""

    name: str
    data: str
    """In base64."""
    type: str = ""
    id: str | None = None
    size: int | None = None


def taken(sent: Sequence[Sent], question: str) -> list[tuple[Attached, bytes]]:
    """The files of a question with their data. Raises `UnsupportedFile`, `FileTooLarge`, or `RequestError`."""
    if len(sent) > MOST:
        raise FileTooLarge(f"the question has {len(sent)} files; {MOST} are taken")
    return [_taken(file, f"{question}-{number}") for number, file in enumerate(sent)]


def shown(file: Attached, data: bytes) -> Part:
    """A file as a part of a prompt: an image, or a fenced text under the file's name."""
    if file.type in IMAGES:
        return Image(data=base64.b64encode(data).decode(), media_type=file.type)
    text = data.decode()
    fence = "`" * max(3, *(len(each) + 1 for each in _FENCES.findall(text)), 3)
    return Text(f"{file.name}\n{fence}\n{text.removesuffix(chr(10))}\n{fence}\n\n")


def _taken(file: Sent, id: str) -> tuple[Attached, bytes]:
    name = " ".join(file.name.replace("/", " ").replace("\\", " ").split())[:NAME] or "file"
    try:
        data = base64.b64decode(file.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnsupportedFile(f"the data of {name} are not base64") from error
    begins = IMAGES.get(file.type)
    most = TEXT_BYTES if begins is None else IMAGE_BYTES
    if len(data) > most:
        raise FileTooLarge(f"{name} has {len(data)} bytes; {most} are taken")
    if begins is not None:
        if not data.startswith(begins):
            raise UnsupportedFile(f"{name} is no {file.type}")
        return Attached(id, name, file.type, len(data)), data
    try:
        if b"\0" in data:
            raise ValueError("a zero byte")
        data.decode()
    except ValueError as error:
        raise UnsupportedFile(
            f"{name} is neither an image (PNG, JPEG, GIF or WebP) nor text in UTF-8; other files are not taken"
        ) from error
    return Attached(id, name, file.type if file.type.startswith("text/") else TEXT, len(data)), data
