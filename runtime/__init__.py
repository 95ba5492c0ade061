"""What the stages share to run on a machine: where Taichi runs, pools of processes, files, progress, commands.

Nothing of the project is imported here but where kernels are kept, and nothing heavy before it is needed.
"""

import os

from runtime.caches import settle_numba

# Taichi greets on standard output when it is imported, which belongs to the commands.
os.environ.setdefault("ENABLE_TAICHI_HEADER_PRINT", "0")

# numba reads it when it is imported.
settle_numba()
