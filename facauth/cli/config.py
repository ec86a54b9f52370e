"""The command config show: which settings are in force, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import typer

from facauth.cli.arguments import (
    Fmr,
    Json,
    KeyFile,
    Lenient,
    Quiet,
    StorePath,
    Strict,
    policy_of,
    rate_of,
    store_path,
)
from facauth.cli.configuration import Configuration, configuration
from facauth.cli.operator import lines
from facauth.cli.output import answering
from facauth.errors import shown
from facauth.settings import RATES, asked_rate, config_file, default_key_file

SUMMARY = "Show which settings are in force, and why."
BY_DEFAULT = f"{RATES.verify_fmr:g} with --as, {RATES.identify_fpir:g} without"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    key: str
    value: str | float | None
    origin: str  # flag, environment, the line of the file, or default


def add_to(app: typer.Typer) -> None:
    """The command of this module."""
    group = typer.Typer(help=SUMMARY, rich_markup_mode=None)
    group.callback()(lambda: None)  # config alone is no command
    group.command("show", short_help=SUMMARY)(show)
    app.add_typer(group, name="config", short_help=SUMMARY)


def show(
    context: typer.Context,
    fmr: Fmr = None,
    strict: Strict = False,
    lenient: Lenient = False,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show which settings are in force with these options, and where each comes from.

    A flag outweighs the environment, that the settings file, and that the default.
    """
    with answering("config show", as_json=as_json, quiet=quiet) as answer:
        answer.more["settings"] = None
        said = configuration()
        rate = rate_of(fmr)
        values: dict[str, str | float | None] = {
            "store": shown(store_path(store)),
            "key_file": _shown(key_file or said.key_file or default_key_file()),
            "fmr": None if rate is None else asked_rate(rate, claimed=True),
            "spoof_policy": policy_of(answer, strict, lenient).name,
        }
        origins = dict(_origins(context, said))
        found = [Setting(key, value, origins[key]) for key, value in values.items()]
        answer.verdict = "shown"
        answer.more["settings"] = [asdict(each) for each in found]
        rows = [(each.key, _said(each), each.origin) for each in found]
        answer.lines += lines(("Setting", "Value", "From"), rows)
        if said.path is None:
            answer.notes.append(f"there is no settings file; it would be {_shown(config_file())}")


def _origins(context: typer.Context, said: Configuration) -> Iterator[tuple[str, str]]:
    parameters = {"spoof_policy": ("strict", "lenient")}
    for key in ("store", "key_file", "fmr", "spoof_policy"):
        sources = [context.get_parameter_source(name) for name in parameters.get(key, (key,))]
        names = {source.name for source in sources if source}
        if "COMMANDLINE" in names:
            yield key, "flag"
        elif "ENVIRONMENT" in names:
            yield key, f"environment, FACAUTH_{key.upper()}"
        elif key in said.lines:
            yield key, f"{shown(said.path)}, line {said.lines[key]}"
        else:
            yield key, "default"


def _said(setting: Setting) -> str:
    if setting.key == "fmr":
        return BY_DEFAULT if setting.value is None else f"{setting.value:g}"
    return str(setting.value or "")


def _shown(path: object) -> str | None:
    return None if path is None else shown(path)
