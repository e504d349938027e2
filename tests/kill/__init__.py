"""A harness that kills the daemon and counts: was every alert written, and once?

`python -m tests.kill --help` tells how to run it. A writer of its own (`writer.py`) appends to a
log as auditd does and rotates it in one of several ways; the daemon follows, is killed, harmed and
started again; at the end the alert files are compared with what the writer says it has written.
"""
