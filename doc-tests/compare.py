"""Compares what a page shows with what its commands have printed."""

from __future__ import annotations

import re

# What changes with every run: an example on the page stands for any other of its form.
VARYING = [
    ("time", r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"),
    ("uuid", r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    ("fraction", r"(?<![\d.])\d+\.\d+(?![\d.])"),
]
# `…`, and a line with nothing else in it, which stands for no line, too.
ANYTHING = {"lines": r"(?:[\s\S]*?\n)?", "rest": r"(?:\n[\s\S]*)?", "anything": r"[\s\S]*?"}
TOKEN = re.compile(
    r"(?P<lines>(?m:^)…\n)|(?P<rest>\n…\Z)|(?P<anything>…)|"
    + "|".join(f"(?P<{name}>{re.sub('[(](?![?])', '(?:', form)})" for name, form in VARYING)
)


def squeezed(json_text: str) -> str:
    """JSON without the white space between its values; that in strings stays."""
    return re.sub(r'("(?:[^"\\]|\\.)*")|\s+', lambda found: found[1] or "", json_text)


def pattern(shown: str) -> str:
    """A regular expression of what may have been printed where a page shows this."""
    parts = []
    end = 0
    for found in TOKEN.finditer(shown):
        parts.append(re.escape(shown[end : found.start()]))
        end = found.end()
        parts.append(ANYTHING.get(found.lastgroup or "") or form_of(found))
    parts.append(re.escape(shown[end:]))
    return "".join(parts)


def form_of(found: re.Match[str]) -> str:
    """What may stand for one example: of a time, one of the same form."""
    if found.lastgroup != "time":
        return dict(VARYING)[found.lastgroup or ""]
    form = re.sub(r"\\\.\d+", "<fraction>", re.escape(found[0]))
    form = re.sub(r"\d+", lambda digits: rf"\d{{{len(digits[0])}}}", form)
    return form.replace("<fraction>", r"\.\d+")


def lines_of(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def is_match(language: str, shown: str, printed: str, is_beginning: bool = False) -> bool:
    """Whether a command has printed what the page shows; or, of one that goes on, whether it has so far."""
    if language == "json":
        shown, printed = squeezed(shown), squeezed(printed)
    else:
        shown, printed = lines_of(shown), lines_of(printed)
    if is_beginning:
        return re.match(pattern(shown), printed) is not None
    return re.fullmatch(pattern(shown), printed) is not None
