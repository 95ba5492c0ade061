"""What the stages share to run on a machine: where Taichi runs, pools of processes, files, progress, commands.

Nothing of the project is imported here, and nothing heavy before it is needed.
"""

import os

# Taichi greets on standard output when it is imported, which belongs to the commands.
os.environ.setdefault("ENABLE_TAICHI_HEADER_PRINT", "0")
