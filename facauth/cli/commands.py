"""Commands: how their words are parsed, and that a command is imported when it is called."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, cast

import typer
from typer.core import TyperCommand, TyperGroup

from facauth.cli.options import Call

Row = tuple[type["Command"], str]  # the class for its shared options, and "module.function"


class Command(TyperCommand):
    """A command that takes the program's shared options before or after its name."""

    context_class = Call
    shared: ClassVar[tuple[str, ...]] = ("as_json", "quiet", "debug")

    def _shared(self, context: Any) -> list[Any]:
        options = context.find_root().command.params
        return [option for option in options if option.name in self.shared]

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's own options, and the shared ones."""
        return [*super().get_params(ctx), *self._shared(ctx)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; an option after the command replaces the same option before it."""
        try:
            rest = super().parse_args(ctx, args)
        except typer.TyperException as error:
            if getattr(error, "ctx", ctx) is None:  # wrong.explained tells the usage by it
                error.ctx = ctx  # type: ignore[attr-defined]
            raise
        root = ctx.find_root()
        for name in {"store", "key_file"}.difference(self.shared):
            source = root.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                option = f"--{name.replace('_', '-')}"
                raise typer.BadParameter(f"{option} does not apply to {ctx.info_name}")
        for option in self._shared(ctx):
            value, source = ctx.params.pop(option.name), ctx.get_parameter_source(option.name)
            if source.name == "COMMANDLINE":
                root.params[option.name] = value
                root.set_parameter_source(option.name, source)
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Describe the command's own options; list the shared ones by name."""
        shared = self._shared(ctx)
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            own = [option for option in self.get_params(ctx) if option not in shared]
            rows = [option.get_help_record(ctx) for option in own if option.param_type_name == kind]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        names = ", ".join(option.opts[0] for option in shared)
        formatter.write_paragraph()
        formatter.write_text(f"Also: {names}; see facauth --help.")


class StoreCommand(Command):
    """A command that works on a store and needs no key."""

    shared: ClassVar[tuple[str, ...]] = ("store", *Command.shared)


class KeyCommand(Command):
    """A command that may need the key of an encrypted store."""

    shared: ClassVar[tuple[str, ...]] = ("store", "key_file", *Command.shared)


class Commands(UserDict[str, Any]):
    """Commands by name; a command's module is imported when the command is looked up."""

    def __getitem__(self, name: str) -> Any:
        """The command, from its row or as it is."""
        found = self.data[name]
        return found if isinstance(found, Group) else imported(name, *found)


class Group(TyperGroup):
    """Commands in sections of the help; the help and near names import none of them."""

    context_class = Call

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = self._commands = Commands()
        self._sections: dict[str, list[str]] = {}

    def add(self, section: str, commands: Mapping[str, Row | Group]) -> None:
        """Add commands to a section."""
        self._commands.data |= commands
        self._sections.setdefault(section, []).extend(commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each command with the first sentence of its help."""
        from facauth.completing import commands_of

        about = commands_of(ctx.name)
        for section, names in self._sections.items():
            with formatter.section(section):
                formatter.write_dl([(name, about[name]) for name in names])


def group(options: Callable[..., None] | None = None, **settings: Any) -> Group:
    """A group without commands; the parameters of `options` are its options."""
    made = typer.Typer(cls=Group, rich_markup_mode=None, **settings)
    if options:
        made.callback()(options)
    return cast("Group", typer.main.get_group(made))


def imported(name: str, kind: type[Command], function: str) -> Any:
    """The command of a function, "module.function" of facauth.cli."""
    module, _, attribute = function.partition(".")
    made = typer.Typer(add_completion=False, rich_markup_mode=None)
    made.command(name, cls=kind)(getattr(import_module(f"facauth.cli.{module}"), attribute))
    return typer.main.get_command(made)
