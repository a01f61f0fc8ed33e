"""Running the cells of a notebook, in this process and without Jupyter."""

import ast
import base64
import io
import json
import re
import shlex
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs"


def read_notebook(name: str) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return notebook


def run_notebook(
    notebook: dict[str, Any], names: dict[str, Any], command: Callable[[list[str]], None]
) -> None:
    """Run the cells one after another, and put what they show in the place of their outputs.

    Args:
        notebook: as in its file; it is changed.
        names: of the cells, at first and in the end.
        command: calls a command, of a line that begins with `!`, and prints what it prints.
    """

    def shell(line: str) -> None:
        command(shlex.split(line.format(**names)))

    names["_shell"] = shell
    for number, cell in enumerate(
        each for each in notebook["cells"] if each["cell_type"] == "code"
    ):
        code = ast.parse(re.sub(r"^!(.+)", r"_shell(r'\1')", "".join(cell["source"]), flags=re.M))
        shown = code.body.pop() if isinstance(code.body[-1], ast.Expr) else None
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, f"cell {number}", "exec"), names)
            value = shown and eval(compile(ast.Expression(shown.value), "cell", "eval"), names)
        cell["execution_count"] = number + 1
        cell["outputs"] = [*_stream(printed.getvalue()), *_result(value, number + 1)]


def _stream(text: str) -> list[dict[str, Any]]:
    lines = text.splitlines(keepends=True)
    return [{"output_type": "stream", "name": "stdout", "text": lines}] if lines else []


def _result(value: Any, number: int) -> list[dict[str, Any]]:
    if value is None:
        return []
    data = {"text/plain": [repr(value)]}
    if hasattr(value, "_repr_png_"):
        data["image/png"] = [base64.b64encode(value._repr_png_()).decode()]
    one = {"output_type": "execute_result", "execution_count": number, "metadata": {}}
    return [one | {"data": data}]
