"""A process of one version: makes cases and runs them, told so by lines of JSON on standard input."""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from dataclasses import asdict
from typing import Any

import cases
import shapes
from rounds import quiet

CASES = {**cases.CASES, **shapes.CASES}


def main() -> None:
    warnings.simplefilter("ignore")
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    made: list[Any] = []
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if "make" in message:
                made.append(CASES[message["make"]](**message["arguments"]))
                answer: Any = len(made) - 1
            else:
                answer = asdict(quiet(made[message["run"]], message["tries"]))
        except Exception as error:
            traceback.print_exc()
            text = {"error": f"{type(error).__name__}: {error}"}
        else:
            text = {"answer": answer}
        answers.write(json.dumps(text) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
