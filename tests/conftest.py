"""A run in the background ignores Ctrl-C, and so would all that it starts: tests send it, and expect it to be heard."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
