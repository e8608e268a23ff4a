"""compose.yaml, as far as it can be judged without Docker; tests/stories/test_services.py runs what it starts."""

import re
import subprocess

import mlflow.environment_variables
import pytest
import yaml
from tests.servers import PASSWORD, ROOT, composed

FOR_S3 = {"MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
"""Which the server reads by itself."""
TEXT = (ROOT / "compose.yaml").read_text()
EXAMPLE = (ROOT / "compose.env.example").read_text()
SERVICES = composed({"POSTGRES_PASSWORD": PASSWORD})


def test_nothing_starts_without_a_password_of_ones_own():
    with pytest.raises(KeyError, match="see compose.env.example"):
        composed({})
    given = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.M))
    assert given["POSTGRES_PASSWORD"] == ""
    with pytest.raises(KeyError):
        composed(given)


def test_it_listens_on_this_machine_alone_unless_told_otherwise():
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert sorted(ports) == ["127.0.0.1:5000:5000", "127.0.0.1:5432:5432"]
    opened = composed({"POSTGRES_PASSWORD": PASSWORD, "BIND": "10.1.2.3"})
    assert opened["mlflow"]["ports"] == ["10.1.2.3:5000:5000"]


def test_the_example_has_every_variable_and_no_other_and_the_same_defaults():
    used = dict(re.findall(r"\$\{(\w+)(?::-([^}]*))?", TEXT))
    told = dict(re.findall(r"^#?([A-Z]\w+)=(.*)$", EXAMPLE, re.M))
    assert set(told) - set(used) == FOR_S3
    assert set(used) <= set(told)
    set_there = dict(re.findall(r"^([A-Z]\w+)=(.*)$", EXAMPLE, re.M))
    assert {name: used[name] for name in set_there} == set_there


@pytest.mark.parametrize("name", ["postgres", "mlflow"])
def test_every_service_is_watched_and_keeps_its_data(name):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped" and service["healthcheck"]["test"][0] == "CMD"
    (volume,) = service["volumes"]
    assert volume.partition(":")[0] in yaml.safe_load(TEXT)["volumes"]


def test_passwords_are_no_arguments():
    assert PASSWORD in str(SERVICES["mlflow"]["environment"])
    assert all(PASSWORD not in str(service["command"]) for service in SERVICES.values())
    assert all(PASSWORD not in str(service["healthcheck"]) for service in SERVICES.values())


def test_the_image_has_the_versions_that_are_tested_here():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    recipe = SERVICES["mlflow"]["build"]["dockerfile_inline"]
    assert f"mlflow=={pins['mlflow']}" in recipe and f"psycopg[binary]=={pins['psycopg']}" in recipe
    assert SERVICES["mlflow"]["image"].endswith(f":{pins['mlflow']}")


def test_mlflow_knows_every_setting():
    known = {one.name for one in vars(mlflow.environment_variables).values() if hasattr(one, "name")}
    known |= {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION"}  # options of its command line
    given = {name for name in {*SERVICES["mlflow"]["environment"], *FOR_S3} if name.startswith("MLFLOW_")}
    assert given <= known and len(given) > 4
    assert SERVICES["mlflow"]["env_file"] == "compose.env"


def test_git_ignores_the_passwords():
    done = subprocess.run(["git", "check-ignore", "compose.env"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 128:
        pytest.skip("this is no git checkout")
    assert done.stdout.strip() == "compose.env"
