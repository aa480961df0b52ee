"""Where runs are carried out: `protocol.py` is the port, `local.py` does it in this process."""
