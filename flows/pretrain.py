"""The miniature's base model."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary
from tasks.pretrain import pretrain as pretrain_network
from wmsd_core.miniature.pretrain import PretrainConfig


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
