"""The documentation as a site.

    sphinx-build -W -n docs build/site
    sphinx-build -W -n -D run_examples=own_survey,social_trust docs build/site

The second also runs two scripts of ``examples/`` and shows what they print and the reports that they write. Pages of
names, scripts and commands are made in ``docs/generated``; delete that folder where one of them is no more.
"""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from bayesmig.namespaces import MODULES, SPACES, homes

project = "bayesmig"
author = "The bayesmig developers"
copyright = author
version = release = importlib.metadata.version("bayesmig")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "myst_parser", "numpydoc"]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
highlight_language = "none"  # blocks that name no language are formulas, trees and commands
default_role = "literal"
smartquotes = False  # quotation marks are often part of a command

myst_heading_anchors = 3  # [text](page.md#heading), as on GitHub

autodoc_typehints = "none"  # the Parameters say them, in words
autodoc_member_order = "bysource"
# Study and study would be one file where names of files ignore case
autosummary_filename_map = {
    f"{space}.{name}": f"{space}.{name}-class"
    for space in SPACES
    for name in homes(space)
    if name != name.lower() and name.lower() in homes(space)
}
numpydoc_show_class_members = False  # the template of a class lists them

html_theme = "pydata_sphinx_theme"
html_title = "bayesmig"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


NEIGHBOURS: dict[str, list[str]] = {}
SCRIPT = """{title}
{rule}
{body}

The script
----------

:download:`{file} </../examples/{file}>`

.. literalinclude:: /../examples/{file}
   :language: python
   :lines: {first}-
"""
PRINTED = """
What it prints
--------------

.. code-block:: text

{output}

It also writes :download:`this report <{name}.html>`.
"""


def write_examples(app: Sphinx) -> None:
    """A page for every script of ``examples/``: what it is for, its code and, where asked, what it prints."""
    source = Path(app.srcdir)
    folder = source / "generated" / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = set(app.config.run_examples)
    scripts = {path.stem: path for path in sorted((source.parent / "examples").glob("*.py"))}
    if wanted - set(scripts):
        raise ValueError(f"run_examples names {sorted(wanted - set(scripts))}; examples/ has {sorted(scripts)}.")
    for name, path in scripts.items():
        page = script_page(path)
        if name in wanted:
            page += PRINTED.format(output=indent(printed(path, folder), "   "), name=name)
        (folder / f"{name}.rst").write_text(page, encoding="utf-8")


def script_page(script: Path) -> str:
    """A script as a page: the first sentence of its docstring as the title, its commands as blocks, its code."""
    code = ast.parse(script.read_text(encoding="utf-8"))
    text = ast.get_docstring(code)
    if text is None:
        raise ValueError(f"{script.name} has no docstring to say what it is for.")
    title, _, body = text.partition("\n")
    title = title.rstrip(".")
    body = re.sub(r"\n\n(?=    python )", "\n\n.. code-block:: sh\n\n", body)
    rule = "=" * 2 * len(title)  # a Chinese sign is two columns wide
    return SCRIPT.format(title=title, rule=rule, body=body, file=script.name, first=code.body[1].lineno)


def printed(script: Path, folder: Path) -> str:
    """What a script prints; its report is written into the folder."""
    command = [sys.executable, str(script.resolve()), "--report", f"{script.stem}.html"]
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"{script.name} failed:\n{done.stderr}")
    return done.stdout


def write_command_line(app: Sphinx) -> None:
    """The page of the command line, from its own help."""
    command = [sys.executable, "-m", "typer", "bayesmig.cli", "utils", "docs", "--name", "bayesmig"]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    page = Path(app.srcdir) / "generated" / "command_line.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text(done.stdout.replace("# `bayesmig`", "# Command line", 1), encoding="utf-8")


def read_neighbours(app: Sphinx) -> None:
    """Which names stand in one list of the reference, which is what they have to do with each other."""
    for page in sorted(Path(app.srcdir, "reference").glob("*.rst")):
        module = ""
        for line in re.split(r"(?m)^(?=\.\. )", page.read_text(encoding="utf-8")):
            module = next(iter(re.findall(r"(?m)^\.\. (?:current|auto)?module:: (\S+)", line)), module)
            listed = re.findall(r"(?m)^   (\w+)$", line) if line.startswith(".. autosummary") else []
            NEIGHBOURS.update({f"{module}.{name}": [each for each in listed if each != name] for name in listed})


def add_neighbours(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """What else there is for the same purpose, where a docstring does not say it itself."""
    if NEIGHBOURS.get(name) and "See Also" not in lines:
        lines += ["", "See Also", "--------", ", ".join(NEIGHBOURS[name])]


def find_at_front_door(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contents: nodes.TextElement
) -> nodes.reference | None:
    """Resolve ``bayesmig.data.matching.Match`` as ``bayesmig.data.Match``: documented is where users find a name."""
    module, _, name = node.get("reftarget", "").rpartition(".")
    spaces = [space for space in SPACES if name in homes(space)]
    spaces = [space for space in spaces if homes(space)[name] == module] or spaces
    if node.get("refdomain") != "py" or len(spaces) != 1:
        return None
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], f"{spaces[0]}.{name}", node, contents)


def link_names(app: Sphinx, page: nodes.document) -> None:
    """Let ``bm.fit`` and ``bm.fit(spec, data)`` in running text lead to the reference."""
    outer = [each for each in page.findall() if isinstance(each, nodes.title | nodes.reference | pending_xref)]
    linked = {id(literal) for each in outer for literal in each.findall(nodes.literal)}
    for literal in list(page.findall(nodes.literal)):
        found = re.match(r"bm\.(\w+)((?:\.\w+)*)", literal.astext())
        if found and id(literal) not in linked:
            where = {"refdomain": "py", "reftype": "obj", "refdoc": app.env.docname}
            target = MODULES.get(found[1], f"bayesmig.{found[1]}") + found[2]
            literal.replace_self(pending_xref("", literal.deepcopy(), reftarget=target, **where))


def setup(app: Sphinx) -> None:
    app.add_config_value("run_examples", [], "env", list)
    app.connect("builder-inited", write_examples, priority=100)  # before autosummary looks for pages
    app.connect("builder-inited", write_command_line, priority=100)
    app.connect("builder-inited", read_neighbours)
    app.connect("autodoc-process-docstring", add_neighbours, priority=100)  # before numpydoc reads it
    app.connect("doctree-read", link_names)
    app.connect("missing-reference", find_at_front_door)
