"""What others need to make clips of a benchmark: the first frames, the tasks, and what the clips are to be called.

    OUT/items.jsonl                          one line per item: id, name, task, picture
    OUT/pictures/000010_Agent_Task.png       the first frame, as it was registered
    OUT/manifest.json                        checksums, by which the next one knows what it may replace

Solutions are not handed out: a model is to solve the task.
"""

import json
import shutil
from pathlib import Path

from wmsd_core import store
from wmsd_core.bench import naming
from wmsd_core.bench.evaluation import EvaluateConfig, items_of
from wmsd_core.publication import publishing, write_manifest


def hand_out(path: Path, config: EvaluateConfig, out: Path) -> dict[str, object]:
    """Writes pictures and tasks of the items of a benchmark, complete or not at all; returns counts, and what to do with them.

    Raises:
        ValueError: the folder holds something else than what was handed out before, or the benchmark has no item here.
    """
    with store.reading(path) as con:
        items = items_of(con, config)
    lines: list[str] = []
    lost = 0
    with publishing(out) as folder:
        (folder / "pictures").mkdir()
        for number, item in enumerate(items):
            name = naming.title(number, item.task)
            picture = f"pictures/{name}{item.frame.path.suffix}"
            if item.frame.path.is_file():
                shutil.copyfile(item.frame.path, folder / picture)
            else:
                lost += 1
            said = {"id": item.item_id, "name": name, "task": item.task, "picture": picture}
            lines.append(json.dumps(said, ensure_ascii=False) + "\n")
        (folder / "items.jsonl").write_text("".join(lines), encoding="utf-8")
        write_manifest(folder, {"benchmark": config.benchmark, "items": len(items)})
    return {
        "items": len(items),
        "pictures": len(items) - lost,
        "lost pictures": lost,
        "next": f"name each clip NAME.mp4 or ID.mp4 and run: wmsd judge --bench {config.benchmark} --videos FOLDER",
    }
