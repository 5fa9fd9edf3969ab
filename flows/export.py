"""The dataset out and in: `export` writes what the data stages made, `import` takes a published set as if they had."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_link
from tasks.bookkeeping import Summary, stage_run
from tasks.export import check, import_dataset, leaks_of
from tasks.export import export as write
from wmsd_core.frames import FramesConfig
from wmsd_core.worldtasks import SplitConfig
from wmsd_core.worldtasks.export import ExportConfig
from wmsd_core.worldtasks.layout import ImportConfig


@flow(name="export", flow_run_name="export")
def export(
    workspace: Path,
    out: Path,
    config: ExportConfig = ExportConfig(),
    splitting: SplitConfig = SplitConfig(),
) -> Summary:
    """Writes pictures, pairs, splits and a dataset card to a folder, in place of an earlier export there.

    Args:
        workspace: Folder with the store.
        out: Folder to write; it appears complete or not at all.
        config: Formats, how pictures are placed, title and licence.
        splitting: How alike train and bench may be; a set that leaks is not written.
    """
    with stage_run(workspace, "export", {"export": config, "split": splitting}) as summary:
        summary |= write(workspace, out, config, splitting)
        if tagged := summary.pop("waiting"):
            summary["caution"] = (
                f"tags on {tagged} frames and pairs wait for the next wmsd generate; export again after it"
            )
        link = (Path(summary["folder"]).absolute() / "card.html").as_uri()  # anywhere: no server shows it
        publish_link("dataset", link, "card.html", f"export: {summary['train']} + {summary['bench']} pairs to {out}")
    return summary


@flow(name="check-export", flow_run_name="check-export")
def check_export(workspace: Path, splitting: SplitConfig = SplitConfig()) -> Summary:
    """Only looks whether train and bench are apart, and writes nothing.

    Args:
        workspace: Folder with the store.
        splitting: How alike train and bench may be.
    """
    return check(workspace, splitting)


@flow(name="import", flow_run_name="import")
def import_(
    workspace: Path,
    folder: Path,
    config: ImportConfig = ImportConfig(),
    scan: FramesConfig = FramesConfig(),
    splitting: SplitConfig = SplitConfig(),
) -> Summary:
    """Takes a dataset in the published layout into the store: pictures, pairs and splits, as they are.

    Args:
        workspace: Folder that receives the store.
        folder: Folder with {split}/{split}.jsonl and {split}/images/; it is only read, and must stay where it is.
        config: Files of the splits, and names of fields.
        scan: What counts as a usable image file.
        splitting: How alike train and bench may be; leaks of the set are told, and nothing is changed.
    """
    with stage_run(workspace, "import", {"importing": config, "scan": scan}) as summary:
        summary |= import_dataset(workspace, folder, config, scan)
        if leaks := leaks_of(workspace, splitting):
            summary["caution"] = leaks
    return summary
