"""The libraries of the page and of built pages, from npm into their `vendor` folders: `make page-vendor`.

In: package.json and package-lock.json there, and npm. Out: each library as one file, its licence, and `files.lock.json`
with the sha256 of every file. Those of the page are ES modules that import by relative name. The files are committed,
so no other step needs npm. CodeMirror consists of many packages, which esbuild bundles into one module.
Not here: the page's own modules, which are used as they are written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SERVICE = Path(__file__).resolve().parent.parent / "service"
PAGE, BUILT = SERVICE / "http" / "pages" / "vendor", SERVICE / "builds" / "generate" / "vendor"
FILES = {
    "preact.js": "preact/dist/preact.mjs",
    "hooks.js": "preact/hooks/dist/hooks.mjs",
    "htm.js": "htm/dist/htm.module.js",
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
    "preact.LICENSE": "preact/LICENSE",
    "htm.LICENSE": "htm/LICENSE",
    "uplot.LICENSE": "uplot/LICENSE",
    "codemirror.LICENSE": "@codemirror/state/LICENSE",
}
EDITOR = {
    "@codemirror/autocomplete": ("autocompletion", "completionKeymap"),
    "@codemirror/commands": ("defaultKeymap", "history", "historyKeymap"),
    "@codemirror/lang-yaml": ("yaml",),
    "@codemirror/language": ("HighlightStyle", "bracketMatching", "syntaxHighlighting"),
    "@codemirror/lint": ("lintGutter", "lintKeymap", "setDiagnostics"),
    "@codemirror/search": ("search", "searchKeymap"),
    "@codemirror/state": ("EditorState", "Transaction"),
    "@codemirror/view": ("EditorView", "drawSelection", "hoverTooltip", "keymap", "lineNumbers"),
    "@lezer/highlight": ("tags",),
}
"""The names that the page takes from each package of the editor."""
BUILT_FILES = {
    "bootstrap.bundle.min.js": "bootstrap/dist/js/bootstrap.bundle.min.js",
    "bootstrap.min.css": "bootstrap/dist/css/bootstrap.min.css",
    "chart.umd.js": "chart.js/dist/chart.umd.min.js",
    "highlight.min.css": "@highlightjs/cdn-assets/styles/default.min.css",
    "highlight.min.js": "@highlightjs/cdn-assets/highlight.min.js",
    "marked.umd.js": "marked/lib/marked.umd.js",
    "papaparse.min.js": "papaparse/papaparse.min.js",
    "seedrandom.min.js": "seedrandom/seedrandom.min.js",
    "bootstrap.LICENSE": "bootstrap/LICENSE",
    "chart.LICENSE": "chart.js/LICENSE.md",
    "highlight.LICENSE": "@highlightjs/cdn-assets/LICENSE",
    "marked.LICENSE": "marked/LICENSE.md",
    "papaparse.LICENSE": "papaparse/LICENSE",
    "seedrandom.LICENSE": "seedrandom/README.md",  # the licence is a section of it
}
DIGESTS = "files.lock.json"


def module(name: str, text: str) -> str:
    """The text of a library as a module of the page.

    A browser cannot resolve `from"preact"`. The small file of uPlot declares a variable and exports nothing.
    """
    lines = [
        line for line in text.splitlines() if not line.startswith(("//# sourceMappingURL=", "/*# sourceMappingURL="))
    ]
    text = "\n".join(line.rstrip() for line in lines).strip() + "\n"
    if name == "seedrandom.LICENSE":
        text = text[text.index("LICENSE (MIT)") :]
    if name == "hooks.js":
        text = text.replace('from"preact"', 'from"./preact.js"')
    return text + "export default uPlot;\n" if name == "uplot.js" else text


def vendored(folder: Path, vendor: Path, files: dict[str, str]) -> dict[str, str]:
    """Every file by name, from the packages that npm installs in `folder` by the lock in `vendor`.

    Raises:
        subprocess.CalledProcessError: if npm cannot install the packages of the lock.
    """
    for name in ("package.json", "package-lock.json"):
        shutil.copy(vendor / name, folder / name)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"], cwd=folder, check=True)
    modules = folder / "node_modules"
    texts = {name: module(name, (modules / path).read_text(encoding="utf-8")) for name, path in files.items()}
    return texts | ({"codemirror.js": bundled_editor(folder)} if vendor == PAGE else {})


def bundled_editor(folder: Path) -> str:
    """The names of EDITOR as one module.

    Raises:
        subprocess.CalledProcessError: if esbuild cannot bundle them.
    """
    entry = "".join(f'export {{ {", ".join(names)} }} from "{package}";\n' for package, names in EDITOR.items())
    words = [
        str(folder / "node_modules" / ".bin" / "esbuild"),
        "--bundle",
        "--format=esm",
        "--minify",
        "--log-level=error",
    ]
    done = subprocess.run(words, cwd=folder, input=entry, capture_output=True, text=True, check=True)
    return done.stdout


def digests(texts: dict[str, str]) -> dict[str, str]:
    """The sha256 of each text."""
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def main() -> None:
    """Write the files."""
    for vendor, files in ((PAGE, FILES), (BUILT, BUILT_FILES)):
        with tempfile.TemporaryDirectory() as folder:
            texts = vendored(Path(folder), vendor, files)
        for name, text in texts.items():
            (vendor / name).write_text(text, encoding="utf-8")
        (vendor / DIGESTS).write_text(json.dumps(digests(texts), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
