"""Section: how the folds learned, from the logs of train.py."""

from html import escape

from reporting.charts import curves, swatch
from reporting.markup import Section, paragraph
from reporting.results import Results

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
    keys = "".join(
        f'<li><i style="background:{swatch(number)}"></i>{escape(name)}</li>'
        for number, name in enumerate(results.logs)
    )
    charts = ""
    for key, (title, floor) in CHARTS.items():
        lines = [([row["step"] for row in log], [row[key] for row in log]) for log in results.logs.values()]
        charts += f'<figure class="chart"><figcaption>{title}</figcaption>{curves(lines, title, floor)}</figure>'
    return Section("training", "Training", lead, f'<ul class="keys">{keys}</ul><div class="charts">{charts}</div>')
