"""``python -m ownlatent`` is ``ownlatent``."""

from ownlatent.cli import main

if __name__ == "__main__":
    main()
