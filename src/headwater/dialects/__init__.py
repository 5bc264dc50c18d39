"""The dialects in which logs are asked for and told: pure, no I/O."""
