"""The one exception that is an answer."""


class Refusal(Exception):
    """What was asked for cannot be done; the message names the culprit and the fix in one line."""
