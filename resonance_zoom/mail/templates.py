"""The templates of the letters: found, compiled once, their faults named `file:line: reason`.

The styles of `_style.css` are written into each HTML template when it is read, because many mail
programs ignore a style sheet, and because doing so for each letter would cost more than the rest.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import css_inline
from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    meta,
    nodes,
)
from jinja2.sandbox import SandboxedEnvironment

from resonance_zoom.errors import ResonanceError

STYLE = "_style.css"
_JINJA = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
_HIDDEN = re.compile(r"<!--jinja(\d+)x-->|jinja(\d+)x")
_BODY = re.compile(r"(?P<head>.*<body[^>]*>)(?P<body>.*)(?P<foot></body>.*)", re.DOTALL)
# What a template can raise by what it says; anything else is a fault of ours and passes.
_FAULTS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class LetterTemplateError(ResonanceError):
    """A letter's template is missing, wrong, or names an unknown field: `file:line: reason`."""


class Templates:
    """The folders of templates; the first that has a file wins."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = list(dict.fromkeys(folders))
        self._loader = _Loader(self._folders)
        self._text = _environment(self._loader, autoescape=False)
        self._html = _environment(_Styled(self._folders), autoescape=True)
        self._parsed: dict[str, _Parsed] = {}

    def render(self, name: str, values: Mapping[str, object]) -> str:
        """What the template of that name says of `values`. Raises LetterTemplateError."""
        try:
            return self._environment(name).get_template(name).render(values)
        except _FAULTS as error:
            raise LetterTemplateError(self._described(error, name)) from error

    def unknown_names(self, name: str, known: Collection[str]) -> list[str]:
        """Every name in the template, or in one it builds on, that letters do not have.

        And every macro that has the name of a field: there the field would read `<Macro …>`.
        """
        family: dict[str, _Parsed] = {}
        try:
            self._gather(name, family)
        except _FAULTS as error:
            return [self._described(error, name)]
        declared = {word for parsed in family.values() for word in parsed.declared}
        unknown = [
            f"{parsed.filename}:{_line(parsed.tree, word)}: {word!r} is no field of a letter"
            for parsed in family.values()
            for word in sorted(parsed.undeclared - declared - {*known})
        ]
        hidden = [
            f"{parsed.filename}:{macro.lineno}: {macro.name!r} is a field of a letter already;"
            " give this macro another name"
            for parsed in family.values()
            for macro in parsed.tree.find_all(nodes.Macro)
            if macro.name in known
        ]
        return unknown + hidden

    def _gather(self, name: str, family: dict[str, "_Parsed"]) -> None:
        """Add the template and all that it extends, includes or imports to `family`."""
        family[name] = parsed = self._parse(name)
        for other in parsed.others:
            if other not in family:
                self._gather(other, family)

    def _parse(self, name: str) -> "_Parsed":
        """Each template once: the frames are part of every letter."""
        if name not in self._parsed:
            environment = self._environment(name)
            source, filename, _ = self._loader.get_source(environment, name)
            tree = environment.parse(source, name, filename)
            self._parsed[name] = _Parsed(
                filename=filename,
                tree=tree,
                declared=frozenset(_declared(tree)),
                undeclared=frozenset(meta.find_undeclared_variables(tree)),
                others=tuple(filter(None, meta.find_referenced_templates(tree))),
            )
        return self._parsed[name]

    def _environment(self, name: str) -> SandboxedEnvironment:
        return self._html if name.endswith(".html") else self._text

    def _described(self, error: Exception, name: str) -> str:
        if isinstance(error, TemplateSyntaxError):
            return f"{error.filename or error.name}:{error.lineno}: {error.message}"
        if isinstance(error, TemplateNotFound) and error.name == name:
            folders = " or ".join(str(folder) for folder in self._folders)
            return f"{name}:1: missing; it must lie in {folders}"
        if isinstance(error, TemplateNotFound):
            return f"{self._place(error, name)}: there is no template {error.name!r}"
        if isinstance(error, UnicodeDecodeError):
            return f"{self._place(error, name)}: is not UTF-8 text"
        return f"{self._place(error, name)}: {error}"

    def _place(self, error: Exception, name: str) -> str:
        """The innermost template line of a traceback; Jinja puts template names and lines there."""
        place, trace = f"{name}:1", error.__traceback__
        while trace is not None:
            filename = trace.tb_frame.f_code.co_filename
            if Path(filename).parent in self._folders:
                place = f"{filename}:{trace.tb_lineno}"
            trace = trace.tb_next
        return place


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A template's file, its syntax tree, the names in it, the templates that it builds on."""

    filename: str
    tree: nodes.Template
    declared: frozenset[str]
    undeclared: frozenset[str]
    others: tuple[str, ...]


def _declared(tree: nodes.Template) -> Iterator[str]:
    """The names that a template gives to itself and to those that extend it."""
    yield from (node.target for node in tree.find_all(nodes.Import))
    yield from (node.name for node in tree.find_all(nodes.Name) if node.ctx == "store")


def _line(tree: nodes.Template, word: str) -> int:
    return min(node.lineno for node in tree.find_all(nodes.Name) if node.name == word)


class _Loader(FileSystemLoader):
    def __init__(self, folders: Sequence[Path]) -> None:
        super().__init__([str(folder) for folder in folders])


class _Styled(_Loader):
    """Reads HTML templates with their styles written in."""

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        source, filename, fresh = super().get_source(environment, template)
        if template.endswith(".html"):
            css, _, _ = super().get_source(environment, STYLE)
            source = styled(source, css)
        return source, filename, fresh


def styled(source: str, css: str) -> str:
    """An HTML template with `css` in `style` attributes; its Jinja and its lines stay as they are.

    Jinja may stand in text, between tags and inside the value of an attribute.
    """
    if whole := _BODY.fullmatch(source):
        return whole["head"] + styled(whole["body"], css) + whole["foot"]
    pieces: list[str] = []
    hidden = ""
    end = 0
    for found in _JINJA.finditer(source):
        hidden += source[end : found.start()]
        in_tag = hidden.rfind("<") > hidden.rfind(">")
        mark = f"jinja{len(pieces)}x"
        # A statement between table rows must hide as a comment: text there would be moved away.
        hidden += mark if in_tag or found[0].startswith("{{") else f"<!--{mark}-->"
        pieces.append(found[0])
        end = found.end()
    inlined = css_inline.inline_fragment(hidden + source[end:], css, load_remote_stylesheets=False)
    return _HIDDEN.sub(lambda found: pieces[int(found[1] or found[2])], inlined)


def _environment(loader: _Loader, *, autoescape: bool) -> SandboxedEnvironment:
    # auto_reload off: a template that is being edited must not reach anybody before `check` saw it.
    return SandboxedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
