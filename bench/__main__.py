"""`python -m bench [op] [step] [loader] [pipeline]` in the repository's root: run these benchmarks (default: all)."""

import argparse
import sys

from bench import WHAT, bench
from sgenet import errors
from sgenet.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run benchmarks; returns the exit status: 0 done, 2 bad input or a system error."""
    parser = argparse.ArgumentParser("python -m bench", description="Measure the run time of SGE and the pipeline.")
    parser.add_argument("what", nargs="*", metavar="|".join(WHAT), help="benchmarks to run (default: all)")
    options = parser.parse_args(arguments)
    try:
        return bench(options.what)
    except Exception as error:
        if not isinstance(error, InputError) and errors.explain(error) is None:
            raise
        print(f"bench: {errors.explain(error) or error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
