"""Sums as people write them: `17 * 23`, `15% of 240`, `2^10`, `sqrt(2)`; exact as long as the numbers allow it."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation, localcontext
from typing import Annotated

from plugins.api import Output, Pattern, Plugin, ToolFailure, tool

plugin = Plugin(name="calculate", summary="Work out sums.")

FUNCTIONS = ("sqrt", "abs", "round", "log", "ln", "log10", "exp", "sin", "cos", "tan")
SUM = rf"(?=.*\d)(?:[\d\s.,+\-*/×÷·:^%()π]|\b(?:of|times|plus|minus|divided by|mod|pi|{'|'.join(FUNCTIONS)})\b)+"
DIGITS = 50
MOST_POWER = 10_000
_SPOKEN = (
    (r"(\d)\s*%\s*of\b", r"\1/100*"),
    (r"(\d)\s*%(?!\s*[\d(])", r"\1/100"),
    (r"\bdivided by\b|[÷:]", "/"),
    (r"\btimes\b|[×·]", "*"),
    (r"\bplus\b", "+"),
    (r"\bminus\b", "-"),
    (r"\bmod\b", "%"),
    (r"\^", "**"),
    (r"\bof\b", "*"),
    (r"π", "pi"),
    (r"(?<=\d),(?=\d{3}\b)", ""),
)
_OPERATORS: dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


@tool(
    effect="pure",
    produces=("number",),
    examples=(
        "calculate {expression}",
        "compute {expression}",
        "work out {expression}",
        "what is {expression}",
        "how much is {expression}",
        "what does {expression} make",
        "berechne {expression}",
        "was ist {expression}",
        "wie viel ist {expression}",
        "calcule {expression}",
        "combien font {expression}",
        "{expression}",
    ),
)
def calculate(expression: Annotated[str, Pattern(SUM)]) -> Output:
    """Work out a sum: + - * / ^ and brackets, percent, sqrt, log, exp, sin, cos, tan, pi."""
    plain = expression.strip().rstrip("=? ")
    for pattern, meant in _SPOKEN:
        plain = re.sub(pattern, meant, plain, flags=re.IGNORECASE)
    try:
        tree = ast.parse(plain.strip(), mode="eval")
        with localcontext() as context:
            context.prec = DIGITS
            value = _value(tree.body)
    except (SyntaxError, ValueError, RecursionError) as problem:
        raise ToolFailure(f"{expression!r} is no sum.", hint="Write it like: (17 + 3) * 2 or 15% of 240.") from problem
    except ZeroDivisionError as problem:
        raise ToolFailure(f"{expression!r} divides by zero.") from problem
    except (InvalidOperation, ArithmeticError) as problem:
        raise ToolFailure(f"{expression!r} has no value that can be written down.") from problem
    whole = value == value.to_integral()
    return Output(int(value) if whole else float(value), f"{expression.strip()} = {_shown(value)}")


def _value(node: ast.expr) -> Decimal:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return Decimal(repr(number))
        case ast.Name(id="pi"):
            return Decimal(repr(math.pi))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            return _value(operand) * (-1 if isinstance(sign, ast.USub) else 1)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=kind, right=right) if type(kind) in _OPERATORS:
            return _OPERATORS[type(kind)](_value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name.lower() in FUNCTIONS:
            return _called(name.lower(), [_value(arg) for arg in args])
    raise ValueError("no sum")


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if abs(exponent) > MOST_POWER:
        raise ArithmeticError("too large")
    return base**exponent


def _called(name: str, args: list[Decimal]) -> Decimal:
    if name == "round":
        digits = int(args[1]) if len(args) > 1 else 0
        return round(args[0], digits)
    if len(args) != 1:
        raise ValueError("one argument")
    exact: dict[str, Callable[[Decimal], Decimal]] = {
        "sqrt": Decimal.sqrt,
        "abs": abs,
        "ln": Decimal.ln,
        "log": Decimal.log10,
        "log10": Decimal.log10,
    }
    if name in exact:
        return exact[name](args[0])
    return args[0].exp() if name == "exp" else Decimal(repr(getattr(math, name)(float(args[0]))))


def _shown(value: Decimal) -> str:
    if value == value.to_integral() and abs(value) < Decimal(10) ** 30:
        return f"{int(value):,}"
    return f"{value:.12g}" if not Decimal("0.0001") < abs(value) < Decimal(10) ** 12 else f"{float(value):,.10g}"
