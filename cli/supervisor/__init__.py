"""Runs a whole system on one machine: each role a process, restarted when it crashes.

`child` is one process's life, `roles` says which processes there are, `chain` which chain,
`bootstrap` what a fresh database and a fresh chain need, `system` the order of starting and
stopping, `screen` what people see.
"""
