"""The miniature's base models."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary
from tasks.pretrain import pretrain as pretrain_network
from tasks.pretrain import pretrain_pipeline
from wmsd_core.miniature.pretrain import PretrainConfig
from wmsd_core.miniature.pretrain_ltx2 import PretrainLtx2Config


@flow(name="pretrain", flow_run_name="pretrain")
def pretrain(output: Path, config: PretrainConfig = PretrainConfig()) -> Summary:
    """Recreates the miniature's base weights from nothing, and examines them.

    Args:
        output: The safetensors file to write.
        config: Captions, samples, optimizer.
    """
    summary = pretrain_network(output, config)
    publish_table("pretrained-network", [summary], f"pretrain: {output} after {summary['samples']} clips")
    return summary


@flow(name="pretrain-ltx2")
def pretrain_ltx2(output: Path, config: PretrainLtx2Config = PretrainLtx2Config(), questions: int = 400) -> Summary:
    """Teaches the miniature's motions to an LTX-2 of its size, from nothing, and examines it.

    Args:
        output: The folder of the pipeline; one that was interrupted is gone on with.
        config: Captions, samples, optimizer, size.
        questions: Held-out tasks of the exam.
    """
    summary = pretrain_pipeline(output, config, questions)
    publish_table("pretrained-ltx2", [summary], f"pretrain: {output} after {summary['samples']} clips")
    return summary
