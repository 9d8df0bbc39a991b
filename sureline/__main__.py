"""Run the command line with `python -m sureline`."""

from sureline.cli import main

if __name__ == "__main__":
    main()
