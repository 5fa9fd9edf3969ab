"""Pictures for `photographs.py` that come out of packages; run in an environment of its own, which that script makes.

python games.py games OUT_DIR SEED    Freedoom (vizdoom) and Atari games (ale-py), played at random, as PNG files
                                      named after the game, at 1280x720 and 1920x1080
python games.py samples OUT_DIR       the sample photographs of scikit-image and scikit-learn
"""

import sys
from pathlib import Path

import ale_py
import numpy as np
import skimage.data
import vizdoom
from PIL import Image
from sklearn.datasets import load_sample_images

SCENARIOS = [
    "basic",
    "deadly_corridor",
    "deathmatch",
    "defend_the_center",
    "defend_the_line",
    "health_gathering",
    "health_gathering_supreme",
    "my_way_home",
    "predict_position",
    "rocket_basic",
    "take_cover",
]
MAPS = [("freedoom2", f"MAP{n:02d}") for n in range(1, 31)] + [
    ("freedoom1", f"E{episode}M{n}") for episode in (1, 2, 3, 4) for n in range(1, 8)
]
ALE_GAMES = 60


SAMPLES = [
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "motorcycle_left.png",
    "rocket.jpg",
    "grass.png",
    "gravel.png",
]


def samples(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in SAMPLES:
        with Image.open(Path(skimage.data.__file__).parent / name) as image:
            image.convert("RGB").save(out / f"{Path(name).stem}.png")
    for index, image in enumerate(load_sample_images().images):
        Image.fromarray(image).save(out / f"sklearn-{index}.png")


def games(out: Path, seed: int) -> None:
    """Four frames of each scenario and map, two of each Atari game."""
    out.mkdir(parents=True, exist_ok=True)
    plays = [(name, None) for name in SCENARIOS] + MAPS
    for index, (config, level) in enumerate(plays):
        for size in ((1280, 720), (1920, 1080)):
            doom(out, config, level, size, seed + index)
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    files = sorted((Path(ale_py.__file__).parent / "roms").glob("*.bin"))
    roms = [path.stem for path in files if ale_py.ALEInterface.isSupportedROM(path)]
    for index, rom in enumerate(np.random.default_rng(seed).permutation(roms)[:ALE_GAMES]):
        atari(out, str(rom), seed + index)


def doom(out: Path, config: str, level: str | None, size: tuple[int, int], seed: int) -> None:
    """Two frames of one episode, with the game's own status bar or without."""
    game = vizdoom.DoomGame()
    game.load_config(str(Path(vizdoom.scenarios_path) / f"{config}.cfg"))
    if level:
        game.set_doom_map(level)
    game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{size[0]}X{size[1]}"))
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_render_hud(seed % 3 != 0)
    game.set_window_visible(False)
    game.set_mode(vizdoom.Mode.PLAYER)
    game.set_seed(seed)
    rng = np.random.default_rng(seed)
    game.init()
    for shot in range(2):
        for _ in range(int(rng.integers(4, 14))):
            if game.is_episode_finished():
                game.new_episode()
            buttons = rng.integers(0, 2, game.get_available_buttons_size())
            game.make_action([float(b) for b in buttons], 6)
        if game.is_episode_finished():
            game.new_episode()
        state = game.get_state()
        name = f"doom-{config}-{level or 'map01'}-{size[1]}-{shot}.png".lower()
        Image.fromarray(state.screen_buffer).save(out / name, compress_level=1)
    game.close()


def atari(out: Path, rom: str, seed: int) -> None:
    """One frame of each size: 160x210 pixels, twice as wide as high, enlarged without smoothing and cut to 16:9."""
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", seed)
    ale.loadROM(ale_py.roms.get_rom_path(rom))
    rng = np.random.default_rng(seed)
    actions = ale.getMinimalActionSet()
    for size in ((1280, 720), (1920, 1080)):
        for _ in range(int(rng.integers(100, 400))):
            ale.act(actions[int(rng.integers(len(actions)))])
            if ale.game_over():
                ale.reset_game()
        screen = Image.fromarray(ale.getScreenRGB())
        height = round(size[0] * 3 / 4)
        top = (height - size[1]) // 2
        picture = screen.resize((size[0], height), Image.Resampling.NEAREST).crop((0, top, size[0], top + size[1]))
        picture.save(out / f"atari-{rom}-{size[1]}.png".lower(), compress_level=1)


if __name__ == "__main__":
    if sys.argv[1] == "games":
        games(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        samples(Path(sys.argv[2]))
