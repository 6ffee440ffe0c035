"""``python -m surfaceviz``, for where the script is not on the path."""

from surfaceviz.cli import main

if __name__ == "__main__":
    main()
