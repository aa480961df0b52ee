"""Where runs are carried out: `protocol.py` is the port, `local.py` this process, `distributed.py` many workers."""
