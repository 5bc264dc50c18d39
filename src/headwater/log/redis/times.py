"""How long one process waits for Redis."""

import msgspec


class RedisTimes(msgspec.Struct, frozen=True):
    """Time limits and intervals of a Redis store, in seconds."""

    answer_within: float = 2.0
    """For Redis to accept a connection, and to answer what was sent."""
    finish_within: float = 4.5
    """For a script with its second attempt; less than `Flush.retry_for`, so that a writer learns the reason."""
    look_every: float = 2.5
    """Between two looks at the logs followed here; a quarter of a lease where that is less."""
    unreachable_after: float = 5.0
    """For which Redis may be away before readers get an error."""
