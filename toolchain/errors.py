"""The one exception of the toolchain: its text is the line that the user sees."""


class ToolchainError(Exception):
    """Something that the user can mend; the text names it and what would be right."""
