"""Documents in this process's memory: the part of the reference store that keeps no logs."""

from collections.abc import Callable, Sequence

from headwater.errors import Conflict
from headwater.log.store import DOCUMENT_BYTES, DOCUMENTS, Document, check_size


class MemoryDocuments:
    """Keeps documents. `clock` gives wall time in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._documents: dict[tuple[str, str], tuple[Document, float]] = {}  # by collection and name; and until when
        self._looked = 0.0  # when what has expired was forgotten last

    async def get(self, name: str, *, collection: str = "") -> Document | None:
        document, until = self._documents.get((collection, name), (None, 0.0))
        return document if until > self._clock() else None

    async def put(
        self, name: str, value: bytes, *, ttl: float, version: int | None = None, collection: str = ""
    ) -> Document | None:
        check_size(value)
        self.sweep_documents()
        old = await self.get(name, collection=collection)
        current = old.version if old else 0
        if version is not None and version != current:
            raise Conflict.of(name, version, current)
        self._documents[collection, name] = (Document(value, current + 1), self._clock() + ttl)
        return old

    async def delete(self, name: str, *, collection: str = "") -> None:
        self._documents.pop((collection, name), None)

    async def list_documents(self, collection: str, *, after: str = "") -> Sequence[tuple[str, Document]]:
        page: list[tuple[str, Document]] = []
        size = 0
        for name in sorted(name for owner, name in self._documents if owner == collection and name > after):
            document = await self.get(name, collection=collection)
            if document is None:
                continue
            size += len(document.value)
            if page and (size > DOCUMENT_BYTES or len(page) == DOCUMENTS):
                break
            page.append((name, document))
        return page

    async def renew_documents(self, collection: str, ttl: float) -> None:
        now = self._clock()
        for key, (document, until) in self._documents.items():
            if key[0] == collection and until > now:
                self._documents[key] = (document, now + ttl)

    async def delete_documents(self, collection: str) -> None:
        for key in [key for key in self._documents if key[0] == collection]:
            del self._documents[key]

    def sweep_documents(self) -> None:
        """Forget what has expired; at most once a second, because it looks at every document."""
        now = self._clock()
        if 0 <= now - self._looked < 1:
            return
        self._looked = now
        for key in [key for key, (_, until) in self._documents.items() if until <= now]:
            del self._documents[key]
