"""Properties are tried with the same examples each time, and nothing is left in the checkout."""

from hypothesis import settings

settings.register_profile("tests", database=None, deadline=None, derandomize=True)
settings.load_profile("tests")
