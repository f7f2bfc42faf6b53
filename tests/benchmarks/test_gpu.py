"""The command for a GPU runs whole on a CPU, in small, and without the packages that machines with a GPU may lack."""

import sys

HIDDEN = ["librosa", "soundfile", "soxr", "iterstrat"]
SMALL = (
    "--device cpu --arch mobilenet_v3_small --clips 110 --batch_size 4 --steps 2 --repeats 1 "
    "--predicted 2 --modes eager --output gpu.md"
)


def test_it_runs_whole_without_a_gpu_and_without_the_audio_packages(process, tmp_path, request):
    hide = tmp_path / "hide"
    hide.mkdir()
    code = f"import sys\nsys.dont_write_bytecode = True\nsys.modules.update(dict.fromkeys({HIDDEN}))\n"
    (hide / "sitecustomize.py").write_text(code)
    command = [sys.executable, request.config.rootpath / "benchmarks" / "gpu.py", *SMALL.split()]
    done = process(tmp_path, *command, PYTHONPATH=hide, TMPDIR=tmp_path)
    assert done.code == 0, done.err
    page = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    for section in page.split("### ")[1:]:
        assert section.strip() in done.out
    checks = [line.split(" | ") for line in page.splitlines() if line.endswith("| yes |")]
    assert [cells[1] for cells in checks[:3]] == ["0.0e+00"] * 3  # losses, batches, resuming: a CPU against itself
    assert len(checks) == 4
    assert "| validation: crops half a crop apart | " in page
    assert "not measured" not in page
    assert sorted(path.name for path in tmp_path.iterdir() if "inductor" not in path.name) == ["gpu.md", "hide"]
