"""Cost analytics."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from components.settings.group import Group
from components.settings.kinds import IMAGE, choice, path

OPEX_ENGINES = ("kube-opex-analytics", "kube-resource-report")


def _none_is_none(value: Any) -> Any:
    """`none` says what leaving it out says."""
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


class OpexSettings(Group):
    """Cost analytics. Without an engine there are none. Prices come from `nodes.price`."""

    engine: Annotated[
        Annotated[str, choice(*OPEX_ENGINES)] | None, BeforeValidator(_none_is_none)
    ] = Field(None, description="what shows the costs; `none`, as without it: nothing does")
    chart: Annotated[str, path("a folder or a URL (oci, https)")] = Field(
        "./charts/opex", description="another chart that takes the same values"
    )
    image: Annotated[str, IMAGE] | None = Field(
        None, description="instead of the engine's own image"
    )
    cost_model: Annotated[str, choice("CHARGE_BACK", "CUMULATIVE_RATIO", "RATIO")] = Field(
        "CHARGE_BACK", description="of kube-opex-analytics; only CHARGE_BACK is about money"
    )

    @property
    def needs_price(self) -> bool:
        """Whether the engine counts with `nodes.price`."""
        if self.engine == "kube-opex-analytics":
            return self.cost_model == "CHARGE_BACK"
        return self.engine is not None
