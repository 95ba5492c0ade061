# Blender's modules are made in C and describe themselves only at run time.
from typing import Any

def __getattr__(name: str) -> Any: ...
