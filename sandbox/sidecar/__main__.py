"""`python -m sandbox.sidecar` serves until a signal comes."""

from sandbox.sidecar import main

main()
