"""``python -m groundkit`` is the ``groundkit`` command."""

from groundkit.cli.main import main

if __name__ == "__main__":  # worker processes import this module under another name
    main()
