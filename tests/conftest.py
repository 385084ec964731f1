"""One thread a process, for two test workers share the machine; and Ctrl-C, which tests send, arrives."""

import os
import signal

# before torch is imported, and for every process that a test starts
os.environ["OMP_NUM_THREADS"] = "1"

# a suite that was started in the background ignores Ctrl-C, and tests send it
signal.signal(signal.SIGINT, signal.default_int_handler)
