"""Compare the licence of every installed package with what the project accepts; exit 1 on any other.

Usage: dev/licences.py, with the interpreter whose packages are meant. `make check` runs it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "Apache-2.0_WITH_LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "CNRI-Python",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",
        "PSF-2.0",
        "Unicode-3.0",
        "Zlib",
    }
)
"""Licences that ask for a notice; MPL-2.0 also for the source of its own files where they are changed."""
NVIDIA = "CUDA: under NVIDIA's agreement"
LGPL = "a library that is called as it is and can be replaced"
NAMED = {
    "psycopg": ("LGPL-3.0-only", LGPL),
    "psycopg-binary": ("LGPL-3.0-only", LGPL),
    "dramatiq": ("LGPL-3.0-or-later", LGPL),
    "pi-heif": ("LGPL-3.0-only", LGPL),
    "cuda-toolkit": ("unstated", NVIDIA),
    "nvidia-cusparselt-cu13": ("NVIDIA Proprietary Software", NVIDIA),
}
"""package -> (its licence, why it is accepted). NOTICE tells of each; a change of licence is noticed."""
NVIDIA_LICENCE = "LicenseRef-NVIDIA-Proprietary"
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
FREE_TEXT = {
    "BSD": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0 License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
}


def licence_of(package: Distribution) -> str:
    """Return the licence as an SPDX expression where the package states one, "unstated" where not."""
    told = package.metadata.get("License-Expression")
    if told:
        return str(told)
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in package.metadata.get_all("Classifier") or []
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    if classifiers:
        return " AND ".join(CLASSIFIERS.get(each, each) for each in classifiers)
    text = (package.metadata.get("License") or "").strip().split("\n")[0]
    return FREE_TEXT.get(text, text) or "unstated"


def is_allowed(expression: str) -> bool:
    """Return whether an SPDX expression can be met by licences of ALLOWED alone."""
    if expression in ALLOWED:
        return True
    plain = re.sub(r"\s+WITH\s+", "_WITH_", expression)
    words = re.findall(r"\(|\)|[^\s()]+", plain)
    logic = {"AND": "and", "OR": "or", "(": "(", ")": ")"}
    formula = " ".join(logic.get(word, str(word in ALLOWED)) for word in words)
    try:
        return bool(eval(formula, {"__builtins__": {}}))  # noqa: S307 - of True, False, and, or alone
    except SyntaxError:
        # Free text, such as "NVIDIA Proprietary Software".
        return False


def fault(name: str, licence: str) -> str | None:
    """Return why a package is not accepted, None where it is."""
    name = name.lower().replace("_", "-")
    if is_allowed(licence):
        return f"{name} is {licence} now: take it out of NAMED" if name in NAMED else None
    if name in NAMED and NAMED[name][0] == licence:
        return None
    if name.startswith("nvidia-") and licence == NVIDIA_LICENCE:
        return None
    return f"{name}: {licence}"


def faults(packages: Iterable[Distribution]) -> list[str]:
    """Return what is not accepted, sorted."""
    found = (fault(package.metadata["Name"], licence_of(package)) for package in packages)
    return sorted({each for each in found if each})


def main() -> int:
    """Run; return the exit code."""
    found = faults(distributions())
    for line in found:
        sys.stdout.write(f"{line}\n")
    if found:
        sys.stdout.write(
            "Their licences are not accepted yet. Choose another package, or accept one in "
            "dev/licences.py and tell of it in NOTICE.\n"
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
