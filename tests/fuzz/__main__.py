"""Fuzzing, guided by coverage: `python -m tests.fuzz grammar|pipeline|eql [--seconds N]`.

Needs atheris (`pip install atheris`), which is no dependency of anything here. The fixtures are
the seeds. What raises is a finding: it is printed with its traceback, its input is kept in the
folder of `--findings`, and `python -m tests.fuzz TARGET FILE...` runs it again. `--corpus` names a
folder that keeps what covers new code, to go on from another time.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

TARGETS = ("grammar", "pipeline", "eql")


def main() -> None:
    """Fuzz a target, or run its findings again."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("inputs", nargs="*", type=Path, help="run these inputs only")
    parser.add_argument("--seconds", type=int, default=600, help="how long (600)")
    parser.add_argument("--corpus", type=Path, help="a folder of inputs, grows")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if options.inputs:
        from . import targets

        for path in options.inputs:
            targets.TARGETS[options.target](path.read_bytes())
            print(f"{path}: no finding")
        return
    fuzz(options.target, options.seconds, options.corpus, options.findings)


def fuzz(target: str, seconds: int, corpus: Path | None, findings: Path) -> None:
    """Fuzz a target for so long; ends the process, with 1 and an input where there is a finding."""
    try:
        atheris: Any = import_module("atheris")
    except ImportError:
        sys.exit("fuzzing needs atheris: pip install atheris")
    # Not the hook of regular expressions: what it puts in a pattern's place fails in pyparsing.
    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=["auditrule", "pyparsing"]):
        from . import seeds, targets
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "seeds"
        seeds.write(target, inputs)
        dictionary = Path(folder) / "dictionary"
        dictionary.write_text(seeds.dictionary(target), encoding="ascii")
        places = [str(corpus), str(inputs)] if corpus is not None else [str(inputs)]
        if corpus is not None:
            corpus.mkdir(parents=True, exist_ok=True)
        arguments = [
            sys.argv[0],
            *places,
            f"-max_total_time={seconds}",
            f"-dict={dictionary}",
            f"-artifact_prefix={findings}/{target}-",
            "-max_len=4096",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]
        atheris.Setup(arguments, targets.TARGETS[target], enable_python_coverage=True)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
