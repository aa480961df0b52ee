"""The filters on system calls: `table.py` says what is forbidden, `build.py` makes the programs, `*.bpf` are they.

The sandbox only loads the programs. After a change of the table: `python -m sandbox.filters.build`.
"""
