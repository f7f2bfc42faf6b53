"""The speed benchmark runs whole at a toy size, prints its tables and leaves nothing else behind."""

import pytest

TINY = (
    "--arch mobilenet_v3_small --repeats 1 --img_cols 64 --clips 110 --batch_size 4 --steps 1 --warm_up 1 --tta 2 "
    "--predicted 2 --wavs 3 --output results.md"
)


@pytest.mark.parametrize(
    ("flags", "titles"),
    [((), ["Training step", "Prediction", "Features"]), (("--scale", "1", "2"), ["Memory and growth"])],
)
def test_runs_whole_and_appends_its_tables(process, tmp_path, warm_python, request, flags, titles):
    (tmp_path / "results.md").write_text("before\n", encoding="utf-8")
    python = warm_python / "python"
    command = [python, request.config.rootpath / "benchmarks" / "speed.py", *TINY.split(), *flags]
    done = process(tmp_path, *command, PYTHON=python, TMPDIR=tmp_path)
    assert done.code == 0, done.err
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert page.startswith("before\n### ")
    sections = page.removeprefix("before\n### ").split("### ")
    assert [section.partition("\n")[0] for section in sections] == titles
    for section in sections:
        assert section.strip() in done.out
        assert "n = 1 rounds" in section
        rows = [line.count("|") for line in section.splitlines() if line.startswith("|")]
        assert len(rows) >= 4
        assert len(set(rows)) == 1
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("torchinductor")] == ["results.md"]
