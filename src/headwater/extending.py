"""What you import to write a store or a model of your own; docs/extending.md says what each must do.

from headwater.extending import Finish, Model, Prompt, TextDelta
"""

from headwater.entries import Entry, record, restore
from headwater.errors import Expired, Fenced, LogFull, ModelError, NoSuchLog, OutOfSequence, Sealed, StoreError
from headwater.events import (
    Ending,
    Error,
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    Start,
    State,
    Stop,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
    is_admissible,
    state_after,
)
from headwater.log.store import (
    Claim,
    Description,
    Flush,
    Lease,
    Limits,
    Receipt,
    Store,
    check_offset,
    lost_ending,
)
from headwater.models.model import Model
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal
from headwater.prompt import Message, Parameters, Prompt, text_of

__all__ = [
    "ORIGIN",
    "Claim",
    "Description",
    "Ending",
    "Entry",
    "Error",
    "Event",
    "Expired",
    "Fenced",
    "Finish",
    "Flush",
    "Lease",
    "Limits",
    "LogFull",
    "Message",
    "Metadata",
    "Model",
    "ModelError",
    "NoSuchLog",
    "Offset",
    "OutOfSequence",
    "Parameters",
    "Principal",
    "Prompt",
    "ReasoningDelta",
    "Receipt",
    "Sealed",
    "Start",
    "State",
    "Stop",
    "Store",
    "StoreError",
    "TextDelta",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
    "ToolResult",
    "Usage",
    "check_offset",
    "is_admissible",
    "lost_ending",
    "record",
    "restore",
    "state_after",
    "text_of",
]
