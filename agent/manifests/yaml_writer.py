"""An object as YAML that Kubernetes reads back as the same object.

PyYAML quotes what would be no text to PyYAML. Kubernetes reads by other rules (`1e3` is a number there, `y` is true),
so text is quoted where `yaml_reader.scalar` would take it for something else. Texts of several lines become blocks.
"""

from __future__ import annotations

from typing import Any

import yaml

from agent.manifests.yaml_reader import ReadError, documents, scalar

_WIDTH = 2**30
"""Characters of a line: none is folded."""
_TEXT = "tag:yaml.org,2002:str"


class _Dumper(yaml.CSafeDumper):
    """Quotes by Kubernetes' rules, and never writes an anchor."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


class _Blocks(_Dumper):
    """Writes text of several lines as a block."""


def yaml_document(value: dict[str, Any]) -> str:
    """JSON-like data as one YAML document without `---`: keys sorted, two spaces, lists not indented.

    It is read back, and written without blocks where a block would not give the same text.
    """
    text = _dumped(value, _Blocks)
    return text if _reads_as(text, value) else _dumped(value, _Dumper)


def _dumped(value: dict[str, Any], dumper: type[_Dumper]) -> str:
    text = yaml.dump(value, Dumper=dumper, default_flow_style=False, allow_unicode=True, width=_WIDTH)
    return str(text)


def _reads_as(text: str, value: dict[str, Any]) -> bool:
    try:
        return [document.value for document in documents(text.encode())] == [value]
    except ReadError:
        return False


def _means_itself(text: str) -> bool:
    try:
        return scalar(text) is text
    except ReadError:
        return False


def _quoted(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(_TEXT, text, style=None if _means_itself(text) else '"')


def _block(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(_TEXT, text, style="|") if "\n" in text else _quoted(dumper, text)


_Dumper.add_representer(str, _quoted)
_Blocks.add_representer(str, _block)
