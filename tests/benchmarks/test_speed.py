"""speed.py and gpu.py run whole at a toy size, print their tables and leave nothing else behind."""

import pytest

SMALL = "--arch mobilenet_v3_small --clips 110 --batch_size 4 --repeats 1 --predicted 2 --output page.md"
THREADS = """
import concurrent.futures as futures, sys
sys.dont_write_bytecode = True
futures.ProcessPoolExecutor = lambda n, context: futures.ThreadPoolExecutor(n)
sys.modules.update(dict.fromkeys({hidden}))
"""  # contenders as threads, since processes start slowly; and without packages that machines with a GPU may lack


@pytest.fixture
def sections(process, tmp_path):
    """Run a benchmark; returns the sections of its page, by title."""

    def call(name: str, *flags: str, hidden: tuple[str, ...] = ()) -> dict[str, str]:
        hide, page = tmp_path / "hide", tmp_path / "page.md"
        hide.mkdir()
        (hide / "sitecustomize.py").write_text(THREADS.format(hidden=hidden))
        done = process(tmp_path, name, *SMALL.split(), *flags, PYTHONPATH=hide)
        assert done.code == 0, done.err
        assert {path.name for path in tmp_path.iterdir()} == {"hide", "page.md"}
        texts = page.read_text(encoding="utf-8").split("### ")[1:]
        assert all(text.strip() in done.out for text in texts)
        return {text.partition("\n")[0]: text for text in texts}

    return call


@pytest.mark.parametrize(
    ("flags", "rows"),
    [
        (["--steps", "1", "--wavs", "3"], {"Training step": 3, "Prediction": 5, "Features": 2}),
        (["--steps", "1", "--scale", "1"], {"Memory and growth": 1}),
    ],
)
def test_speed_has_a_table_for_each_part(sections, flags, rows):
    for title, text in sections("benchmarks/speed.py", *flags).items():
        lines = [line.count("|") for line in text.splitlines() if line.startswith("|")]
        assert (len(lines) - 2, len(set(lines))) == (rows.pop(title), 1)
        assert "n = 1 rounds" in text
    assert not rows


def test_the_command_for_a_gpu_runs_without_one_and_without_the_audio_packages(sections):
    flags = ["--device", "cpu", "--steps", "2", "--modes", "eager"]
    made = sections("benchmarks/gpu.py", *flags, hidden=("librosa", "soundfile", "soxr", "iterstrat"))
    assert list(made) == ["Whether it computes the same", "Training step", "Prediction"]
    checks = [line.split(" | ") for line in made["Whether it computes the same"].splitlines() if "| yes |" in line]
    assert [cells[1] for cells in checks[:3]] == ["0.0e+00"] * 3  # losses, batches, resuming: a CPU against itself
    assert len(checks) == 4
    assert "| validation: crops half a crop apart | " in made["Prediction"]
    assert "not measured" not in made["Training step"]
