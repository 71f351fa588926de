"""Settings of the tests of faults."""

import signal

# Under nohup every child would ignore SIGHUP, as commands do that were started so; here it ends them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
