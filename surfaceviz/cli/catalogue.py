"""The command ``surfaceviz catalogue``."""

from __future__ import annotations

from surfaceviz.cli.app import app
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.terminal.lines import show


@app.command(epilog="Example: surfaceviz catalogue")
def catalogue(debug: options.Debug = False) -> None:
    """List the problems with trained weights, the networks to train and the data sets."""
    from surfaceviz.zoo import catalogue as problems
    from surfaceviz.zoo import datasets, network_table

    titles = ("name", "parameters", "accuracy", "what it is for")
    shipped = [
        (name, f"{problems.size(name):,}", f"{entry.accuracy:.1%}", entry.summary)
        for name, entry in problems.CATALOGUE.items()
    ]
    trainable = [
        (name, f"{network_table.example_size(name):,}", "-", f"{each.summary} ({network_table.example_text(name)})")
        for name, each in network_table.NETWORKS.items()
    ]
    widths = [max(len(row[i]) for row in [titles, *shipped, *trainable]) for i in range(3)]
    for heading, rows in (
        ("Problems with trained weights (surfaceviz slice NAME):", shipped),
        ("Networks to train (surfaceviz train NAME DATA), with the parameters for the shape in brackets:", trainable),
    ):
        show(heading)
        for name, size, accuracy, summary in [titles, *rows]:
            show(f"  {name:<{widths[0]}}  {size:>{widths[1]}}  {accuracy:>{widths[2]}}  {summary}")
        show()
    show("Data (surfaceviz train NETWORK NAME); also a folder of .npz files, or a text file:")
    for name, summary in datasets.DATASETS.items():
        show(f"  {name:<{widths[0]}}  {summary}")
