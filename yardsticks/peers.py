"""What the filter stage is measured beside, in an environment of its own, which `filtering.py` makes.

python peers.py floor|cleanvision WORKERS FILE...    prints one line of JSON: images, wall and CPU seconds
"""

import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def floor(files: list[str], workers: int) -> None:
    """Reads each file and decodes it to grey in full size, by libjpeg-turbo. Nothing that looks at pixels does less."""
    import simplejpeg

    def decode(part: list[str]) -> None:
        for path in part:
            simplejpeg.decode_jpeg(Path(path).read_bytes(), "gray")

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(decode, (files[start : start + 20] for start in range(0, len(files), 20))))


def cleanvision(files: list[str], workers: int) -> None:
    """CleanVision's checks of what our stage measures as well: dark, light, blurry, low information."""
    from cleanvision import Imagelab

    lab = Imagelab(filepaths=files)
    checks = {name: {} for name in ("dark", "light", "blurry", "low_information")}
    lab.find_issues(checks, n_jobs=workers, verbose=False)


def main() -> None:
    name, workers, files = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    work = {"floor": floor, "cleanvision": cleanvision}[name]
    work(files[:2], 1)  # imports
    wall, used = time.perf_counter(), cpu()
    work(files, workers)
    print(json.dumps({"images": len(files), "wall": time.perf_counter() - wall, "cpu": cpu() - used}))


if __name__ == "__main__":
    main()
