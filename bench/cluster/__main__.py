"""``python -m bench.cluster``."""

import random
from pathlib import Path
from typing import Annotated

import typer

from bench.chaos.conduct import RESULTS, conduct
from bench.cluster.story import Options, cluster
from bench.stack.cluster import ClusterStack
from bench.stack.temporary import temporary_servers

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    *,
    rate: Annotated[float, typer.Option(min=50, help="Messages per second.")] = 500,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes on each host.")] = 1,
    away: Annotated[float, typer.Option(min=1, help="Seconds that each fault lasts.")] = 20,
    calm: Annotated[float, typer.Option(min=1, help="Seconds between the faults.")] = 10,
    seed: Annotated[
        int | None, typer.Option(help="Repeats a run's plan.", show_default="random")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="JSON file.", show_default="bench/results/cluster-SEED.json")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave servers' data and logs.")] = False,
    directory: Annotated[Path | None, typer.Option(help="Where servers keep their data.")] = None,
) -> None:
    """Two hosts on a cluster of three nodes; what is taken away must cost time, and no event.

    Exit codes: 0 no difference; 1 differences, or the run itself failed; 2 usage.
    """
    options = Options(
        seed=random.SystemRandom().randrange(10**6) if seed is None else seed,
        rate=rate,
        workers=workers,
        away=away,
        calm=calm,
    )
    conduct(
        lambda tell: temporary_servers("cluster", directory, tell, ClusterStack, keep=keep),
        lambda servers, place, screen: cluster(servers, place, options, screen),
        "cluster",
        f"seed {options.seed}, {rate:,.0f} events/s, 3 nodes, 2 hosts",
        output or RESULTS / f"cluster-{options.seed}.json",
    )


if __name__ == "__main__":
    app()
