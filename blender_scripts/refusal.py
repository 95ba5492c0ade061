"""The exception for requests that cannot be fulfilled."""


class Refusal(Exception):
    """A request that cannot be fulfilled. The message names the culprit and the fix in one line."""
