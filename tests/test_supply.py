"""What the page is built from: packages within tested bounds, weights that cannot run code, and no secret."""

import ast
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / "app.py", *(ROOT / "faceinpaint").rglob("*.py")]
REQUIREMENTS = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().split()]
RUN_WHAT_THEY_READ = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# A file's path, a folder's path, the number that torchrun gives a process.
VARIABLES = {"FACEINPAINT_YUNET", "GRADIO_TEMP_DIR", "LOCAL_RANK"}


def project():
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_has_a_lower_and_an_upper_bound():
    developers = [Requirement(line) for line in project()["project"]["optional-dependencies"]["dev"]]
    for requirement in REQUIREMENTS + developers:
        assert {bound.operator for bound in requirement.specifier} == {">=", "<"}, requirement


def test_the_package_asks_for_what_the_space_asks_for():
    described = project()
    assert described["project"]["dynamic"] == ["dependencies"]
    assert described["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.txt"]}
    (gradio,) = (requirement for requirement in REQUIREMENTS if requirement.name == "gradio")
    (version,) = re.findall(r"^sdk_version: (.*)$", (ROOT / "README.md").read_text(), re.M)
    assert gradio.specifier.contains(version)


def test_the_space_asks_for_a_python_that_zerogpu_has():
    (version,) = re.findall(r'^python_version: "(.*)"$', (ROOT / "README.md").read_text(), re.M)
    assert version in {"3.10.13", "3.12.12"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_read_can_run_code_and_no_secret_is_wanted(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {name.name.split(".")[0] for name in node.names} & RUN_WHAT_THEY_READ
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in RUN_WHAT_THEY_READ
            assert not {name.name for name in node.names} & {"environ", "getenv", "get_token"}
        elif isinstance(node, ast.Attribute):
            of = node.value.id if isinstance(node.value, ast.Name) else ""
            assert (of, node.attr) not in {("torch", "load"), ("np", "load"), ("os", "getenv")}
        elif isinstance(node, ast.Subscript | ast.Call) and "os.environ" in ast.unparse(node)[:14]:
            (name,) = re.findall(r'^os\.environ(?:\.get\(|\[)[\'"](\w+)', ast.unparse(node))
            assert name in VARIABLES


def test_the_shipped_weights_are_safetensors():
    kinds = {path.suffix for path in (ROOT / "checkpoints").iterdir()}
    assert kinds <= {".safetensors", ".json", ".md"}
