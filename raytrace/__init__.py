import os

# Taichi greets on standard output when it is imported, which is not ours to fill.
os.environ.setdefault("ENABLE_TAICHI_HEADER_PRINT", "0")
