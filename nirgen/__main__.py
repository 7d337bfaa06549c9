"""`python -m nirgen` is `nirgen`."""

from nirgen.cli import main

if __name__ == "__main__":
    main()
