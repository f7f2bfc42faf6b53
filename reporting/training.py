"""Sections: how the folds learned, from the logs of train.py, and every setting and version of the run."""

from html import escape

from predicting.runs import PER_FOLD
from reporting.charts import colour, curves
from reporting.markup import DASH, Section, paragraph, table, text
from reporting.results import Results
from utils.digests import versions

CHARTS = {  # key of a log record -> its title, and whether its axis starts at zero
    "train_loss": ("Training loss", False),
    "lwlrap": ("Held-out lwlrap", False),
    "learning_rate": ("Learning rate", True),
}


def training_section(results: Results) -> Section:
    """A chart for each of the figures that are logged, one line per fold."""
    lead = "One point per validation. The loss is the mean since the one before, on augmented crops."
    if not results.logs:
        missing = "There are no logs of these folds; say with --checkpoint_dir where train.py wrote them."
        return Section("training", "Training", "How the folds learned.", paragraph(missing))
    keys, charts = "", ""
    for number, name in enumerate(results.logs):
        keys += f'<li><i style="background:{colour(number)}"></i>{escape(name)}</li>'
    for key, (title, floor) in CHARTS.items():
        lines = [([row["step"] for row in log], [row[key] for row in log]) for log in results.logs.values()]
        charts += f'<figure class="chart"><figcaption>{title}</figcaption>{curves(lines, title, floor)}</figure>'
    return Section("training", "Training", lead, f'<ul class="keys">{keys}</ul><div class="charts">{charts}</div>')


def settings_section(results: Results) -> Section:
    """A column of settings per run, and the versions of the training and of this page."""
    runs = {name: [fold.args for fold in folds.values()] for name, folds in results.any_runs.items()}
    keys = {key for args in runs.values() for key in args[0]} - PER_FOLD - {"split"}
    rows = [[text(key), *(text(args[0].get(key, DASH)) for args in runs.values())] for key in sorted(keys)]
    steps = [", ".join(str(args.get("checkpoint_step", DASH)) for args in folds) for folds in runs.values()]
    rows.append([text("step of each fold's checkpoint"), *map(text, steps)])
    made = {"trained with": results.trained_with, "this page": versions()}
    names = sorted({name for column in made.values() for name in column})
    cells = [[text(name), *(text(column.get(name, DASH)) for column in made.values())] for name in names]
    body = (
        f'<div class="halves even"><div>{table("settings-table", ["setting", *runs], rows, long=True)}</div>'
        f"<div>{table('versions', ['version of', *made], cells)}</div></div>"
    )
    split = next(iter(results.runs))
    lead = f"As the predictions of {split} hold them. The versions of the training come from a fold's checkpoint."
    return Section("settings", "Settings and versions", lead, body)
