"""Asking in a conversation: one answer at a time.

A question first gets the head's `live`, in one step with its places in the tree, and only then is the model asked.
Every step can be repeated under the same ids, by any server: what was done is found, and the rest is done. Who finds a
`live` that has ended settles it first (`settling.py`).
"""

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from headwater.answers.answers import Answers
from headwater.answers.attachment import Attachment
from headwater.cache.policy import Directives
from headwater.conversations.conversations import Conversations, new_id, settings_prompt
from headwater.conversations.files import IMAGES, Sent, UnsupportedFile, shown, taken
from headwater.conversations.nodes import (
    Attached,
    Head,
    Id,
    InvalidConversation,
    Live,
    Node,
    Question,
    Reply,
    Settings,
    path,
    title_of,
    written,
)
from headwater.conversations.records import ATTEMPTS, NoSuchConversation, owner_of
from headwater.conversations.settling import Pending
from headwater.conversations.transfer import MESSAGES
from headwater.errors import Conflict, HeadwaterError, RequestError, StoreError
from headwater.principal import Principal
from headwater.prompt import Message, Part, Prompt, Text, check

CONTINUE = (
    "Continue your last answer exactly where it stopped. Write only what follows its last character: no introduction, "
    "no repetition."
)
"""What the model is asked for the rest of an answer."""


