"""The part of KEDA's expression language (expr-lang) that the chart uses, computed as KEDA computes it.

Numbers are those of the triggers, always floats; KEDA stops when the result is none, which a whole number written down
is not. What it tells the HPA are thousandths, cut off.

    expression  ternary          all              [ "?" expression ":" expression ]
    all         comparison { "&&" comparison }
    comparison  sum [ (">" | "<" | "<=" | ">=") sum ]
    sum         product { ("+" | "-") product }
    product     atom { ("*" | "/") atom }
    atom        number | name | ("min" | "max") "(" expression "," expression ")" | "(" expression ")"
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

Value = float | int | bool
_TOKEN = re.compile(r"\s*(\d+\.\d+|\d+|[A-Za-z]\w*|&&|[<>]=|[-+*/<>?:(),])")
_COMPARISONS: Mapping[str, Callable[[Value, Value], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def evaluated(formula: str, words: Mapping[str, float]) -> float:
    """Return what the HPA is told. Raises `ValueError` where KEDA would fail."""
    reader = _Reader(formula, words)
    value = reader.expression()
    reader.end()
    if not isinstance(value, float):
        raise ValueError(f"the result {value!r} is no float")
    return int(value * 1000) / 1000


class _Reader:
    """Reads from left to right; computes both ways of a choice, of which one is dropped."""

    def __init__(self, formula: str, words: Mapping[str, float]) -> None:
        self._words = {name: float(value) for name, value in words.items()}
        self._tokens = _TOKEN.findall(formula)
        if "".join(self._tokens) != re.sub(r"\s", "", formula):
            raise ValueError(f"not in the grammar: {formula}")

    def expression(self) -> Value:
        condition = self._all()
        if not self._take("?"):
            return condition
        yes = self.expression()
        self._want(":")
        no = self.expression()
        return yes if condition else no

    def end(self) -> None:
        if self._tokens:
            raise ValueError(f"too much: {self._tokens}")

    def _all(self) -> Value:
        value = self._comparison()
        while self._take("&&"):
            other = self._comparison()
            value = bool(value) and bool(other)
        return value

    def _comparison(self) -> Value:
        value = self._sum()
        for sign, compare in _COMPARISONS.items():
            if self._take(sign):
                return compare(value, self._sum())
        return value

    def _sum(self) -> Value:
        value = self._product()
        while self._tokens and self._tokens[0] in "+-":
            value = value + self._product() if self._tokens.pop(0) == "+" else value - self._product()
        return value

    def _product(self) -> Value:
        value = self._atom()
        while self._tokens and self._tokens[0] in "*/":
            value = value * self._atom() if self._tokens.pop(0) == "*" else value / self._atom()
        return value

    def _atom(self) -> Value:
        token = self._tokens.pop(0)
        if token == "(":
            value = self.expression()
            self._want(")")
            return value
        if token in {"min", "max"}:
            self._want("(")
            one = self.expression()
            self._want(",")
            other = self.expression()
            self._want(")")
            return (min if token == "min" else max)(one, other)
        if token[0].isdigit():
            return float(token) if "." in token else int(token)
        if token not in self._words:
            raise ValueError(f"no trigger is called {token}")
        return self._words[token]

    def _take(self, token: str) -> bool:
        if self._tokens[:1] == [token]:
            del self._tokens[0]
            return True
        return False

    def _want(self, token: str) -> None:
        if not self._take(token):
            raise ValueError(f"{token} is missing before {self._tokens}")
