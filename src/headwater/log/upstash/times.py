"""How often one process asks Upstash, and how long it waits for an answer."""

import msgspec


class UpstashTimes(msgspec.Struct, frozen=True):
    """Intervals and time limits of an Upstash store, in seconds. Shorter intervals cost more commands."""

    answer_within: float = 2.0
    """Without a sign of life, after which an attempt is given up. Two attempts fit into `Flush.retry_for`. An attempt
    that makes progress, with a large page on a slow line, gets twice as long and no more."""
    queue_for: float = 10.0
    """For which a step waits for a free connection, when many readers come at once."""
    flush: float = 1.0
    """Between two flushes of a writer, unless 16 KB come first."""
    heartbeat: float = 1.0
    """After which a silent writer sends a heartbeat: the longest that a stop from elsewhere takes, besides the way."""
    quick: float = 0.65
    """Between two looks at a followed log that grows."""
    slow: float = 2.0
    """Between two looks at a followed log that has rested."""
    batch_window: float = 0.02
    """Looks that are due within so many seconds of each other share one request."""
    renew_lease: float = 7.5
    """After which an append renews the lease too, or half of a lease where that is less. If that fails, the writer
    stops retrying before the lease lapses."""
    renew_ttls: float = 300.0
    """After which an append runs the script, which renews the TTLs: half of the time that they have to spare."""
