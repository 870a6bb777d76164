"""One frozen, typed settings object a process: defaults, then a YAML file, then the environment, then flags.

Everything is checked at start: an unknown key or an impossible value ends the process with a message that names field,
value and remedy, because a misspelt setting that is silently ignored is found months later.
"""

import argparse
import json
import os
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

from cloudai_kube import bounded_file, logs
from cloudai_kube.errors import ConfigurationError
from cloudai_kube.redaction import redacted

MAX_BYTES: Final = 1 << 20
MOST_SHOWN: Final = 200
_UNREADABLE: Final = (OSError, yaml.YAMLError, ValueError, RecursionError)
"""What reading YAML raises: dates that do not exist and endless numbers are ValueErrors, deep nesting is the last."""

_Settings = TypeVar("_Settings", bound=msgspec.Struct)


def parse_command_line(
    kind: type[_Settings],
    program: str,
    description: str,
    example: str,
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> _Settings:
    """Settings of a process, from `--config FILE`, the environment and flags. Exits with 2 and a message if unusable.

    Field `bind_connections` has the flag `--bind-connections` and the variable `<PROGRAM>_BIND_CONNECTIONS`; `aliases`
    maps further variables (`KUBECONFIG`) to fields.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser, kind)
    given = parser.parse_args(argv)
    try:
        return merged(kind, program, given, environ or os.environ, aliases or {})
    except ConfigurationError as error:
        logs.complain(program, error)
        raise SystemExit(2) from error


def add_flags(parser: argparse.ArgumentParser, kind: type[msgspec.Struct]) -> None:
    """Give a parser `--config` and a flag for every setting; a switch needs no value."""
    parser.add_argument("--config", metavar="FILE", help="YAML file with any of these settings")
    hints = get_type_hints(kind, include_extras=True)
    for name in kind.__struct_fields__:
        alone: dict[str, Any] = {"nargs": "?", "const": "true"} if _base(hints[name]) is bool else {}
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", dest=name, help=_help(kind, name), **alone)


def merged(
    kind: type[_Settings],
    program: str,
    given: argparse.Namespace,
    environ: Mapping[str, str],
    aliases: Mapping[str, str],
) -> _Settings:
    """Settings after flags have been parsed. Raises `ConfigurationError`."""
    flags = {name: getattr(given, name) for name in kind.__struct_fields__}
    for name, text in flags.items():
        if text is not None and redacted(text) != text:
            flag, variable = name.replace("_", "-"), f"{_prefix(program)}{name.upper()}"
            logs.complain(program, f"note: all users of this machine can read --{flag}; use {variable}")
    return load(kind, program, given.config, environ, flags, aliases)


def load(
    kind: type[_Settings],
    program: str,
    file: str | None,
    environ: Mapping[str, str],
    flags: Mapping[str, str | None],
    aliases: Mapping[str, str],
) -> _Settings:
    """Merge all sources, the last one wins. Raises `ConfigurationError`."""
    settings: dict[str, Any] = _from_file(file, kind) if file else {}
    prefix = _prefix(program)
    hints = get_type_hints(kind, include_extras=True)
    texts = {field: environ[name] for name, field in aliases.items() if environ.get(name)}
    texts |= {name: environ[prefix + name.upper()] for name in hints if environ.get(prefix + name.upper())}
    texts |= {name: text for name, text in flags.items() if text is not None}
    settings |= {name: _scalar(name, text, hints[name]) for name, text in texts.items()}
    try:
        return msgspec.convert(settings, kind)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        name = path.strip("`.") or "settings"
        is_shown = name in settings and not name.endswith(("_url", "_uri"))
        shown = f" = {redacted(_as_written(settings[name]))}" if is_shown else ""
        known = ", ".join(kind.__struct_fields__)
        raise ConfigurationError(f"setting {name}{shown}: {problem}; known settings: {known}") from error


def _as_written(value: object) -> str:
    """A value in the words of the settings file (flow style), on one line."""
    try:
        return json.dumps(value, default=str)[:MOST_SHOWN]
    except (ValueError, RecursionError):  # a YAML value may contain itself
        return "a value that contains itself"


def _prefix(program: str) -> str:
    """What the names of its variables begin with."""
    return program.upper().replace("-", "_") + "_"


def _from_file(file: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    try:
        content = yaml.safe_load(bounded_file.read(Path(file), MAX_BYTES))
    except _UNREADABLE as error:
        raise ConfigurationError(f"--config {file} cannot be read: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"--config {file} holds a {type(content).__name__}; write 'name: value' lines")
    for name in content:
        if name not in kind.__struct_fields__:
            known = ", ".join(kind.__struct_fields__)
            raise ConfigurationError(f"--config {file}: unknown setting {name!r}; known settings: {known}")
    return content


def _scalar(name: str, text: str, hint: Any) -> Any:  # noqa: ANN401  a type hint and its value
    base = _base(hint)
    if base is str or (get_origin(base) is not None and _base(get_args(base)[0]) is str and base is str):
        return text
    if get_origin(base) in {list, tuple}:
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return yaml.safe_load(text) if base is not str else text
    except _UNREADABLE as error:
        raise ConfigurationError(
            f"setting {name} = {redacted(_as_written(text))} cannot be read: {redacted(str(error))}"
        ) from None


def _base(hint: Any) -> Any:  # noqa: ANN401  a type, or a union of types
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in {Union, types.UnionType}:
        return _base(next(arg for arg in get_args(hint) if arg is not type(None)))
    return hint


def _help(kind: type[msgspec.Struct], name: str) -> str:
    default = dict(zip(kind.__struct_fields__[::-1], kind.__struct_defaults__[::-1], strict=False)).get(
        name, "required"
    )
    hint = get_type_hints(kind, include_extras=True)[name]
    texts = [meta.description for meta in get_args(hint)[1:] if isinstance(meta, msgspec.Meta) and meta.description]
    shown = msgspec.json.encode(default).decode() if isinstance(default, (str, int, float, bool)) else "see config/"
    return f"{texts[0] if texts else ''} (default: {shown})".replace("%", "%%")
