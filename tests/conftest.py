"""One thread a process: two test workers share the machine, and bits may depend on the number of threads."""

import os

# before torch is imported, and for every process that a test starts
os.environ["OMP_NUM_THREADS"] = "1"
