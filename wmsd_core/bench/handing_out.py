"""What others need to make clips of a benchmark: the first frames, the tasks, and what the clips are to be called.

    OUT/items.jsonl                          one line per item: id, name, task, picture
    OUT/pictures/000010_Agent_Task.png       the first frame, as it was registered

Solutions are not handed out: a model is to solve the task.
"""

import json
import shutil
from pathlib import Path

from wmsd_core import store
from wmsd_core.bench import naming
from wmsd_core.bench.evaluation import EvaluateConfig, items_of
from wmsd_core.files import replacing


def hand_out(path: Path, config: EvaluateConfig, out: Path) -> dict[str, object]:
    """Writes pictures and tasks of the items of a benchmark; returns counts, and what to do with them.

    Raises:
        ValueError: the folder has something in it, or the benchmark has no item here.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not an empty folder; name another one")
    with store.reading(path) as con:
        items = items_of(con, config)
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    lost = 0
    for number, item in enumerate(items):
        name = naming.title(number, item.task)
        picture = f"pictures/{name}{item.frame.path.suffix}"
        if item.frame.path.is_file():
            shutil.copyfile(item.frame.path, out / picture)
        else:
            lost += 1
        said = {"id": item.item_id, "name": name, "task": item.task, "picture": picture}
        lines.append(json.dumps(said, ensure_ascii=False) + "\n")
    with replacing(out / "items.jsonl") as partial:
        partial.write_text("".join(lines), encoding="utf-8")
    return {
        "items": len(items),
        "pictures": len(items) - lost,
        "lost pictures": lost,
        "next": f"name each clip NAME.mp4 or ID.mp4 and run: wmsd judge --bench {config.benchmark} --videos FOLDER",
    }
