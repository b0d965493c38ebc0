"""The plugin process: `python -m standins.kubernetes [engine's address]`."""

from __future__ import annotations

from standins.kubernetes.provider import KubernetesProvider
from standins.server import run

run(KubernetesProvider())