class Busy(RequestError):
    """Another answer of the conversation is being written."""

    code = "busy"
    status = 409
    retryable = True

    def __init__(self, answer: str, number: int) -> None:
        super().__init__("an answer of this conversation is still being written; wait for its end, or stop it")
        self.answer = answer
        self.number = number
        """The place of its node."""
        self.location: str | None = None
        """Its message id, once it has one."""


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A question, or without content and files the wish for another answer to `parent`."""

    id: Id | None = None
    answer: Id | None = None
    parent: str | None = None
    content: str | None = None
    attachments: list[Sent] = []
    kind: Literal["ask", "continue"] = "ask"
    settings: Settings | None = None
    follows: bool = False
    """Whether the question goes to the end of the branch that `parent` is on: others may have asked since."""

    @property
    def again(self) -> bool:
        """Whether an old question is to be answered once more."""
        return self.content is None and self.kind == "ask" and not self.attachments


class Asked(NamedTuple):
    """A question that has been taken."""

    head: Head
    question: Question
    reply: Reply
    attachment: Attachment | None
    """Where the answer is read; None if the same request was taken before."""


class _Begun(NamedTuple):
    """A request whose answer is the live one."""

    before: Head
    """Without it."""
    head: Head
    question: Question
    answer: str
    new: bool
    """Whether the question is not kept yet."""
    files: list[tuple[Attached, bytes]]


class Asking:
    """Asks in conversations. `clock` gives wall time in seconds."""

    def __init__(self, answers: Answers, conversations: Conversations, clock: Callable[[], float] = time.time) -> None:
        self._answers = answers
        self._conversations = conversations
        self._records = conversations.records
        self._settling = conversations.settling
        self._clock = clock

    async def ask(
        self,
        id: str,
        principal: Principal,
        ask: Ask,
        directives: Directives = Directives(),  # noqa: B008 - immutable
    ) -> Asked:
        """Ask a question in a conversation, which is made if the question has no parent.

        Raises `NoSuchConversation`, `InvalidConversation`, `Busy`, and as `Answers.ask` does. After `StoreError`
        send the same ids again: some of it may have been done.
        """
        if ask.settings is not None:
            self._conversations.check(ask.settings)
        question_id, answer_id = ask.parent if ask.again else ask.id or new_id(), ask.answer or new_id()
        if question_id is None or question_id == answer_id:
            raise InvalidConversation("name the question to answer again in `parent`, or send `content`")
        files, owner = taken(ask.attachments, question_id), owner_of(principal)
        for _ in range(ATTEMPTS):
            nodes: dict[str, Node] = {}
            try:
                head, there = await self._conversations.use(id, principal), True
                nodes = {each: kept.node for each, kept in (await self._records.nodes(head.place)).items()}
            except NoSuchConversation:
                if ask.parent is not None:
                    raise
                head, there = self._conversations.new(id), False
            known = nodes.get(answer_id)
            if isinstance(known, Reply) and isinstance(question := nodes.get(known.parent), Question):
                return Asked(head, question, known, None)
            if answer_id in nodes:
                raise InvalidConversation("the answer's id is that of another message; take a new one")
            followed = _end(head, nodes, ask.parent) if ask.follows else ask.parent
            question = self._question(ask, question_id, nodes, followed, [file for file, _ in files])
            data = {file.id: content for file, content in files}
            branch = [*path(nodes, question.parent), question]
            prompt = await self._prompt(head.place, ask.settings or head.settings, branch, data)
            if not there and not await self._records.add(owner, head):
                continue
            reserved = await self._reserve(owner, head, question, answer_id, ask.settings)
            if reserved is not None:
                begun = _Begun(head, reserved, question, answer_id, question_id not in nodes, files)
                return await self._begin(begun, prompt, principal, directives, again=ask.again)
        raise Conflict(f"other requests keep changing the conversation {id}; try again")

    def _question(
        self, ask: Ask, id: str, nodes: dict[str, Node], parent: str | None, files: list[Attached]
    ) -> Question:
        """The question of a request: the one that is there, or a new one. Raises `InvalidConversation`."""
        known = nodes.get(id)
        if isinstance(known, Question):
            return known
        if known is not None:
            raise InvalidConversation("the question's id is that of another message; take a new one")
        if ask.again or (parent is not None and not isinstance(nodes.get(parent), Reply)):
            raise InvalidConversation(f"there is no message {str(parent)[:80]} here that this can follow")
        now = written(self._clock())
        return Question(
            id=id, parent=parent, created_at=now, content=ask.content or "", attachments=tuple(files), kind=ask.kind
        )

    async def _begin(
        self, begun: "_Begun", prompt: Prompt, principal: Principal, directives: Directives, *, again: bool
    ) -> Asked:
        """Ask the model, and keep the question's and the answer's nodes."""
        head, question, live = begun.head, begun.question, begun.head.live
        assert live is not None
        for file, content in begun.files if begun.new else ():
            await self._records.put_file(head.place, file.id, content)
        try:
            directives = msgspec.structs.replace(directives, no_cache=directives.no_cache or again)
            key = f"{head.place}.{begun.answer}"  # clients may use an id again in another conversation
            attachment = await self._answers.ask(prompt, principal, directives, idempotency_key=key)
        except StoreError:
            raise  # what was done is unknown: whoever asks again under the same ids goes on
        except HeadwaterError:
            await self._settling.withdraw(owner_of(principal), head.id, begun.answer, begun.before)
            raise
        # Only now, so that a refusal leaves no question behind, and takes none away that the same request has kept.
        if begun.new:
            await self._records.put_node(head.place, live.number - 1, question, 0)
        now, age = self._clock(), attachment.age
        reply = Reply(
            id=begun.answer,
            parent=question.id,
            created_at=written(now),
            location=attachment.message_id,
            cache="hit" if age is not None else "collapsed" if "collapsed" in attachment.status else None,
            produced_at=None if age is None else written(now - age),
            matched=attachment.cached and attachment.cached.matched,
        )
        if age is not None:  # the whole answer is there
            reply = reply.settled(await self._answers.answer(attachment, principal))
        return await self._kept(Asked(head, question, reply, attachment), live, principal)

    async def _kept(self, asked: Asked, live: Live, principal: Principal) -> Asked:
        """Keep the answer's node, and have it settled unless it is."""
        head, reply, owner = asked.head, asked.reply, owner_of(principal)
        pending = Pending(owner, head.id, head.place, live.number, principal.tenant, reply.location or "")
        if reply.state == "open":
            await self._settling.expect(pending)
        if not await self._records.put_node(head.place, live.number, reply, 0):  # the same request was faster
            kept = await self._records.node(head.place, live.number)
            if kept is None or not isinstance(kept.node, Reply):
                raise NoSuchConversation(head.id)
            return asked._replace(reply=kept.node)
        if reply.state == "open":
            self._settling.follow(pending)
            return asked
        self._answers.observers.saved(principal.tenant, reply.saved)
        return asked._replace(head=await self._settling.release(owner, head.id, reply))

    async def _reserve(
        self, owner: str, seen: Head, question: Question, answer: str, settings: Settings | None
    ) -> Head | None:
        """Make this answer the live one, and give it and its question their places. Raises `Busy`.

        None if others have asked since `seen`: the conversation must be read again.
        """
        now = self._clock()

        def new(head: Head) -> Head | None:
            live = head.live
            if live is not None and live.answer != answer:
                raise Busy(live.answer, live.number)
            if live is not None or head.size != seen.size:
                return None
            if head.size >= MESSAGES:
                raise InvalidConversation(
                    f"the conversation has {head.size} messages, and takes no more; begin another"
                )
            live = Live(answer, head.size + 1, now, head.leaf)
            title = head.title or (title_of(question.content) if head.titled == "auto" else "")
            head = msgspec.structs.replace(head, live=live, size=head.size + 2, leaf=answer, title=title)
            return msgspec.structs.replace(head, updated_at=written(now), settings=settings or head.settings)

        try:
            head = await self._records.change(owner, seen.id, new)
        except Busy as busy:
            kept = await self._records.node(seen.place, busy.number)
            busy.location = kept.node.location if kept is not None and isinstance(kept.node, Reply) else None
            raise
        return head if head.live is not None and head.live.answer == answer else None

    async def _prompt(self, place: str, settings: Settings, branch: list[Node], data: dict[str, bytes]) -> Prompt:
        """What the model is asked at the end of a branch. `data` holds files that are not kept yet."""
        images = self._answers.offer(settings.model or "").images
        messages = [Message("system", settings.system)] if settings.system else []
        for node in branch:
            if isinstance(node, Reply):
                if node.text:  # one that broke off before its first word tells the model nothing
                    messages.append(Message("assistant", node.text))
                continue
            parts: list[Part] = []
            for file in node.attachments:
                if file.type in IMAGES and not images:
                    if file.id in data:
                        raise UnsupportedFile(
                            f"the model takes no images, and {file.name} is one; choose another model"
                        )
                    parts.append(Text(f"[{file.name}]\n\n"))
                    continue
                content = data[file.id] if file.id in data else await self._records.file(place, file)
                if content is not None:
                    parts.append(shown(file, content))
            asked = CONTINUE if node.kind == "continue" else node.content
            # Providers refuse an empty text beside other parts.
            told = [*parts, *([Text(asked)] if asked else [])] if parts else asked
            messages.append(Message("user", told))
        return check(settings_prompt(settings, messages))


def _end(head: Head, nodes: dict[str, Node], parent: str | None) -> str | None:
    """The last answer of the branch that is shown, if `parent` is on that branch; else `parent`."""
    branch = path(nodes, head.leaf)
    on = parent is None or any(node.id == parent for node in branch)
    return next((node.id for node in reversed(branch) if isinstance(node, Reply)), parent) if on else parent
