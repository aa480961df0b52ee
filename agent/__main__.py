"""`python -m agent` is `dirigent`."""

from agent.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
