"""The stack of the end-to-end tests."""

from __future__ import annotations

from tests.e2e.conftest import settings_are_kept, slow, text, up

__all__ = ["settings_are_kept", "slow", "text", "up"]
