"""The plugin process: `python -m toolchain.standins.kubernetes [engine's address]`."""

from __future__ import annotations

from ..base import serve
from .provider import KubernetesProvider

serve(KubernetesProvider())
