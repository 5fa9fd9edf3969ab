"""Templates for clusters, run dry: a Slurm job with a stand-in for srun, Kubernetes objects by the fields that matter, and
automations by Prefect's own model."""

import json
import os
import shlex
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments import configuration
from deployments.commands import training
from wmsd_core.training.launch import LaunchConfig, command

ROOT = Path(__file__).parents[2]
SRUN = """#!/usr/bin/env python3
import json, os, signal, sys, time
with open(os.environ["SAID"], "a") as said:
    said.write(json.dumps([sys.argv[1:], bool(os.environ.get("VLLM_API_KEY")), os.environ.get("HOST", "")]) + "\\n")
while "--kill-on-bad-exit=0" in sys.argv and len(open(os.environ["SAID"]).readlines()) < int(os.environ["STEPS"]):
    time.sleep(0.01)  # the step that leads goes on for as long as the others need to begin
if os.environ.get("SLOW"):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    time.sleep(60)
"""
SCONTROL = """#!/bin/sh
[ "$1" = requeue ] && echo "$2" > "$SAID.requeued" || printf 'n1\\nn2\\nn3\\nn4\\n'
"""


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """The environment of a job on four nodes."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    job = {
        "SLURM_JOB_NODELIST": "n[1-4]",
        "SLURM_JOB_ID": "7",
        "WORKSPACE": "/shared/w",
        "SAID": str(tmp_path / "said"),
        "STEPS": "3",
    }
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", **job}


def started(environment: dict[str, str]) -> list[tuple[list[str], bool, str]]:
    """What srun was given: arguments, whether with the secret, and the host to listen on."""
    said = Path(environment["SAID"])
    return [tuple(json.loads(line)) for line in said.read_text().splitlines()] if said.exists() else []


def job(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", "deployments/slurm/train.sbatch"], cwd=ROOT, env=environment)


def asked(arguments: list[str]) -> LaunchConfig:
    """The launch that a command line asks for, its settings checked."""
    settings = [value for key, value in pairwise(arguments) if key == "--set"]
    configured = configuration.effective(None, arguments[arguments.index("--recipe") + 1], settings)
    assert configured.models.server.base_url.endswith(":8000/v1")
    assert command(Path("run"), configured.launch)
    return configured.launch


def test_a_slurm_job_trains_on_three_nodes_and_judges_on_the_last(cluster: dict[str, str]) -> None:
    assert job(cluster).wait(60) == 0
    calls = {
        call[call.index("--ntasks=1") + 1] if "--ntasks=1" in call else "others": (call, *rest)
        for call, *rest in started(cluster)
    }
    judge, secret, host = calls["--nodelist=n4"]
    assert "deployments/vllm/serve.sh" in judge and secret and host == "0.0.0.0" and "--headless" not in judge
    lead, others = calls["--nodelist=n1"][0], calls["others"][0]
    assert "--nodelist=n2,n3" in others and others[-1] == "--join" and "--join" not in lead
    found = asked(lead)
    assert (found.nodes, found.processes, found.rendezvous) == (3, 8, "n1:29500") and asked(others) == found
    assert vars(training.train.__annotations__["join"].__metadata__[0])["default"] == "--join"


def test_a_slurm_job_that_runs_out_of_time_stands_in_line_again(cluster: dict[str, str]) -> None:
    process = job(cluster | {"SLOW": "1", "JUDGES": "0", "STEPS": "2"})
    deadline = time.monotonic() + 60
    while len(started(cluster)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert Path(cluster["SAID"] + ".requeued").read_text().strip() == "7"


def test_a_slurm_job_without_trainers_is_refused(cluster: dict[str, str]) -> None:
    assert job(cluster | {"JUDGES": "4"}).wait(60) == 2 and not started(cluster)


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Any]:
    """Kind and name -> object."""
    found = yaml.safe_load_all((ROOT / "deployments/kubernetes/train.yaml").read_text())
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def test_kubernetes_trainers_share_a_volume_meet_and_ask_the_judge(objects: dict[tuple[str, str], Any]) -> None:
    work = objects["Job", "wmsd-train"]["spec"]
    pod = work["template"]["spec"]
    (container,) = pod["containers"]
    words = shlex.split(container["command"][2].split("$(")[0])
    found = asked([word for word in words if word != "exec"])
    assert work["completions"] == work["parallelism"] == found.nodes and work["completionMode"] == "Indexed"
    assert found.processes == container["resources"]["limits"]["nvidia.com/gpu"]
    host, port = found.rendezvous.split(":")
    meeting = objects["Service", "wmsd-train"]["spec"]
    assert host == f"wmsd-train-0.{pod['subdomain']}" and pod["subdomain"] == "wmsd-train"
    assert str(meeting["clusterIP"]) == "None"  # a name for each pod
    assert int(port) == meeting["ports"][0]["port"] == container["ports"][0]["containerPort"]
    assert (
        meeting["publishNotReadyAddresses"]
        and meeting["selector"].items() <= work["template"]["metadata"]["labels"].items()
    )
    claim = objects["PersistentVolumeClaim", "wmsd-workspace"]["spec"]
    assert claim["accessModes"] == ["ReadWriteMany"]
    assert {"name": "workspace", "persistentVolumeClaim": {"claimName": "wmsd-workspace"}} in pod["volumes"]


def test_kubernetes_keeps_secrets_out_of_files_and_the_judge_to_the_trainers(
    objects: dict[tuple[str, str], Any],
) -> None:
    judge = objects["Deployment", "wmsd-judge"]["spec"]
    trainer = objects["Job", "wmsd-train"]["spec"]["template"]
    for pod in (judge["template"], trainer):
        (container,) = pod["spec"]["containers"]
        keys = [one for one in container["env"] if one["name"].endswith("API_KEY")]
        assert keys and all("secretKeyRef" in one["valueFrom"] for one in keys)
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    labels = judge["template"]["metadata"]["labels"]
    assert judge["selector"]["matchLabels"].items() <= labels.items()
    policy = objects["NetworkPolicy", "wmsd-judge"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    allowed = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert allowed.items() <= trainer["metadata"]["labels"].items()


def test_automations_are_what_prefect_takes() -> None:
    from prefect.events import AutomationCore

    listed = yaml.safe_load((ROOT / "deployments/automations.yaml").read_text())["automations"]
    failed, missing = (AutomationCore.model_validate(one) for one in listed)
    assert failed.trigger.expect == {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
    assert missing.trigger.within.total_seconds() > 24 * 3600
    tags = {
        tag
        for one in yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())["deployments"]
        for tag in one["tags"]
    }
    assert {"wmsd", "nightly"} <= tags
