"""The tracer of billboard scenes."""

import runtime  # noqa: F401  # keeps Taichi quiet when it is imported
