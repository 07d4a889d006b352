"""YAML files that a person writes, configs and recipes: read safely, and every mistake told with its line."""

from __future__ import annotations

import math
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from slotbench.errors import InputError, told, unknown

MAX_BYTES = 2**18
MAX_DEPTH = 8

CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False, ".inf": math.inf, ".nan": math.nan}
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
REAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
OTHER_NUMBER = re.compile(
    r"[-+]?(0[xX][0-9a-fA-F_]+|0[bBoO][0-9_]+|[0-9][0-9_]*(:[0-9]{1,2})*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?"
)
"""What some version of YAML, or a reader, takes for a number although it is not plain decimal: 010 is 8, 1:30 is 90."""

Place = tuple[str | int, ...]
"""The keys and list positions that lead from the top of a document to one of its values."""


Model = TypeVar("Model", bound=BaseModel)


class Mistake(InputError):  # noqa: N818 - said of a document, it reads better
    """What is wrong with a document, and at which place of it."""

    def __init__(self, place: Place, sentence: str) -> None:
        super().__init__(sentence)
        self.place = place


class Document(NamedTuple):
    """A file's content, as plain values and as nodes that know their lines."""

    path: Path
    plain: Any
    top: yaml.Node

    def at(self, mistake: Mistake) -> InputError:
        """`mistake` as a person is told it: with the file and the line."""
        return InputError(f"{mistake} ({self.path}, line {_line(self.top, mistake.place)})")


def read(path: Path) -> Document:
    """The document at `path`; an `InputError` names the line of what is not plain, safe YAML."""
    try:
        top = _Loader.top(_text(path))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{error.problem} ({path}, line {line})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{str(error).splitlines()[0]} ({path})") from None
    if top is None:
        raise InputError(f"{path}: empty")
    return Document(path, _plain(top), top)


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # opening a pipe would wait for a writer
            raise InputError(f"{path}: not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 1024} KiB; not read")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(told(error, path)) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None


class _Loader(yaml.SafeLoader):
    """YAML to nodes, which know their lines. What none needs is refused: aliases (with which a small
    file could unfold into a huge one), tags, deep nesting, a key given twice, numbers that are not plain decimal."""

    depth = 0

    @classmethod
    def top(cls, text: str) -> yaml.Node | None:
        loader = cls(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _error(f"alias '*{event.anchor}': write the value out instead", event)
        if event.tag:
            raise _error(f"tag '{event.tag}': not allowed; write the value alone", event)
        if self.depth == MAX_DEPTH:
            raise _error(f"nested more than {MAX_DEPTH} deep", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or not isinstance(key.value, str):
                    raise _error("a key must be a name", key)
                if key.value in seen:
                    raise _error(f"key '{key.value}': already given in line {seen[key.value]}", key)
                seen[key.value] = key.start_mark.line + 1
        elif isinstance(node, yaml.ScalarNode) and node.style is None:
            node.value = _value(node)
        return node


def _error(problem: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)


def _value(node: yaml.ScalarNode) -> Any:
    """What a scalar without quotes stands for, by YAML's core schema with decimal numbers alone."""
    text = node.value
    if text.lower() in CONSTANTS:
        return CONSTANTS[text.lower()]
    if WHOLE.fullmatch(text):
        try:
            return int(text)
        except ValueError:  # thousands of digits
            raise _error(f"'{text[:40]}': neither text nor a number", node) from None
    if REAL.fullmatch(text):
        return float(text)
    if OTHER_NUMBER.fullmatch(text):
        raise _error(f"'{text[:40]}': write a number in plain decimal, or text in quotes", node)
    return text


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value) for key, value in node.value}
    return [_plain(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else node.value


def _line(node: yaml.Node, place: Place) -> int:
    """Where `place` stands; as near as there is a node, since a single value stands for a list of one."""
    line = node.start_mark.line + 1
    for step in place:
        if isinstance(node, yaml.MappingNode):
            pairs = [(key, value) for key, value in node.value if key.value == step]
            if not pairs:
                break
            line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


WORDS = {
    "tuple_type": "should be a list",
    "model_type": "should have keys and values",
    "string_type": "should be a name",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
}


def validated(document: Document, model: type[Model], parts: dict[str, type[BaseModel]]) -> Model:
    """`document` as a `model`; an `InputError` tells its first mistake. `parts` are the models below its keys."""
    try:
        return model.model_validate(document.plain)
    except ValidationError as error:
        raise document.at(_first(error, model, parts)) from None
    except Mistake as error:
        raise document.at(error) from None


def _first(error: ValidationError, model: type[BaseModel], parts: dict[str, type[BaseModel]]) -> Mistake:
    """The first of a validation's complaints; an unknown key before what is missing because of it."""
    problems = error.errors(include_url=False, include_context=False)
    problem = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    place, kind = problem["loc"], problem["type"]
    names = [step for step in place if isinstance(step, str)]
    if kind == "extra_forbidden":
        inner = next((parts[name] for name in reversed(names[:-1]) if name in parts), model)
        return Mistake(place, unknown("key", names[-1], inner.model_fields))
    if kind == "missing":
        return Mistake(place, f"key '{names[-1]}': missing")
    key = names[-1] if names else "the document"
    if kind == "too_short":
        return Mistake(place, f"{key}: an empty list")
    return Mistake(place, f"{key}: {in_words(problem)}")


def in_words(problem: ErrorDetails) -> str:
    """What a validation complains of: "should be a whole number, not 'eight'"."""
    words = WORDS.get(problem["type"]) or problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return words if problem["type"] == "value_error" else f"{words}, not {str(problem['input'])[:40]!r}"
