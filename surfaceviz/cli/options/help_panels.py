"""Commands whose --help groups options under headings, as plain text: rich would take a tenth of a second to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class PanelCommand(TyperCommand):
    """A command whose options stand under the heading that ``rich_help_panel`` gives, the others under Options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, in the order of the headings' first options; ``Options`` comes last."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_option = parameter.param_type_name == "option"
                heading = (getattr(parameter, "rich_help_panel", None) or "Options") if is_option else "Arguments"
                sections.setdefault(heading, []).append(record)
        for heading in sorted(sections, key="Options".__eq__):
            if sections[heading]:
                with formatter.section(heading):
                    formatter.write_dl(sections[heading])


class Application(typer.Typer):
    """An application whose commands are `PanelCommand`s."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[FunctionT], FunctionT]:
        """Return the decorator that adds a command."""
        return super().command(name, cls=settings.pop("cls", PanelCommand), **settings)
