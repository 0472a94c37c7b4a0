"""The one exception a person is meant to read."""


class UsageError(Exception):
    """A mistake its reader can mend: one clear sentence that names the fix.

    The command line prints it and exits with code 2; it never comes with a traceback.
    """
