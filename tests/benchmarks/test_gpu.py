"""The command for a GPU runs whole on a CPU, in small, and without the packages that machines with a GPU may lack."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = ["librosa", "soundfile", "soxr", "iterstrat"]
SMALL = {
    "device": "cpu", "arch": "mobilenet_v3_small", "clips": 110, "batch_size": 4, "img_cols": 64, "steps": 1,
    "repeats": 1, "check_steps": 2, "modes": "eager", "output": "gpu.md",
}  # fmt: skip


def test_it_runs_whole_without_a_gpu_and_without_the_audio_packages(tmp_path):
    hide = tmp_path / "hide"
    hide.mkdir()
    code = f"import sys\nsys.dont_write_bytecode = True\nsys.modules.update(dict.fromkeys({HIDDEN}))\n"
    (hide / "sitecustomize.py").write_text(code)
    flags = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "gpu.py", *flags],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(hide), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert page.strip() in done.stdout
    assert "| 0.0e+00 apart at most, relatively | yes |" in page  # a CPU against itself
    assert "| resume with --deterministic | 0 tensors differ in a bit | yes |" in page
    assert "| validation in bf16 against fp32 |" in page
    assert "| eager | " in page
    assert "5 folds x 40,000 steps would take" in page
    assert "| test.py --tta 8 | " in page
    assert "librosa is not installed here" in page
    assert "Not measured" not in page
    assert "Left out" not in page
    assert sorted(path.name for path in tmp_path.iterdir() if "inductor" not in path.name) == ["gpu.md", "hide"]
