"""The sandbox's one exception."""


class SandboxError(Exception):
    """Something that a person can fix; the first line says what is wrong and how to fix it."""
