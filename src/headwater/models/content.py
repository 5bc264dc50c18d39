"""The content of a message in blocks, in the shape of OpenAI, Mistral, Anthropic or LangChain. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from headwater.models.characters import text_in

Kind = Literal["text", "reasoning", "refusal", "media", "annotations"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("text", "output_text", "text_delta", "input_text"), "text"),
    **dict.fromkeys(("reasoning", "thinking", "reasoning_content", "thinking_delta", "summary_text"), "reasoning"),
    "refusal": "refusal",
    **dict.fromkeys(("image", "image_url", "output_image", "image_generation_call"), "media"),
    **dict.fromkeys(("audio", "output_audio", "input_audio", "video", "video_url", "file", "media"), "media"),
}
_MEDIA = {"image_url": "images", "image": "images", "output_image": "images", "image_generation_call": "images"}


def parts(content: object) -> Iterator[tuple[Kind, Any]]:
    """The parts of a message's content, in order: the kind of each, and its text.

    Of `media` the value is a name, such as `images`, and of `annotations` the list of them. A message has its tool
    calls elsewhere, so that blocks about those count as nothing.
    """
    if isinstance(content, str):
        if content:
            yield "text", content
        return
    for block in cast("list[object]", content) if isinstance(content, list) else [content]:
        if isinstance(block, str):
            yield "text", block
        elif isinstance(block, Mapping):
            yield from _part(cast("Mapping[str, Any]", block))


def _part(block: Mapping[str, Any]) -> Iterator[tuple[Kind, Any]]:
    name = block.get("type")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if name is None and isinstance(block.get("text"), str):
        kind = "text"  # some servers leave the type out
    if kind == "media":
        yield kind, _MEDIA.get(str(name), str(name).removeprefix("output_").removeprefix("input_"))
    elif kind is not None:
        if text := text_in(block):
            yield kind, text
        for field in ("annotations", "citations"):
            if isinstance(noted := block.get(field), list) and noted:
                yield "annotations", noted
